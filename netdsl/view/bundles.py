"""Values that are drawn as one line."""

from __future__ import annotations

from collections.abc import Iterable

from netdsl.ir.model import Output, Value
from netdsl.view.item import Body, Gate, Item


class Bundles:
    """The values of a definition that are drawn as one line: the first one of a bundle stands for all of it."""

    def __init__(self) -> None:
        self.values: dict[str, tuple[Value, ...]] = {}
        self._first: dict[str, Value] = {}

    def tie(self, values: Iterable[Value]) -> Value:
        """Draw values, or the bundles that they stand for, as one line. Returns what stands for it."""
        every = tuple(v for value in values for v in self.all(value))
        self.values[every[0].name] = every
        self._first |= dict.fromkeys((v.name for v in every), every[0])
        return every[0]

    def all(self, value: Value) -> tuple[Value, ...]:
        """The values that a value stands for."""
        return self.values.get(value.name, (value,))

    def first(self, value: Value) -> Value:
        """The stand-in of a value."""
        return self._first.get(value.name, value)

    def drawn(self, values: Iterable[Value]) -> tuple[Value, ...]:
        """The stand-ins of values, each once."""
        return tuple({v.name: v for v in map(self.first, values)}.values())

    def body(self, inputs: Iterable[Value], items: tuple[Item, ...], outputs: Iterable[Output]) -> Body:
        """Items with where values enter and leave them, as things are tied now."""
        seen = {v.name for i in items for v in (*i.inputs, *i.outs)}
        tied = {name: every for name, every in self.values.items() if name in seen}
        return Body(self._entries(inputs), items, self._exits(outputs), tied)

    def _entries(self, values: Iterable[Value]) -> tuple[Gate, ...]:
        """Where values enter a drawing."""
        return tuple(Gate(span([w.name for w in self.all(v)]), (v,)) for v in self.drawn(values))

    def _exits(self, outputs: Iterable[Output]) -> tuple[Gate, ...]:
        """Where values leave a drawing."""
        together: dict[str | int, list[Output]] = {}
        for i, out in enumerate(outputs):
            tied = self._first.get(out.value.name)
            together.setdefault(tied.name if tied else i, []).append(out)
        return tuple(Gate(span([o.name for o in outs]), (self.first(outs[0].value),)) for outs in together.values())


def span(names: list[str]) -> str:
    """The first and the last of several names."""
    return names[0] if len(names) == 1 else f"{names[0]} ... {names[-1]}"
