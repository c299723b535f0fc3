"""The final names of an ONNX graph: nodes are paths, values are `<node>.out`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from msgspec.structs import replace

from netdsl.backends.onnx.graph import Finished, GraphNode

Fact = TypeVar("Fact")


def name_nodes(graph: Finished) -> tuple[Finished, tuple[str, ...]]:
    """The graph with final value names, and the names of its nodes.

    The last node of an op call bears the path of the call (`/stages/0/conv`), those before it also their type
    (`/stages/0/norm/Transpose`). Outputs bear the names that the net gives them.
    """
    graph = _own_outputs(graph)
    names = _node_names(graph.nodes)
    final = {value: name for name, value, _ in graph.outputs}
    for node, name in zip(graph.nodes, names, strict=True):
        for i, value in enumerate(node.outputs):
            final.setdefault(value, f"{name}.out{i + 1 if len(node.outputs) > 1 else ''}")
    taken = Names({v.name for v in graph.inputs} | set(final.values()))
    initialisers = {}
    for number, (name, array) in enumerate(graph.initialisers.items()):
        final[name] = taken.free(f"const.{number}" if name.startswith("const.") else name)
        initialisers[final[name]] = array
    return replace(
        graph,
        nodes=tuple(_renamed(node, final) for node in graph.nodes),
        initialisers=initialisers,
        outputs=tuple((name, name, value) for name, _, value in graph.outputs),
        results=_known(graph.results, final),
        reshaped=_known(graph.reshaped, final),
    ), names


def _known(facts: Mapping[str, Fact], final: Mapping[str, str]) -> dict[str, Fact]:
    """The facts of values under their final names, for those that are still there."""
    return {final[name]: fact for name, fact in facts.items() if name in final}


def _own_outputs(graph: Finished) -> Finished:
    """Every output is the result of a node, and of no other output: an Identity stands where it was not."""
    made = {name for node in graph.nodes for name in node.outputs}
    nodes, outputs = [*graph.nodes], []
    for name, value, type_ in graph.outputs:
        if value in made:
            made.discard(value)
            outputs.append((name, value, type_))
            continue
        nodes.append(GraphNode("Identity", (value,), (f"output {name}",), (), f"outputs.{name}"))
        outputs.append((name, f"output {name}", type_))
    return replace(graph, nodes=tuple(nodes), outputs=tuple(outputs))


def _node_names(nodes: Iterable[GraphNode]) -> tuple[str, ...]:
    nodes = tuple(nodes)
    last = {node.scope: i for i, node in enumerate(nodes)}
    taken = Names({_path(scope) for scope in last})
    paths = [_path(node.scope) for node in nodes]
    return tuple(
        path if last[node.scope] == i else taken.free(f"{path}/{node.op_type}")
        for i, (node, path) in enumerate(zip(nodes, paths, strict=True))
    )


def _path(scope: str) -> str:
    return "/" + scope.replace(".", "/")


class Names:
    """Names that are taken. `number`: the last one that was given to each name that is repeated."""

    def __init__(self, taken: set[str]) -> None:
        self.taken = taken
        self.number: dict[str, int] = {}

    def free(self, name: str) -> str:
        """Take a name, numbered where others have it."""
        free = name
        while free in self.taken:
            self.number[name] = self.number.get(name, 1) + 1
            free = f"{name}.{self.number[name]}"
        self.taken.add(free)
        return free


def _renamed(node: GraphNode, final: dict[str, str]) -> GraphNode:
    inputs = tuple(final.get(v, v) for v in node.inputs)
    return replace(node, inputs=inputs, outputs=tuple(final[v] for v in node.outputs))
