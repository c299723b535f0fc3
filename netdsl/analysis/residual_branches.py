"""Residual branches: the layers of each in order, and its end. Initializations by branch are derived from them.

A branch is all that the added value depends on and the shortcut does not: what a projecting shortcut shares with it (a
pre-activation) belongs to neither.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

from msgspec import Struct

from netdsl.analysis.count import join
from netdsl.ir.flatten import Flat, Node, flatten
from netdsl.ir.model import Program

WEIGHTS = ("conv", "linear")


class Branch(Struct, frozen=True):
    """A residual branch, each tensor by its path. `at`: the path of the addition.

    `weights`: those of its convolutions and linears, in order; a gate's that follow are not among them. `norm`,
    `multiplier`: the gain of the norm and the learnt factor with which it ends, where it does.
    """

    at: str
    weights: tuple[str, ...] = ()
    norm: str | None = None
    multiplier: str | None = None


class Ending(Struct, frozen=True):
    """The end of the path to a value: the factors that multiply it, and the node of the last weight or norm (None:
    neither)."""

    multipliers: tuple[str, ...]
    node: Node | None


def branches(program: Program) -> tuple[Branch, ...]:
    """The residual branches of a net, in the order in which they are added."""
    graph = _Graph(flatten(program, training=True))
    return tuple(graph.branch(node) for node in graph.nodes if node.residual)


def head(program: Program) -> str | None:
    """The weight of the layer that gives the main output, at most scaled and pooled; None where none does."""
    flat = flatten(program)
    if not flat.outputs:
        return None
    node = _Graph(flat).ending(flat.outputs[0].value.name).node
    found = _paths(node, WEIGHTS) if node is not None else []
    return found[-1] if found else None


class _Graph:
    """The calls of a net and what makes each value."""

    def __init__(self, flat: Flat) -> None:
        self.nodes: Sequence[Node] = flat.nodes
        self.maker = {out.name: i for i, node in enumerate(flat.nodes) for out in node.outputs}

    def branch(self, link: Node) -> Branch:
        shortcut, body = link.inputs[0].name, link.inputs[-1].name
        ending = self.ending(body)
        multiplier = ending.multipliers[0] if ending.multipliers else None
        if ending.node is None:
            return Branch(link.path, (), None, multiplier)
        norms = _paths(ending.node, ("norm",), "weight")
        value = ending.node.outputs[0].name
        inside = self.between(shortcut, value)
        weights = [p for i in inside for p in _paths(self.nodes[i], WEIGHTS)]
        return Branch(link.path, tuple(weights), norms[0] if norms else None, multiplier)

    def ending(self, value: str) -> Ending:
        """Follow a value backwards, past ops without weights or norms, to where it comes from."""
        multipliers: list[str] = []
        while value in self.maker:
            node = self.nodes[self.maker[value]]
            roles = {p.role for p in node.op.params(*node.types).values()}
            if roles & {"norm", *WEIGHTS}:
                return Ending(tuple(multipliers), node)
            if roles - {"scale", "bias"} or not node.op.zero_at_zero:
                break
            multipliers += _paths(node, ("scale",))
            inputs = [v.name for v in node.inputs]
            if len(inputs) == 2 and node.op.kind in ("mul", "add") and not node.residual:
                inputs = self._without_tensor(inputs, node.op.kind, multipliers)
            if len(inputs) != 1:
                break
            value = inputs[0]
        return Ending(tuple(multipliers), None)

    def _without_tensor(self, inputs: list[str], kind: str, multipliers: list[str]) -> list[str]:
        """The operand of a product or a sum that is not a learnt tensor; of a gate, the value that is gated."""
        for value, other in (inputs, inputs[::-1]):
            node = self.nodes[self.maker[value]] if value in self.maker else None
            if node is not None and node.op.kind == "param":
                multipliers += _paths(node, ("scale",)) if kind == "mul" else []
                return [other]
        if kind == "mul":
            first, second = (self.maker.get(v, -1) for v in inputs)
            return [inputs[0] if first < second else inputs[1]]
        return inputs

    def between(self, start: str, end: str) -> list[int]:
        """The calls that `end` depends on and `start` does not, in order."""
        marks: dict[int, int] = {}
        queue: list[int] = []
        open_ends = 0

        def reach(value: str, mark: int) -> None:
            nonlocal open_ends
            at = self.maker.get(value)
            if at is None:
                return
            before = marks.get(at, 0)
            if not before:
                heapq.heappush(queue, -at)
            marks[at] = before | mark
            open_ends += (marks[at] == 1) - (before == 1)

        reach(start, 2)
        reach(end, 1)
        found = []
        while open_ends:
            at = -heapq.heappop(queue)
            mark = marks[at]
            if mark == 1:
                open_ends -= 1
                found.append(at)
            for value in self.nodes[at].inputs:
                reach(value.name, mark)
        return found[::-1]


def _paths(node: Node, roles: Sequence[str], name: str | None = None) -> list[str]:
    """The paths of a call's tensors of some roles, in order; those of a `name` where one is given."""
    return list(_named(node, roles, name))


def _named(node: Node, roles: Sequence[str], name: str | None) -> Iterator[str]:
    for key, parameter in node.op.params(*node.types).items():
        if parameter.role in roles and name in (None, key):
            yield join(node.layer_path, key)
