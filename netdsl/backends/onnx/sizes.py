"""Sizes as values of an ONNX graph: named sizes are read from the shapes of the inputs, and computed with."""

from __future__ import annotations

from functools import reduce
from typing import Protocol

from netdsl.ir.model import Value
from netdsl.ops.base import Graph
from netdsl.sizes.constraints import PROVED, Assumptions
from netdsl.sizes.dims import Atom, Dim, Extreme, Floor, Symbol, symbol

SCOPE = "sizes"


class Scoped(Graph, Protocol):
    """A graph that knows its inputs, and for which op call nodes are added."""

    inputs: tuple[Value, ...]
    scope: str


class Sizes:
    """Every size is computed once per graph, as an int64 vector of one number."""

    def __init__(self, graph: Scoped) -> None:
        self.graph = graph
        self._known: dict[Dim, str] = {}

    def reshape(self, sizes: tuple[Dim, ...], batch: bool, copied: bool) -> str:
        """The shape input of a Reshape: its 0 copies the batch size (`copied`: the first axis of its input), and its -1
        stands for the one size that would be the hardest to compute."""
        entries: list[Dim | None] = [0, *sizes] if batch else [*sizes]
        if batch and not copied:
            entries[0] = None
        else:
            symbolic = [s for s in sizes if not isinstance(s, int)]
            if symbolic:
                hardest = max(symbolic, key=lambda s: len(str(s)))
                entries[entries.index(hardest)] = None
        return self._joined([-1 if e is None else e for e in entries])

    def vector(self, sizes: tuple[Dim, ...], batch: bool) -> str:
        """A shape with all its numbers, for nodes that know no 0 and -1."""
        return self._joined([*sizes], self._batch() if batch else None)

    def _joined(self, entries: list[Dim], first: str | None = None) -> str:
        """The vector of sizes; neighbouring numbers are one constant."""
        parts, numbers = [first] if first else [], list[int]()
        for entry in [*entries, None]:
            if isinstance(entry, int):
                numbers.append(entry)
                continue
            if numbers:
                parts.append(self.graph.const(numbers, "int64"))
                numbers = []
            if entry is not None:
                parts.append(self._size(entry))
        return parts[0] if len(parts) == 1 else self._op("Concat", *parts, axis=0)

    def _op(self, op_type: str, *inputs: str, **attributes: int) -> str:
        outer, self.graph.scope = self.graph.scope, SCOPE
        result = str(self.graph.op(op_type, *inputs, **attributes))
        self.graph.scope = outer
        return result

    def _batch(self) -> str:
        return self._op("Shape", next(v.name for v in self.graph.inputs if v.type.batched), start=0, end=1)

    def _size(self, size: Dim) -> str:
        if size not in self._known:
            self._known[size] = self._computed(size)
        return self._known[size]

    def _computed(self, size: Dim) -> str:
        if isinstance(size, int):
            return self.graph.const((size,), "int64")
        for value in self.graph.inputs:
            if size in value.type.shape:
                axis = value.type.shape.index(size) + value.type.batched
                return self._op("Shape", value.name, start=axis, end=axis + 1)
        terms = []
        for monomial, coefficient in size.terms:
            factors = [self._atom(a) for a in monomial]
            if coefficient != 1 or not factors:
                factors.append(self.graph.const((coefficient,), "int64"))
            terms.append(reduce(lambda a, b: self._op("Mul", a, b), factors))
        return reduce(lambda a, b: self._op("Add", a, b), terms)

    def _atom(self, atom: Atom) -> str:
        if isinstance(atom, Floor):
            return self._floor(atom)
        if isinstance(atom, Extreme):
            return self._op("Max" if atom.kind == "max" else "Min", *map(self._size, atom.args))
        assert isinstance(atom, Symbol)
        return self._size(symbol(atom.key))  # an axis of an input: that is where a name is declared

    def _floor(self, atom: Floor) -> str:
        """ONNX divides towards zero, so the remainder goes first where the numerator may be negative."""
        above, below = self._size(atom.numerator), self._size(atom.denominator)
        if Assumptions().at_least(atom.numerator, 0) != PROVED:
            above = self._op("Sub", above, self._op("Mod", above, below))
        return self._op("Div", above, below)
