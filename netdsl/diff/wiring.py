"""Different connections: the inputs of a step and outputs of a definition, traced through added or removed steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netdsl.diff.bodies import Body
from netdsl.diff.model import Field, Item
from netdsl.ir.model import Value

SYMMETRIC = ("add", "mul", "maximum", "minimum")
"""Ops whose inputs can change places."""

Port = tuple[int, int]
"""The number of a pair of matched steps (-1: the definition's inputs), and which of its values."""


class Wiring:
    """The connections of two bodies whose steps are matched."""

    def __init__(self, ours: Body, theirs: Body, matches: Sequence[tuple[int, int]]) -> None:
        self._ours, self._theirs = ours, theirs
        self._before = _Sources(ours, {i: n for n, (i, _) in enumerate(matches)})
        self._after = _Sources(theirs, {j: n for n, (_, j) in enumerate(matches)})

    def inputs(self, a: Item, b: Item) -> Iterator[Field]:
        """The differences in what a pair of steps reads."""
        if len(a.inputs) != len(b.inputs):
            yield Field("inputs", str(len(a.inputs)), str(len(b.inputs)))
        elif a.label == b.label and a.label in SYMMETRIC:
            yield from self._unordered(a.inputs, b.inputs)
        else:
            for n, (v, w) in enumerate(zip(a.inputs, b.inputs, strict=True)):
                name = "reads" if len(a.inputs) == 1 else f"input {n + 1}"
                yield from self._field(name, v, w)

    def outputs(self) -> tuple[Field, ...]:
        """The differences in where outputs come from."""
        ours, theirs = self._ours.outputs, self._theirs.outputs
        if len(ours) != len(theirs):
            names = (", ".join(o.name or "1" for o in side) for side in (ours, theirs))
            return (Field("outputs", *names),)
        pairs = zip(ours, theirs, strict=True)
        return tuple(f for a, b in pairs for f in self._field(f"output {a.name}".strip(), a.value, b.value))

    def _field(self, name: str, before: Value, after: Value) -> Iterator[Field]:
        if not self._before.of(before.name) & self._after.of(after.name):
            yield Field(name, self._before.name(before), self._after.name(after))

    def _unordered(self, before: Sequence[Value], after: Sequence[Value]) -> Iterator[Field]:
        """The differences where order means nothing: each value is paired with the first that can be it."""
        left = list(after)
        alone = []
        for value in before:
            sources = self._before.of(value.name)
            match = next((w for w in left if sources & self._after.of(w.name)), None)
            if match is None:
                alone.append(value)
            else:
                left.remove(match)
        for value, other in zip(alone, left, strict=True):
            yield Field("reads", self._before.name(value), self._after.name(other))


class _Sources:
    """Where the values of one body come from: through steps without a counterpart, back to those that have one."""

    def __init__(self, body: Body, numbers: dict[int, int]) -> None:
        self._names = {v.name: v.name for v in body.inputs}
        self._found: dict[str, frozenset[Port]] = {}
        for n, value in enumerate(body.inputs):
            self._found[value.name] = frozenset([(-1, n)])
        for i, item in enumerate(body.items):
            through = frozenset[Port]().union(*(self._found[v.name] for v in item.inputs))
            for n, value in enumerate(item.outs):
                self._found[value.name] = frozenset([(numbers[i], n)]) if i in numbers else through
                self._names[value.name] = item.name or item.label

    def of(self, value: str) -> frozenset[Port]:
        """The ports of pairs that a value comes from."""
        return self._found[value]

    def name(self, value: Value) -> str:
        """A word for what makes a value."""
        return self._names[value.name]
