"""The point at which two ONNX files of one net diverge: the first layer whose outputs differ on the same inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from onnx import helper

from netdsl.backends.onnx.file import Model
from netdsl.backends.onnx.session import Session
from netdsl.diagnostics.diagnostic import UserError
from netdsl.verify.distance import distance

TAPS = 15
"""So many values are looked at in one run: the search takes as many runs as the number of layers has digits to the base
of 16."""


class Parting(Struct, frozen=True):
    """The first node whose output differs: its name, its op, and by how much (relative to the largest number)."""

    node: str
    op: str
    difference: float


def first_difference(model: Model, expected: Model, feed: Mapping[str, Any], gate: float) -> Parting | None:
    """The first node of `model` whose output is not that of the same name in `expected`; None where all outputs agree.

    A layer that differs makes what reads it differ, so the values between are searched, not all computed. Raises
    UserError where the two have no values in common.
    """
    search = Search(model, expected, feed, gate)
    if not search.nodes:
        message = "the file was not made from this net: no value of its graph has a name of the net's"
        raise UserError("foreign-model", message)
    wrong = search.differing(search.outputs())
    if not wrong:
        return None
    first, difference = search.first(min(wrong.items()))
    return Parting(search.nodes[first].name, search.nodes[first].op_type, difference)


class Search:
    """The nodes that two models have in common, and what of their outputs differs."""

    def __init__(self, model: Model, expected: Model, feed: Mapping[str, Any], gate: float) -> None:
        theirs = {name for node in expected.graph.node for name in node.output}
        self.model, self.expected, self.feed, self.gate = model, expected, feed, gate
        self.nodes = [node for node in model.graph.node if node.output and node.output[0] in theirs]

    def outputs(self) -> list[int]:
        """The nodes that give the model's outputs; the last one, where an output has another name."""
        names = {o.name for o in self.model.graph.output}
        return [i for i, node in enumerate(self.nodes) if node.output[0] in names] or [len(self.nodes) - 1]

    def differing(self, places: Sequence[int]) -> dict[int, float]:
        """By how much the outputs of these nodes differ, where it is more than the gate."""
        names = [self.nodes[i].output[0] for i in places]
        one, two = (_values(m, names, self.feed) for m in (self.model, self.expected))
        found = {i: _apart(two[name], one[name]) for i, name in zip(places, names, strict=True)}
        return {i: difference for i, difference in found.items() if not difference <= self.gate}

    def first(self, known: tuple[int, float]) -> tuple[int, float]:
        """The first node that differs and by how much, `known` being one that does."""
        low = -1
        while known[0] - low > 1:
            step = max(1, (known[0] - low) // (TAPS + 1))
            taps = range(low + step, known[0], step)
            known = min([known, *self.differing(taps).items()])
            low = max((i for i in taps if i < known[0]), default=low)
        return known


def _apart(expected: Any, found: Any) -> float:
    return distance([expected], [found]) if expected.shape == found.shape else float("inf")


def _values(model: Model, names: Sequence[str], feed: Mapping[str, Any]) -> dict[str, Any]:
    """Values inside a model, by name."""
    kept = len(model.graph.output)
    known = {o.name for o in model.graph.output}
    model.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in names if n not in known)
    try:
        session = Session(model.SerializeToString(), optimised=False)
    finally:
        del model.graph.output[kept:]
    return session.run({n: feed[n] for n in session.inputs})
