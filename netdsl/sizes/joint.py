"""Satisfiability of a fact over several named sizes, given the known facts of each of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from math import gcd, lcm, prod

from netdsl.budget import spend
from netdsl.sizes.axis import Axis
from netdsl.sizes.dims import Dim, Symbol, evaluate, substitute, symbol, symbols
from netdsl.sizes.interval import Interval, interval

MOST_MODULUS = 720
"""The largest common modulus whose residues are tried."""

MOST_TRIES = 20_000
"""How many combinations of residues are tried."""

MOST_NAMES = 4
"""Over how many named sizes a fact may go to be examined."""


def reachable(size: Dim, axes: Mapping[str, Axis]) -> Interval:
    """Between which numbers a size lies, where each named size lies between its own bounds.

    A name of at least 5 is 4 and another name, one of at most 9 is 10 without another name: each way of writing the
    size so gives bounds, and all of them hold.
    """
    names = [n for n in symbols(size) if n in axes]
    low, high = interval(size)
    if not names or len(names) > MOST_NAMES:
        return low, high
    for ends in product(*(list(_ends(n, axes[n])) for n in names)):
        found = interval(substitute(size, dict(zip(names, ends, strict=True))))
        low, high = max(low, found[0]), min(high, found[1])
    return low, high


def _ends(name: str, axis: Axis) -> Iterator[Dim]:
    least, most = axis.ends()
    yield symbol(name) + (least - 1)
    if most is not None:
        yield -symbol(name) + (most + 1)


def can_vanish(difference: Dim, axes: Mapping[str, Axis]) -> bool:
    """False where a size is never 0: its bounds exclude it, its rest by the moduli of its names does, or the common
    factor of its terms does not divide its number."""
    low, high = reachable(difference, axes)
    if low > 0 or high < 0 or not _divides(difference):
        return False
    names = sorted(symbols(difference))
    modulus = lcm(*(c.modulus for n in names if n in axes for c in axes[n].classes))
    if not _is_polynomial(difference) or not 1 < modulus <= MOST_MODULUS:
        return True
    rests = [_rests(axes.get(n), modulus) for n in names]
    tries = prod(map(len, rests))
    if tries > MOST_TRIES:
        return True
    spend(tries)
    return any(evaluate(difference, dict(zip(names, v, strict=True))) % modulus == 0 for v in product(*rests))


def _divides(difference: Dim) -> bool:
    """Whether the common factor of the terms with names divides the number: `2*H - 2*W` is never 1."""
    if isinstance(difference, int):
        return difference == 0
    factor = gcd(*(c for monomial, c in difference.terms if monomial))
    return not factor or all(c % factor == 0 for monomial, c in difference.terms if not monomial)


def _rests(axis: Axis | None, modulus: int) -> list[int]:
    """The rests that a named size may leave."""
    few = axis.few() if axis is not None else None
    if few is not None:
        return sorted({v % modulus for v in few})
    classes = axis.classes if axis is not None else []
    return [r for r in range(modulus) if all(r % c.modulus in c.residues for c in classes)]


def _is_polynomial(size: Dim) -> bool:
    return isinstance(size, int) or all(isinstance(a, Symbol) for monomial, _ in size.terms for a in monomial)
