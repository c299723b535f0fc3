"""The point at which two ONNX files of one net diverge: the first layer whose outputs differ on the same inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from msgspec import Struct
from onnx import helper

from netdsl.backends.onnx.file import Model
from netdsl.backends.onnx.session import Session
from netdsl.diagnostics.diagnostic import UserError, first_line
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
        """By how much the outputs of these nodes differ, where it is more than the gate: without end for one that
        onnxruntime cannot compute. Raises UserError where it cannot compute what the net itself gives."""
        if not places:
            return {}
        names = [self.nodes[i].output[0] for i in places]
        two = _values(self.expected, names, self.feed)
        try:
            one = _values(self.model, names, self.feed)
        except UserError:
            return self._differing_before(places)
        found = {i: apart(two[name], one[name]) for i, name in zip(places, names, strict=True)}
        return {i: difference for i, difference in found.items() if not difference <= self.gate}

    def _differing_before(self, places: Sequence[int]) -> dict[int, float]:
        """The same where the file does not run to its end: of each node alone, with what it needs."""
        found = {}
        for i in places:
            name = self.nodes[i].output[0]
            try:
                one = _values(until(self.model, name), [name], self.feed)[name]
            except UserError:
                found[i] = float("inf")
            else:
                found[i] = apart(_values(self.expected, [name], self.feed)[name], one)
        return {i: difference for i, difference in found.items() if not difference <= self.gate}

    def first(self, known: tuple[int, float]) -> tuple[int, float]:
        """The first node that differs and by how much, `known` being one that does.

        Of what flows into it, nodes that agree clear all that flows into them: those of another branch may come later.
        One that agrees may hide what differs before it (a sigmoid of large numbers), so that the inputs of the node
        that is found are looked at too.
        """
        before, feeding = self._before()
        left = before[known[0]]
        while left:
            places = [i for i in range(known[0]) if left >> i & 1]
            taps = places[:: max(1, len(places) // (TAPS + 1))]
            wrong = self.differing(taps)
            if wrong:
                known = min(wrong.items())
                left &= before[known[0]]
            for i in taps:
                if i not in wrong:
                    left &= ~(before[i] | 1 << i)
        while wrong := self.differing([i for i in range(known[0]) if feeding[known[0]] >> i & 1]):
            known = min(wrong.items())
        return known

    def _before(self) -> tuple[list[int], list[int]]:
        """For each node the nodes that flow into it, and those that do with none between, as the bits of numbers."""
        places = {node.output[0]: i for i, node in enumerate(self.nodes)}
        masks: dict[str, tuple[int, int]] = {}
        found = [(0, 0)] * len(self.nodes)
        for node in self.model.graph.node:
            every = near = 0
            for name in node.input:
                one, two = masks.get(name, (0, 0))
                every, near = every | one, near | two
            place = places.get(node.output[0]) if node.output else None
            if place is not None:
                found[place], every, near = (every, near), every | 1 << place, 1 << place
            masks.update(dict.fromkeys(node.output, (every, near)))
        return [every for every, _ in found], [near for _, near in found]


def apart(expected: Any, found: Any) -> float:
    """The distance of two values; infinity where their shapes differ."""
    return distance([expected], [found]) if expected.shape == found.shape else float("inf")


def until(model: Model, name: str) -> Model:
    """A copy of a model with the nodes that one value needs, which is its only output."""
    found = type(model)()
    found.CopyFrom(model)
    needed, kept = {name}, []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            kept.append(node)
    del found.graph.node[:], found.graph.output[:]
    found.graph.node.extend(reversed(kept))
    return found


@contextmanager
def tapped(model: Model, names: Sequence[str]) -> Iterator[Model]:
    """A model with further outputs: values inside it, by name."""
    kept = len(model.graph.output)
    known = {o.name for o in model.graph.output}
    model.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in dict.fromkeys(names) if n not in known)
    try:
        yield model
    finally:
        del model.graph.output[kept:]


def _values(model: Model, names: Sequence[str], feed: Mapping[str, Any]) -> dict[str, Any]:
    """Values inside a model, by name. Raises UserError for a model that onnxruntime cannot run."""
    with tapped(model, names):
        try:
            session = Session(model.SerializeToString(), optimised=False)
            return session.run({n: feed[n] for n in session.inputs})
        except Exception as error:  # onnxruntime raises a type of its own for each reason, and names the node
            raise UserError("unreadable-model", f"onnxruntime refuses the file: {first_line(error)}") from None
