"""Rewriting a finished ONNX graph node by node; what nothing reads is left out, and what cancels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from netdsl.backends.onnx.graph import Finished, GraphNode

Rule = Callable[["Rewriter", GraphNode], bool]


class Rewriter:
    """A graph being rewritten, node by node.

    A rule is asked for each node: it adds nodes (`add`) or gives its results other names (`same`) and returns True, or
    returns False and the node stays.
    """

    def __init__(self, graph: Finished) -> None:
        self.graph = graph
        self.nodes: list[GraphNode] = []
        self.initialisers = dict(graph.initialisers)
        self.outputs = {name for _, name, _ in graph.outputs}
        self.by_output: dict[str, GraphNode] = {}
        self.readers = Counter(i for n in graph.nodes for i in n.inputs)
        self.users: dict[str, list[GraphNode]] = {}
        for node in graph.nodes:
            for name in node.inputs:
                self.users.setdefault(name, []).append(node)
        self._same: dict[str, str] = {}
        self._count = 0

    def run(self, rule: Rule) -> Finished:
        """The graph after the rule; nodes whose results nothing reads are gone."""
        for node in self.graph.nodes:
            inputs = tuple(self._same.get(i, i) for i in node.inputs)
            moved = node if inputs == node.inputs else replace(node, inputs=inputs)
            if not rule(self, moved):
                self.add(moved)
        outputs = tuple((n, self._same.get(v, v), t) for n, v, t in self.graph.outputs)
        return live(replace(self.graph, nodes=tuple(self.nodes), initialisers=self.initialisers, outputs=outputs))

    def add(self, node: GraphNode) -> None:
        self.nodes.append(node)
        self.by_output.update(dict.fromkeys(node.outputs, node))

    def op(self, like: GraphNode, op_type: str, *inputs: str, out: str | None = None, **attributes: Any) -> str:
        """Add a node in the scope of another; its result is `out` or a new value."""
        self._count += 1
        name = out or f"{like.outputs[0]}/{self._count}"
        self.add(GraphNode(op_type, inputs, (name,), tuple(attributes.items()), like.scope))
        return name

    def same(self, name: str, other: str) -> None:
        """Whatever reads `name` reads `other` from here on."""
        self._same[name] = self._same.get(other, other)

    def constant(self, array: Any, name: str = "") -> str:
        """An initialiser; a small one without a name is shared by its value."""
        name = name or f"const.{array.dtype}.{array.tolist()}"
        self.initialisers[name] = array
        return name


def live(graph: Finished) -> Finished:
    """The graph without nodes and initialisers that no output depends on."""
    needed = {name for _, name, _ in graph.outputs}
    kept = []
    for node in reversed(graph.nodes):
        if not needed.isdisjoint(node.outputs):
            needed.update(node.inputs)
            kept.append(node)
    initialisers = {n: a for n, a in graph.initialisers.items() if n in needed}
    return replace(graph, nodes=tuple(reversed(kept)), initialisers=initialisers)


def cancel(graph: Finished) -> Finished:
    """Identities gone, transposes of transposes merged."""
    return Rewriter(graph).run(_cancel)


def _cancel(rewriter: Rewriter, node: GraphNode) -> bool:
    if node.op_type == "Identity":
        rewriter.same(node.outputs[0], node.inputs[0])
        return True
    if node.op_type != "Transpose":
        return False
    before = rewriter.by_output.get(node.inputs[0])
    if before is None or before.op_type != "Transpose":
        return False
    inner, outer = before.attribute("perm"), node.attribute("perm")
    both = tuple(inner[axis] for axis in outer)
    if both == tuple(range(len(both))):
        rewriter.same(node.outputs[0], before.inputs[0])
    else:
        rewriter.op(node, "Transpose", before.inputs[0], out=node.outputs[0], perm=both)
    return True
