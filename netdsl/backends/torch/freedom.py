"""The declared sizes that a module is fixed to: those on which its code or one of its weights depends.

The others may be anything that the spec's constraints allow: a ResNet declared for 224 x 224 takes 176 x 176. They are
found by trying: the net is elaborated with a name in the place of a size, which gives its constraints, and with
another number, which must give the same code.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Sequence

from msgspec.structs import replace

from netdsl.backends.torch.guards import sizes_of
from netdsl.backends.torch.source import Printer
from netdsl.diagnostics.diagnostic import Fault
from netdsl.ir.model import Program, Value
from netdsl.sizes.constraints import Relation, broken_by
from netdsl.sizes.dims import Dim, symbol, symbols

Axis = tuple[str, int]
"""An axis of an input: the input's name, and the axis of the sample."""
Elaborate = Callable[[dict[Axis, Dim]], Program | None]
"""Elaborates the net with other sizes of its inputs; None where it has a mistake there."""
LETTERS = {1: "L", 2: "L", 3: "HW", 4: "DHW"}
"""What spatial sizes are called, by the rank of the input."""


def freed(printer: Printer, elaborate: Elaborate) -> Program:
    """The program with a named size in the place of each declared one that the module is not made for."""
    program, search = printer.program, _Search(printer, elaborate)
    if not search.axes:
        return program
    found = search.attempt(search.axes)
    if found is not None:
        return found
    best, free = program, list[Axis]()
    for axis in search.axes if len(search.axes) > 1 else ():
        if (found := search.attempt([*free, axis])) is not None:
            best, free = found, [*free, axis]
    return best if free else search.square() or program


def code(program: Program) -> str:
    """The PyTorch source of a net without guards and comments: equal for nets that compute the same."""
    return _code(Printer(program, "Net"))


def _code(printer: Printer) -> str:
    return ast.dump(ast.parse(printer.text(None)))


class _Search:
    def __init__(self, printer: Printer, elaborate: Elaborate) -> None:
        program = self.program = printer.program
        self.class_name = printer.class_name
        self.elaborate = elaborate
        self.inputs = {v.name: v for v in program.main.inputs}
        self.axes = [axis for v in program.main.inputs for axis in _spatial(v)]
        self.code = _code(printer) if self.axes else ""

    def attempt(self, axes: list[Axis]) -> Program | None:
        """The program with names for some axes; None where the module is made for one of them."""
        names = self._names(axes)
        named = self.elaborate({axis: symbol(name) for axis, name in names.items()})
        own = [self._size(axis) for axis in axes]
        if named is None or self._is_other(named, dict(zip(names.values(), own, strict=True))):
            return None
        for factors in (range(2, len(axes) + 2), [2] * len(axes), [3] * len(axes)):
            sizes = [size * k for size, k in zip(own, factors, strict=True)]
            if _allows(named, names.values(), sizes):
                return named if self._is_same(dict(zip(axes, sizes, strict=True))) else None
        return None

    def _is_other(self, named: Program, own: dict[str, int]) -> bool:
        """Whether names make another net of it: an axis of size 1 is repeated, one of any size is not."""
        names = frozenset(name for v in named.main.inputs for name in v.type.names)
        return broken_by(own, names, named.constraints, self.program.constraints) is not None

    def square(self) -> Program | None:
        """The program of an image net whose sizes cannot be named, where it takes square images of another size."""
        (value, *others) = self.program.main.inputs
        if others or value.type.rank != 3 or self.axes != [(value.name, 1), (value.name, 2)]:
            return None
        height, width = value.type.shape[1:]
        if height != width or not self._is_same({axis: 2 * self._size(axis) for axis in self.axes}):
            return None
        h, w = map(symbol, self._names(self.axes).values())
        given = Value(value.name, replace(value.type, shape=(value.type.shape[0], h, w)))
        main = replace(self.program.main, inputs=(given,))
        return replace(self.program, main=main, constraints=(*self.program.constraints, Relation(h, "==", w)))

    def _is_same(self, sizes: dict[Axis, int]) -> bool:
        other = self.elaborate(dict(sizes))
        if other is None:
            return False
        try:
            return _code(Printer(other, self.class_name)) == self.code
        except Fault:
            return False

    def _size(self, axis: Axis) -> int:
        size = self.inputs[axis[0]].type.shape[axis[1]]
        assert isinstance(size, int)
        return size

    def _names(self, axes: list[Axis]) -> dict[Axis, str]:
        """A name for each axis that no size has yet."""
        taken = {name for v in self.inputs.values() for size in v.type.shape for name in symbols(size)}
        found: dict[Axis, str] = {}
        for name, index in axes:
            shape = self.inputs[name].type.shape
            letters = LETTERS[len(shape)]
            base = letters[index - (len(shape) - len(letters)) if len(shape) > 2 else 0]
            fresh = next(f for f in (base, *(f"{base}{i}" for i in range(2, 99))) if f not in taken)
            taken.add(fresh)
            found[name, index] = fresh
        return found


def _allows(program: Program, names: Iterable[str], sizes: Sequence[int]) -> bool:
    """Whether the constraints that refer to these names alone hold of these sizes."""
    values = dict(zip(names, sizes, strict=True))
    return all(c.holds(values) for c in program.constraints if sizes_of(c) <= values.keys())


def _spatial(value: Value) -> Iterator[Axis]:
    """The axes of an input that are not its features and have a number."""
    rank, kind = value.type.rank, value.type
    if rank not in LETTERS or (rank == 1 and kind.dtype.startswith("float")):
        return
    for axis in range(rank)[1:] if rank > 2 else range(1):
        if isinstance(kind.shape[axis], int):
            yield (value.name, axis)
