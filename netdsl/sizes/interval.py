"""Between which numbers a size lies, whatever its named sizes are (each at least 1)."""

from __future__ import annotations

from typing import Union

from netdsl.budget import spend
from netdsl.sizes.dims import Atom, Dim, Extreme, Floor

Number = Union[int, float]
"""A whole number, or infinity of either sign; no other float."""

Interval = tuple[Number, Number]
INFINITY = float("inf")
ANY: Interval = (-INFINITY, INFINITY)


def interval(size: Dim) -> Interval:
    """The least and the greatest that a size may be, as far as interval arithmetic sees it."""
    if isinstance(size, int):
        return size, size
    low: Number = 0
    high: Number = 0
    for monomial, coefficient in size.terms:
        spend(4 * (1 + len(monomial)))
        term: Interval = (coefficient, coefficient)
        for atom in monomial:
            term = _product(term, _of_atom(atom))
        low, high = _sum(low, term[0]), _sum(high, term[1])
    return low, high


def _of_atom(atom: Atom) -> Interval:
    if isinstance(atom, Floor):
        return _quotient(interval(atom.numerator), interval(atom.denominator))
    if isinstance(atom, Extreme):
        ends = [interval(a) for a in atom.args]
        pick = max if atom.kind == "max" else min
        return pick(low for low, _ in ends), pick(high for _, high in ends)
    return 1, INFINITY


def _quotient(a: Interval, b: Interval) -> Interval:
    """`a // b`, which lies between `a` divided by the ends of a positive `b`; anything for others."""
    if b[0] <= 0:
        return ANY
    corners = [_divided(x, y) for x in a for y in b]
    return min(corners), max(corners)


def _divided(a: Number, b: Number) -> Number:
    if isinstance(a, float):
        return a
    if isinstance(b, float):
        return -1 if a < 0 else 0
    return a // b


def _product(a: Interval, b: Interval) -> Interval:
    corners = [_times(x, y) for x in a for y in b]
    return min(corners), max(corners)


def _times(a: Number, b: Number) -> Number:
    if a == 0 or b == 0:
        return 0
    if isinstance(a, float) or isinstance(b, float):
        return INFINITY if (a > 0) == (b > 0) else -INFINITY
    return a * b


def _sum(a: Number, b: Number) -> Number:
    return a if isinstance(a, float) else b if isinstance(b, float) else a + b
