"""Solutions for one named size: the values for which an expression is zero, or at least zero.

An expression of floor divisions by numbers is linear plus bounded: between two parallel lines. Where the lines rise or
fall, only the values between their zeros are in doubt, and an expression that only grows is bisected. Where they are
level the expression repeats, and its solutions are residues: one for a single division (by the extended Euclid), and
else found digit by digit, leaving out what the lines exclude. Nothing is enumerated up to a period.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor, gcd, lcm
from typing import Union

from msgspec import Struct

from netdsl.budget import spend
from netdsl.sizes.dims import Dim, Extreme, Floor, Size, Symbol, evaluate, substitute, symbol, symbols

KEPT = 4_096
"""How many solutions are remembered: equal layers ask the same again, and so does the check after the next key."""

MOST = 20_000
"""How many values or residues are tried one by one. What would need more is not solved."""


class Classes(Struct, frozen=True):
    """All values that leave one of these residues."""

    modulus: int
    residues: frozenset[int]


class Range(Struct, frozen=True):
    """All values from one to another (none: without end), both inclusive."""

    low: int
    high: int | None


class Values(Struct, frozen=True):
    """Finitely many values."""

    values: frozenset[int]


Solutions = Union[Classes, Range, Values]
NOTHING = Classes(1, frozenset())


class Line(Struct, frozen=True):
    """`slope * n + low <= expression <= slope * n + high` for every whole number n."""

    slope: Fraction
    low: Fraction
    high: Fraction

    def within(self, least: int, most: int | None) -> bool | None:
        """Whether a level expression lies between two values (none: no upper one); None where it may or may not."""
        if self.high < least or (most is not None and self.low > most):
            return False
        return True if self.low >= least and (most is None or self.high <= most) else None


@lru_cache(KEPT)
def zeros(size: Size, name: str) -> Solutions | None:
    """The values at which an expression is zero; None where they cannot be found."""
    line = line_of(size)
    if line is None:
        return None
    if line.slope == 0:
        return _residues(size, name, line, 0, 0)
    ends = sorted((-line.low / line.slope, -line.high / line.slope))
    low, high = max(1, ceil(ends[0])), floor(ends[1])
    sign = direction(size)
    if sign:
        growing = size * sign
        first = _first(growing, name, 0, low, high + 1)
        return Range(first, _first(growing, name, 1, first, high + 1) - 1)
    return _among(size, name, low, high, lambda value: value == 0)


@lru_cache(KEPT)
def positives(size: Size, name: str) -> Solutions | None:
    """The values at which an expression is at least zero; where it rises, those from which on it stays so. None where
    they cannot be found."""
    line = line_of(size)
    if line is None:
        return None
    if line.slope == 0:
        return _residues(size, name, line, 0, None)
    sure, last = -line.low / line.slope, -line.high / line.slope
    if line.slope > 0:
        low, high = max(1, ceil(last)), max(1, ceil(sure))
        if direction(size):
            return Range(_first(size, name, 0, low, high), None)
        if high - low > MOST:
            return None
        return Range(next((n + 1 for n in range(high, low - 1, -1) if _at(size, name, n) < 0), low), None)
    if direction(size):
        return Range(1, _first(-size, name, 1, 1, max(1, floor(last)) + 1) - 1)
    return _among(size, name, 1, floor(last), lambda value: value >= 0)


def line_of(size: Dim) -> Line | None:
    """The lines an expression of one name lies between; None for a product of names, a maximum or a minimum."""
    if isinstance(size, int):
        return Line(Fraction(0), Fraction(size), Fraction(size))
    slope = low = high = Fraction(0)
    for monomial, coefficient in size.terms:
        spend(12)
        if len(monomial) > 1:
            return None
        atom = monomial[0] if monomial else None
        inner = Line(Fraction(0), Fraction(1), Fraction(1))
        if isinstance(atom, Symbol):
            inner = Line(Fraction(1), Fraction(0), Fraction(0))
        elif isinstance(atom, Floor):
            numerator = line_of(atom.numerator)
            if numerator is None or not isinstance(atom.denominator, int):
                return None
            d = atom.denominator
            inner = Line(numerator.slope / d, numerator.low / d - Fraction(d - 1, d), numerator.high / d)
        elif isinstance(atom, Extreme):
            return None
        ends = (coefficient * inner.low, coefficient * inner.high)
        slope, low, high = slope + coefficient * inner.slope, low + min(ends), high + max(ends)
    return Line(slope, low, high)


def direction(size: Dim) -> int:
    """1 for an expression that never falls as its name grows, -1 for one that never rises, 0 where that is not seen."""
    if isinstance(size, int):
        return 1
    signs = set()
    for monomial, coefficient in size.terms:
        if len(monomial) > 1:
            return 0
        if monomial:
            atom = monomial[0]
            divided = isinstance(atom, Floor) and isinstance(atom.denominator, int)
            sign = direction(atom.numerator) if isinstance(atom, Floor) and divided else isinstance(atom, Symbol)
            signs.add(sign if coefficient > 0 else -sign)
    return signs.pop() if len(signs) == 1 else 0


def _at(size: Dim, name: str, value: int) -> int:
    return evaluate(size, {name: value})


def _first(size: Dim, name: str, least: int, low: int, high: int) -> int:
    """The first value from `low` on at which a growing expression reaches `least`; `high` where none before does."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _at(size, name, middle) >= least else (middle + 1, high)
    return low


def _among(size: Size, name: str, low: int, high: int, wanted: Callable[[int], bool]) -> Values | None:
    if high - low > MOST:
        return None
    return Values(frozenset(n for n in range(low, high + 1) if wanted(_at(size, name, n))))


def _residues(size: Size, name: str, line: Line, least: int, most: int | None) -> Classes | None:
    """The residues at which an expression that repeats lies between two values."""
    found = _one_division(size) if most == least == 0 else None
    if found is not None:
        return found
    leaves: list[tuple[int, int]] = []
    waiting: list[tuple[Dim, Line, int, int]] = [(size, line, 1, 0)]
    tried = 0
    while waiting:
        rest, inside, modulus, residue = waiting.pop()
        decided = inside.within(least, most)
        if decided is not None:
            leaves += [(modulus, residue)] * decided
            continue
        digits = _digits(rest)
        tried += digits
        if tried > MOST:
            return None
        for digit in range(digits):
            part = substitute(rest, {name: digits * symbol(name) + digit})
            lines = line_of(part)
            assert lines is not None
            waiting.append((part, lines, modulus * digits, residue + modulus * digit))
    return _joined(leaves)


def _joined(leaves: list[tuple[int, int]]) -> Classes | None:
    """Residues of several moduli as residues of one."""
    modulus = lcm(*(m for m, _ in leaves))
    if sum(modulus // m for m, _ in leaves) > MOST:
        return None
    return least_modulus(modulus, frozenset(r for m, first in leaves for r in range(first, modulus, m)))


def _divisions(size: Dim) -> list[Floor]:
    """The floor divisions that are terms of an expression."""
    terms = size.terms if isinstance(size, Size) else ()
    return [m[0] for m, _ in terms if m and isinstance(m[0], Floor)]


def _digits(size: Dim) -> int:
    """Into how many residues a name is split so that an innermost division of an expression comes out even."""
    atom = _divisions(size)[0]
    while inner := _divisions(atom.numerator):
        atom = inner[0]
    assert isinstance(atom.denominator, int)
    return atom.denominator


def _linear(size: Dim) -> tuple[int, int]:
    """The factor and the constant of a linear expression."""
    terms = size.terms if isinstance(size, Size) else (((), size),)
    return sum(c for m, c in terms if m), sum(c for m, c in terms if not m)


def _one_division(size: Size) -> Classes | None:
    """The zeros of `a*n + b + c*((p*n + q)//d)`, which repeats: where `p*n + q` leaves one residue modulo d.
    p and d have no divisor in common: floor divisions are kept reduced."""
    floors = _divisions(size)
    if len(floors) != 1 or _divisions(floors[0].numerator):
        return None
    d = floors[0].denominator
    assert isinstance(d, int)
    p, q = _linear(floors[0].numerator)
    c = next(k for m, k in size.terms if m and m[0] is floors[0])
    b = sum(k for m, k in size.terms if not m)
    residue, left = divmod(b * d + c * q, c)
    if left or not 0 <= residue < d:
        return NOTHING
    return Classes(d, frozenset(((residue - q) * pow(p, -1, d) % d,)))


def least_modulus(modulus: int, residues: frozenset[int]) -> Classes:
    """The same set of whole numbers with the smallest modulus."""
    if not residues:
        return NOTHING
    factor = 2
    while factor <= gcd(modulus, len(residues)):
        smaller = modulus // factor
        classes = frozenset(r % smaller for r in residues) if gcd(modulus, len(residues)) % factor == 0 else residues
        if len(classes) * factor == len(residues):
            modulus, residues = smaller, classes
        else:
            factor += 1
    return Classes(modulus, residues)


def common_count(a: Classes, b: Classes) -> int:
    """How many residues modulo the least common multiple two sets have in common (the Chinese remainder theorem)."""
    step = gcd(a.modulus, b.modulus)
    spend(len(a.residues) + len(b.residues))
    count: dict[int, int] = {}
    for r in b.residues:
        count[r % step] = count.get(r % step, 0) + 1
    return sum(count.get(r % step, 0) for r in a.residues)


def intersection(a: Classes, b: Classes) -> Classes:
    """The numbers that are in both sets."""
    step = gcd(a.modulus, b.modulus)
    by_rest: dict[int, list[int]] = {}
    for r in b.residues:
        by_rest.setdefault(r % step, []).append(r)
    rest = b.modulus // step
    inverse = pow(a.modulus // step, -1, rest)
    both = frozenset(
        r + a.modulus * ((s - r) // step * inverse % rest) for r in a.residues for s in by_rest.get(r % step, ())
    )
    return least_modulus(lcm(a.modulus, b.modulus), both)


def solved_for_symbol(difference: Size) -> tuple[str, Dim] | None:
    """`(H, e)` where `difference == 0` says `H == e` and `e` does not refer to H; the later name is solved for."""
    for monomial, coefficient in reversed(difference.terms):
        if len(monomial) == 1 and abs(coefficient) == 1:
            name = str(monomial[0])
            rest = difference - Size(((monomial, coefficient),))
            if name.isidentifier() and name not in symbols(rest):
                return name, -coefficient * rest
    return None
