"""Constraints on named sizes, derived while shapes are inferred.

`Assumptions` answers questions about sizes (`equal`, `divisible`, `at_least`, `require`): proven facts cost nothing,
facts that can never hold are errors, and what lies between becomes a constraint on the named sizes. For one named size
the answer is exact (`netdsl.sizes.solve`): its solutions are residues, or a range, or a finite set. Facts over several
names, and those that are not solved, are kept as they are.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from msgspec import Struct

from netdsl.budget import spend
from netdsl.sizes.axis import ASSUMED, IMPOSSIBLE, PROVED, Axis
from netdsl.sizes.dims import Dim, Size, evaluate, substitute, symbol, symbols
from netdsl.sizes.interval import interval
from netdsl.sizes.joint import can_vanish, reachable
from netdsl.sizes.linear import contradictory, differences, needed
from netdsl.sizes.solve import Solutions, positives, solved_for_symbol, zeros

__all__ = [
    "ASSUMED", "IMPOSSIBLE", "PROVED", "Assumptions", "AtLeast", "AtMost", "Constraint", "Either", "OneOf",
    "Relation", "Required", "Residues", "broken_by",
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
    """`left op right`, over several named sizes."""

    left: Dim
    op: str
    right: Dim

    def holds(self, sizes: Mapping[str, int]) -> bool:
        return bool(COMPARISONS[self.op](evaluate(self.left, sizes), evaluate(self.right, sizes)))

    def __str__(self) -> str:
        return f"{self.left} {self.op} {self.right}"


class Required(Relation, frozen=True):
    """The condition of a `require` on named sizes, with its message; `text` is its spelling."""

    message: str = ""
    text: str = ""

    def __str__(self) -> str:
        return self.text


class Either(Struct, frozen=True):
    """The condition of a `require` on named sizes with `or`: all facts of one of these options."""

    options: tuple[tuple[Required, ...], ...]
    message: str = ""

    def holds(self, sizes: Mapping[str, int]) -> bool:
        return any(all(fact.holds(sizes) for fact in option) for option in self.options)

    def __str__(self) -> str:
        return " or ".join(" and ".join(map(str, option)) for option in self.options)


COMPARISONS = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}

Constraint = Residues | AtLeast | AtMost | OneOf | Relation | Either

MOST_RELATIONS = 12
"""How many facts over several names are examined together."""

MOST_TRIES = 100
"""How many ways of choosing between the options of conditions are tried."""


class Assumptions:
    """The constraints derived so far. Each question returns `proved`, `assumed` or `impossible`."""

    def __init__(self) -> None:
        self._axes: dict[str, Axis] = {}
        self._relations: dict[Relation, None] = {}
        self._required: dict[Required, None] = {}
        self._choices: dict[Either, None] = {}
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
        if reachable(a, self._axes)[0] >= minimum or (
            self._relations and contradictory([*self._facts(), minimum - 1 - a])
        ):
            return PROVED
        self._relations[Relation(a, ">=", minimum)] = None
        return ASSUMED if self._consistent() else IMPOSSIBLE

    def require(self, left: Dim, op: str, right: Dim, message: str, text: str) -> str:
        """Assume that `left op right`, as a `require` with this message says."""
        if op == "!=":
            low, high = interval(left - right)
            op = ">" if low >= 0 else "<" if high <= 0 else op
        found = self._compared(left, op, right)
        said = op != "!=" and not message and len(symbols(left) | symbols(right)) == 1
        if found != ASSUMED or said:  # its own bounds say it
            return found
        self._required[Required(left, op, right, message, text)] = None
        return found if op != "!=" or self._consistent() else IMPOSSIBLE

    def _compared(self, left: Dim, op: str, right: Dim) -> str:
        if op == "!=":
            return self._different(left, right)
        if op == "==":
            return self.equal(left, right)
        more, less = (left, right) if op in (">=", ">") else (right, left)
        return self.at_least(more - less, 0 if "=" in op else 1)

    def require_one(self, options: Sequence[Sequence[Required]], message: str) -> str:
        """Assume that all facts of one of these options hold."""
        if len(options) == 1:
            return self._all(options[0])
        possible = []
        for option in options:
            found = self._tried(option)
            if found == PROVED:
                return PROVED
            if found == ASSUMED:
                possible.append(tuple(option))
        if len(possible) == 1:
            return self._all(possible[0])
        if possible:
            self._choices[Either(tuple(possible), message)] = None
        return ASSUMED if possible and self._consistent() else IMPOSSIBLE

    def constraints(self) -> tuple[Constraint, ...]:
        """All constraints, per named size and least form first; those of a `require` last, once."""
        own = [c for name in sorted(self._axes) for c in _of_axis(name, self._axes[name])]
        said = {str(r) for r in self._required}
        facts = {_fact(r) for r in self._required}
        held = [r for r in self._relations if _fact(r) in facts or not self._follows(r)]
        own = [c for c in _needed(own, held) if str(c) not in said]
        return (*own, *(r for r in held if _fact(r) not in facts), *self._required, *self._choices)

    def _follows(self, relation: Relation) -> bool:
        """Whether a fact follows from what is known of each named size by now."""
        if relation.op == "==":
            return substitute(relation.left - relation.right, self._multiples()) == 0
        return relation.op == ">=" and reachable(relation.left - relation.right, self._axes)[0] >= 0

    def _multiples(self) -> dict[str, Dim]:
        """The named sizes with one residue as what they are then: `32*H` for `H % 32 == 0`."""
        return {
            name: symbol(name) * own.modulus + min(own.residues)
            for name, axis in self._axes.items()
            for own in axis.classes[:1]
            if len(own.residues) == 1
        }

    def _consistent(self) -> bool:
        """Whether every fact over several names can hold with what is known of each, and all of them together."""
        spend(10 * len(self._relations) + 20 * len(self._required))
        for relation in self._relations:
            difference = relation.left - relation.right
            if relation.op == "==":
                if not can_vanish(difference, self._axes):
                    return False
            elif reachable(difference, self._axes)[1] < 0:
                return False
        if 1 < len(self._relations) <= MOST_RELATIONS and contradictory(self._facts()):
            return False
        differ = all(not self._vanishes(r.left - r.right) for r in self._required if r.op == "!=")
        return differ and self._choosable(list(self._choices), iter(range(MOST_TRIES)))

    def _facts(self) -> list[Dim]:
        """Sizes that are at least 0, by what is known over several names and of each of those."""
        facts = differences((r.left - r.right, r.op) for r in self._relations)
        for name in sorted(frozenset[str]().union(*map(symbols, facts)) & self._axes.keys()):
            least, most = self._axes[name].ends()
            facts += [symbol(name) - least] + ([most - symbol(name)] if most is not None else [])
        return facts

    def _choosable(self, choices: Sequence[Either], tries: Iterator[int]) -> bool:
        """Whether one option of each can hold together with all others; True too where the tries are used up."""
        if not choices:
            return True
        for option in choices[0].options:
            if next(tries, None) is None:
                return True
            other = self._copy()
            if other._all(option) != IMPOSSIBLE and other._choosable(choices[1:], tries):
                return True
        return False

    def _copy(self) -> Assumptions:
        """The same facts, to be added to; without the choices."""
        spend(10 + 10 * len(self._axes) + len(self._relations) + len(self._required))
        other = Assumptions()
        other._axes = {name: axis.copy() for name, axis in self._axes.items()}
        other._relations, other._required = dict(self._relations), dict(self._required)
        other._known = dict(self._known)
        return other

    def _all(self, facts: Sequence[Required]) -> str:
        verdict = PROVED
        for fact in facts:
            found = self.require(fact.left, fact.op, fact.right, fact.message, fact.text)
            if found == IMPOSSIBLE:
                return found
            verdict = ASSUMED if ASSUMED in (verdict, found) else PROVED
        return verdict

    def _tried(self, facts: Sequence[Required]) -> str:
        """Decide what would become of facts if all of them were assumed."""
        return self._copy()._all(facts)

    def _different(self, left: Dim, right: Dim) -> str:
        """Whether two sizes differ, as far as it is known."""
        opposite = {PROVED: IMPOSSIBLE, IMPOSSIBLE: PROVED, ASSUMED: ASSUMED}
        return opposite[self._tried([Required(left, "==", right)])]

    def _vanishes(self, difference: Dim) -> bool:
        """Whether a size is known to be 0."""
        difference = self._substituted(difference)
        if isinstance(difference, int):
            return difference == 0
        few = [(n, self._axes[n].few() if n in self._axes else None) for n in symbols(difference)]
        if len(few) != 1 or few[0][1] is None:
            return False
        ((name, values),) = few
        return all(evaluate(difference, {name: v}) == 0 for v in values or ())

    def _solved(self, size: Size, solve: Callable[[Size, str], Solutions | None]) -> str | None:
        """The answer to a question about one named size; None where there are several, or it is not solved."""
        names = symbols(size)
        if len(names) != 1:
            return None
        (name,) = names
        found = solve(size, name)
        if found is None:
            return None
        verdict = self._axis(name).meet(found)
        return verdict if verdict != ASSUMED or self._consistent() else IMPOSSIBLE

    def _substituted(self, size: Dim) -> Dim:
        return substitute(size, self._known) if self._known else size

    def _axis(self, name: str) -> Axis:
        return self._axes.setdefault(name, Axis())

    def _relate(self, a: Dim, b: Dim, difference: Size) -> str:
        low, high = interval(difference)
        if low > 0 or high < 0:
            return IMPOSSIBLE
        self._relations[Relation(a, "==", b)] = None
        solved = solved_for_symbol(difference)
        if solved is not None and solved[0] not in self._axes:
            self._known[solved[0]] = solved[1]
        return ASSUMED if self._consistent() else IMPOSSIBLE


def _needed(own: Sequence[Constraint], held: Iterable[Relation]) -> list[Constraint]:
    """The constraints of single names without the least sizes that follow from the others and from facts that hold."""
    least = {c.symbol: c.minimum for c in own if isinstance(c, AtLeast)}
    kept = needed(least, differences((r.left - r.right, r.op) for r in held))
    return [c for c in own if not isinstance(c, AtLeast) or c.symbol in kept]


def _fact(relation: Relation) -> tuple[Dim, bool]:
    """The fact in a relation: a size that is 0, or one that is not negative."""
    left, right = relation.left, relation.right
    if relation.op == "==":
        return left - right, True
    more, less = (left, right) if relation.op in (">=", ">") else (right, left)
    return more - less - (0 if "=" in relation.op else 1), False


def _of_axis(name: str, axis: Axis) -> list[Constraint]:
    """The constraints on one named size, the least form first."""
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


TRIED = (2, 3, 5, 16, 32, 96, 224)
"""Sizes that stand for every named size that is left open."""


def broken_by(
    sizes: Mapping[str, int], names: frozenset[str], named: Iterable[Constraint], fixed: Iterable[Constraint]
) -> Constraint | None:
    """A constraint of a net with these `names` that the sizes break, though those of the net made for them hold."""
    for number in TRIED:
        values = {**dict.fromkeys(names, number), **sizes}
        if all(c.holds(values) for c in fixed):
            broken = next((c for c in named if not c.holds(values)), None)
            if broken is not None:
                return broken
    return None
