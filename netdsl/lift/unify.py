"""Anti-unification: terms that are equal up to numbers become one, with arguments where the numbers differ.

Numbers that are the same wherever the term is used stay. Those that change together are one argument, and a width that
is always a multiple of another is written as one (`4 * c`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from msgspec import Struct

from netdsl.sizes.dims import Size


class Name(Struct, frozen=True):
    """An argument or a loop's variable, times a number."""

    name: str
    factor: int = 1

    def __str__(self) -> str:
        return self.name if self.factor == 1 else f"{self.factor} * {self.name}"


class Unified(Struct, frozen=True):
    """`values`: what is in the holes, literals and names; `names` the arguments; `rows`: their values at each use."""

    values: tuple[Any, ...]
    names: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


WIDTHS = frozenset(
    ("out_channels", "out_features", "groups", "num_groups", "shape", "hidden_size", "embedding_dim", "dim", "sizes")
)
SHORT = {"kernel_size": "k", "width": "c", "stride": "stride", "count": "depth", "padding": "padding"}
"""What an argument is called, by the field it is given to."""

RESERVED = frozenset(("it", "H", "W"))


def family(label: str) -> str:
    """The kind of a number: numbers of one family can be one argument."""
    field = label.rpartition(".")[2]
    return "width" if field in WIDTHS else field


def is_named(value: Any) -> bool:
    """Whether a value is known only where it stands: a loop's variable."""
    return isinstance(value, Name)


def unify(
    rows: Sequence[Sequence[Any]], labels: Sequence[str], taken: Collection[str] = (), closed: bool = False
) -> Unified:
    """Columns of numbers, one row for each use, as few arguments, whose names are not `taken`; `closed`: of a block, to
    which sizes are given."""
    columns = list(zip(*rows, strict=True))
    found: list[Any] = [None] * len(columns)
    outer = {v.name for row in rows for v in row if is_named(v)}.union(taken)
    bases: dict[str, tuple[str, Sequence[Any]]] = {}
    for index in sorted(range(len(columns)), key=lambda i: _rank(columns[i], i)):
        column = columns[index]
        found[index] = column[0] if _is_constant(column, closed) else _named(column, labels[index], bases, outer)
    order = _in_order(found, list(bases))
    arguments = tuple(zip(*(bases[n][1] for n in order), strict=True))
    return Unified(tuple(found), tuple(order), arguments or ((),) * len(rows))


def _named(column: Sequence[Any], label: str, bases: dict[str, tuple[str, Sequence[Any]]], outer: set[str]) -> Name:
    """The argument that a column is, or is a multiple of; a new one is added to `bases`."""
    kind = family(label)
    for name, (other, values) in bases.items():
        factor = _factor(column, values) if other == kind else 0
        if factor == 1 or (factor and kind == "width") or _is_the_same(column, values):
            return Name(name, factor or 1)
    name = _fresh(kind, label, outer | set(bases))
    bases[name] = (kind, column)
    return Name(name)


def _is_the_same(column: Sequence[Any], base: Sequence[Any]) -> bool:
    """Whether numbers of another kind are the same in so many uses that it is no chance: a padding as its dilation."""
    return len(column) > 2 < len({*column}) and _factor(column, base) == 1


def _rank(column: Sequence[Any], index: int) -> tuple[int, int]:
    """Small widths first, so that larger ones are multiples of them."""
    return (sum(v for v in column if type(v) is int), index)


def _is_constant(column: Sequence[Any], closed: bool) -> bool:
    """Whether a column is one number; `closed`: a named size is none, as nothing is known of it inside of a block."""
    first = column[0]
    return (
        not is_named(first)
        and not (closed and isinstance(first, Size))
        and all(type(v) is type(first) and v == first for v in column)
    )


def _factor(column: Sequence[Any], base: Sequence[Any]) -> int:
    """The number that every value of a column is of another's; 0 where there is none."""
    if all(type(a) is type(b) and a == b for a, b in zip(column, base, strict=True)):
        return 1
    if not all(type(v) is int and v > 0 for v in (*column, *base)):
        return _factor_of_names(column, base)
    factor = column[0] // base[0]
    return factor if all(a == factor * b for a, b in zip(column, base, strict=True)) else 0


def _factor_of_names(column: Sequence[Any], base: Sequence[Any]) -> int:
    """The same where some are a loop's variable."""
    factors = set()
    for a, b in zip(column, base, strict=True):
        if is_named(a) and is_named(b) and a.name == b.name and a.factor % b.factor == 0:
            factors.add(a.factor // b.factor)
        elif type(a) is int and type(b) is int and b > 0 and a % b == 0:
            factors.add(a // b)
        else:
            return 0
    return factors.pop() if len(factors) == 1 else 0


def _fresh(kind: str, label: str, taken: set[str]) -> str:
    stem = SHORT.get(kind, label.rpartition(".")[2])
    stem = f"{stem}_" if stem in RESERVED else stem
    name, number = stem, 2
    while name in taken:
        name, number = f"{stem}{number}", number + 1
    return name


def _in_order(found: Sequence[Any], names: Sequence[str]) -> list[str]:
    """Arguments in the order in which they are first read; widths and kernels first."""
    places = {n: next(i for i, v in enumerate(found) if is_named(v) and v.name == n) for n in names}
    return sorted(names, key=lambda n: (n[0] != "c" or (not n[1:].isdigit() and n != "c"), n != "k", places[n]))
