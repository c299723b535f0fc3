"""What must hold of the named sizes, derived while shapes are inferred.

`Assumptions` answers three questions about sizes (`equal`, `divisible`, `at_least`): proven facts cost nothing, facts
that can never hold are errors, and what lies between becomes a constraint on the named sizes. For one named size the
answer is exact: an expression of floor divisions is linear plus periodic, so its solutions are residues modulo the
least period, or a finite set, or everything from some size on. Facts over several names are kept as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import lcm

from msgspec import Struct

from netdsl.sizes.dims import Dim, Extreme, Floor, Size, evaluate, substitute, symbols

PERIOD_LIMIT = 100_000
"""Periods longer than this are not enumerated; the fact is then kept as a relation."""

PROVED, ASSUMED, IMPOSSIBLE = "proved", "assumed", "impossible"


class Residues(Struct, frozen=True):
    """`symbol % modulus` is one of `residues`."""

    symbol: str
    modulus: int
    residues: tuple[int, ...]

    def holds(self, sizes: Mapping[str, int]) -> bool:
        return sizes[self.symbol] % self.modulus in self.residues

    def __str__(self) -> str:
        if len(self.residues) == 1:
            return f"{self.symbol} % {self.modulus} == {self.residues[0]}"
        return f"{self.symbol} % {self.modulus} in ({', '.join(map(str, self.residues))})"


class AtLeast(Struct, frozen=True):
    """`symbol >= minimum`."""

    symbol: str
    minimum: int

    def holds(self, sizes: Mapping[str, int]) -> bool:
        return sizes[self.symbol] >= self.minimum

    def __str__(self) -> str:
        return f"{self.symbol} >= {self.minimum}"


class OneOf(Struct, frozen=True):
    """`symbol` is one of finitely many values."""

    symbol: str
    values: tuple[int, ...]

    def holds(self, sizes: Mapping[str, int]) -> bool:
        return sizes[self.symbol] in self.values

    def __str__(self) -> str:
        if len(self.values) == 1:
            return f"{self.symbol} == {self.values[0]}"
        return f"{self.symbol} in ({', '.join(map(str, self.values))})"


class Relation(Struct, frozen=True):
    """`left == right` or `left >= right`, over several named sizes."""

    left: Dim
    op: str
    right: Dim

    def holds(self, sizes: Mapping[str, int]) -> bool:
        left, right = evaluate(self.left, sizes), evaluate(self.right, sizes)
        return left == right if self.op == "==" else left >= right

    def __str__(self) -> str:
        return f"{self.left} {self.op} {self.right}"


Constraint = Residues | AtLeast | OneOf | Relation


class Assumptions:
    """The constraints derived so far. Each question returns `proved`, `assumed` or `impossible`."""

    def __init__(self) -> None:
        self._axes: dict[str, _Axis] = {}
        self._relations: dict[Relation, None] = {}
        self._known: dict[str, Dim] = {}

    def equal(self, a: Dim, b: Dim) -> str:
        """Assume that `a == b`."""
        difference = a - b
        if isinstance(difference, int):
            return PROVED if difference == 0 else IMPOSSIBLE
        difference = self._substituted(difference)
        if isinstance(difference, int):
            return PROVED if difference == 0 else IMPOSSIBLE
        period = _period(difference)
        if period is None:
            return self._relate(a, b, difference)
        (name,) = symbols(difference)
        return self._axis(name).meet_zero(difference, name, period)

    def divisible(self, a: Dim, divisor: int) -> str:
        """Assume that `a % divisor == 0`."""
        return self.equal(a % divisor, 0)

    def at_least(self, a: Dim, minimum: int) -> str:
        """Assume that `a >= minimum`."""
        if isinstance(a, int):
            return PROVED if a >= minimum else IMPOSSIBLE
        a = self._substituted(a)
        if isinstance(a, int):
            return PROVED if a >= minimum else IMPOSSIBLE
        period = _period(a)
        if period is not None:
            (name,) = symbols(a)
            return self._axis(name).meet_at_least(a, name, period, minimum)
        if _least(a) >= minimum:
            return PROVED
        self._relations[Relation(a, ">=", minimum)] = None
        return ASSUMED

    def constraints(self) -> tuple[Constraint, ...]:
        """All constraints, per named size and least form first."""
        own = [c for name in sorted(self._axes) for c in self._axes[name].constraints(name)]
        return (*own, *self._relations)

    def _substituted(self, size: Dim) -> Dim:
        return substitute(size, self._known) if self._known else size

    def _axis(self, name: str) -> _Axis:
        return self._axes.setdefault(name, _Axis())

    def _relate(self, a: Dim, b: Dim, difference: Size) -> str:
        if _least(difference) > 0 or _least(-difference) > 0:
            return IMPOSSIBLE
        self._relations[Relation(a, "==", b)] = None
        solved = _solve_for_symbol(difference)
        if solved is not None and solved[0] not in self._axes:
            self._known[solved[0]] = solved[1]
        return ASSUMED


class _Axis:
    """What is known of one named size: residues modulo a period, a least value, perhaps finitely many values."""

    def __init__(self) -> None:
        self.modulus = 1
        self.residues = frozenset((0,))
        self.minimum = 1
        self.values: frozenset[int] | None = None

    def meet_zero(self, expression: Size, name: str, period: int) -> str:
        """Keep the values at which `expression` (of that period) is zero."""
        slope = evaluate(expression, {name: 2 * period}) - evaluate(expression, {name: period})
        at = [evaluate(expression, {name: r + period}) for r in range(period)]
        if slope == 0:
            return self._meet_residues(period, frozenset(r for r, v in enumerate(at) if v == 0))
        roots = (r + period - period * v // slope for r, v in enumerate(at) if v % slope == 0)
        return self._meet_values(frozenset(r for r in roots if r >= 1))

    def meet_at_least(self, expression: Size, name: str, period: int, minimum: int) -> str:
        """Keep the values at which `expression` is at least `minimum`: where it grows, from the first on at which it
        stays there; where it repeats, the residues; where it falls, finitely many values."""
        slope = evaluate(expression, {name: 2 * period}) - evaluate(expression, {name: period})
        if slope <= 0:
            at = [evaluate(expression, {name: r + period}) - minimum for r in range(period)]
            if slope == 0:
                return self._meet_residues(period, frozenset(r for r, v in enumerate(at) if v >= 0))
            turns = ((r + period, v // -slope) for r, v in enumerate(at))
            return self._meet_values(
                frozenset(n + period * t for n, last in turns for t in range(-1, last + 1) if n + period * t > 0)
            )
        last = 0
        for r in range(period):
            value = evaluate(expression, {name: r + period})
            steps = -((value - minimum) // slope)  # the first t with value + t*slope >= minimum
            last = max(last, r + period + period * (steps - 1))
        if last < self.minimum:
            return PROVED
        self.minimum = last + 1
        return self._verdict(changed=True)

    def _meet_residues(self, modulus: int, residues: frozenset[int]) -> str:
        common = lcm(self.modulus, modulus)
        both = frozenset(r for r in range(common) if r % self.modulus in self.residues and r % modulus in residues)
        changed = len(both) * self.modulus != len(self.residues) * common
        self.modulus, self.residues = _least_modulus(common, both)
        return self._verdict(changed)

    def _meet_values(self, values: frozenset[int]) -> str:
        before = self.values
        self.values = values if before is None else before & values
        return self._verdict(self.values != before)

    def _verdict(self, changed: bool) -> str:
        if self.values is not None:
            self.values = frozenset(v for v in self.values if v >= self.minimum and v % self.modulus in self.residues)
        if not self.residues or self.values == frozenset():
            return IMPOSSIBLE
        return ASSUMED if changed else PROVED

    def constraints(self, name: str) -> list[Constraint]:
        if self.values is not None:
            return [OneOf(name, tuple(sorted(self.values)))]
        found: list[Constraint] = []
        if self.modulus > 1:
            found.append(Residues(name, self.modulus, tuple(sorted(self.residues))))
        minimum = self.minimum
        while minimum % self.modulus not in self.residues:
            minimum += 1
        if minimum > min(r or self.modulus for r in self.residues):
            found.append(AtLeast(name, minimum))
        return found


def _least_modulus(modulus: int, residues: frozenset[int]) -> tuple[int, frozenset[int]]:
    """The same set of integers with the smallest modulus."""
    for divisor in range(1, modulus):
        if modulus % divisor == 0:
            classes = frozenset(r % divisor for r in residues)
            if len(classes) * (modulus // divisor) == len(residues):
                return divisor, classes
    return modulus, residues


def _period(size: Size) -> int | None:
    """The period of a one-name, linear-plus-periodic expression, or None where it is not such."""
    if len(symbols(size)) != 1 or any(len(monomial) > 1 for monomial, _ in size.terms):
        return None
    period = 1
    for atom in (monomial[0] for monomial, _ in size.terms if monomial):
        if isinstance(atom, Extreme):
            return None
        if isinstance(atom, Floor):
            inner = _period(atom.numerator) if isinstance(atom.numerator, Size) else None
            if inner is None or not isinstance(atom.denominator, int):
                return None
            period = lcm(period, inner * atom.denominator)
    return period if period <= PERIOD_LIMIT else None


def _least(size: Dim) -> float:
    """A lower bound of a size whose names are all >= 1."""
    return _bound(size, low=True)


def _bound(size: Dim, low: bool) -> float:
    if isinstance(size, int):
        return size
    total = 0.0
    for monomial, coefficient in size.terms:
        lowest = low == (coefficient > 0)
        factors = [_atom_bound(atom, lowest) for atom in monomial]
        product = 1.0
        for factor in factors:
            product = 0.0 if factor == 0 or product == 0 else product * factor
        total += coefficient * product
    return total if total == total else (float("-inf") if low else float("inf"))


def _atom_bound(atom: object, low: bool) -> float:
    if isinstance(atom, Floor):
        if isinstance(atom.denominator, int):
            bound = _bound(atom.numerator, low)
            return bound // atom.denominator if abs(bound) != float("inf") else bound
        return 0.0 if low else float("inf")
    if isinstance(atom, Extreme):
        pick: Callable[..., float] = max if atom.kind == "max" else min
        return pick(_bound(a, low) for a in atom.args)
    return 1.0 if low else float("inf")


def _solve_for_symbol(difference: Size) -> tuple[str, Dim] | None:
    """`(H, e)` where `difference == 0` says `H == e` and `e` does not speak of H; the later name is solved for."""
    for monomial, coefficient in reversed(difference.terms):
        if len(monomial) == 1 and abs(coefficient) == 1:
            name = str(monomial[0])
            rest = difference - Size(((monomial, coefficient),))
            if name.isidentifier() and name not in symbols(rest):
                return name, -coefficient * rest
    return None
