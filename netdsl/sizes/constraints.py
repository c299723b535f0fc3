"""What must hold of the named sizes, derived while shapes are inferred.

`Assumptions` answers three questions about sizes (`equal`, `divisible`, `at_least`): proven facts cost nothing, facts
that can never hold are errors, and what lies between becomes a constraint on the named sizes. For one named size the
answer is exact (`netdsl.sizes.solve`): its solutions are residues, or a range, or a finite set. Facts over several
names, and those that are not solved, are kept as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from netdsl.sizes.axis import ASSUMED, IMPOSSIBLE, PROVED, Axis
from netdsl.sizes.dims import Dim, Size, evaluate, substitute, symbols
from netdsl.sizes.interval import interval
from netdsl.sizes.solve import Solutions, positives, zeros

__all__ = [
    "ASSUMED", "IMPOSSIBLE", "PROVED", "Assumptions", "AtLeast", "AtMost", "Constraint", "OneOf", "Relation", "Residues"
]  # fmt: skip


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


class AtMost(Struct, frozen=True):
    """`symbol <= maximum`."""

    symbol: str
    maximum: int

    def holds(self, sizes: Mapping[str, int]) -> bool:
        return sizes[self.symbol] <= self.maximum

    def __str__(self) -> str:
        return f"{self.symbol} <= {self.maximum}"


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


Constraint = Residues | AtLeast | AtMost | OneOf | Relation


class Assumptions:
    """The constraints derived so far. Each question returns `proved`, `assumed` or `impossible`."""

    def __init__(self) -> None:
        self._axes: dict[str, Axis] = {}
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
        return self._solved(difference, zeros) or self._relate(a, b, difference)

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
        rest = a - minimum
        solved = self._solved(rest, positives) if isinstance(rest, Size) else None
        if solved is not None:
            return solved
        if interval(a)[0] >= minimum:
            return PROVED
        self._relations[Relation(a, ">=", minimum)] = None
        return ASSUMED

    def constraints(self) -> tuple[Constraint, ...]:
        """All constraints, per named size and least form first."""
        own = [c for name in sorted(self._axes) for c in _of_axis(name, self._axes[name])]
        return (*own, *self._relations)

    def _solved(self, size: Size, solve: Callable[[Size, str], Solutions | None]) -> str | None:
        """The answer to a question about one named size; None where there are several, or it is not solved."""
        names = symbols(size)
        if len(names) != 1:
            return None
        (name,) = names
        found = solve(size, name)
        return None if found is None else self._axis(name).meet(found)

    def _substituted(self, size: Dim) -> Dim:
        return substitute(size, self._known) if self._known else size

    def _axis(self, name: str) -> Axis:
        return self._axes.setdefault(name, Axis())

    def _relate(self, a: Dim, b: Dim, difference: Size) -> str:
        low, high = interval(difference)
        if low > 0 or high < 0:
            return IMPOSSIBLE
        self._relations[Relation(a, "==", b)] = None
        solved = _solve_for_symbol(difference)
        if solved is not None and solved[0] not in self._axes:
            self._known[solved[0]] = solved[1]
        return ASSUMED


def _of_axis(name: str, axis: Axis) -> list[Constraint]:
    """What is known of one named size, least form first."""
    few = axis.few()
    if few is not None:
        return [OneOf(name, tuple(few))]
    found: list[Constraint] = [Residues(name, c.modulus, tuple(sorted(c.residues))) for c in axis.classes]
    minimum = axis.member(axis.minimum)
    if minimum > axis.member(1):
        found.append(AtLeast(name, minimum))
    if axis.maximum is not None:
        found.append(AtMost(name, axis.maximum))
    return found


def _solve_for_symbol(difference: Size) -> tuple[str, Dim] | None:
    """`(H, e)` where `difference == 0` says `H == e` and `e` does not speak of H; the later name is solved for."""
    for monomial, coefficient in reversed(difference.terms):
        if len(monomial) == 1 and abs(coefficient) == 1:
            name = str(monomial[0])
            rest = difference - Size(((monomial, coefficient),))
            if name.isidentifier() and name not in symbols(rest):
                return name, -coefficient * rest
    return None
