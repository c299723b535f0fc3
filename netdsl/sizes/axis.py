"""The known facts of one named size: a range, residues, perhaps finitely many values."""

from __future__ import annotations

from collections.abc import Iterable
from math import gcd

from netdsl.budget import spend
from netdsl.sizes.solve import MOST, NOTHING, Classes, Range, Solutions, Values, common_count, intersection

PROVED, ASSUMED, IMPOSSIBLE = "proved", "assumed", "impossible"

FEW = 16
"""How many values are listed; a longer range is given by its ends."""

TOGETHER = 256
"""How many residues modulo a product are kept together where their moduli have nothing in common."""


class Axis:
    """The values that one named size may still have.

    `classes` are sets of residues that hold at once. They are joined into one where that is short; sets that would
    have too many residues together stay apart, as prime periods do: 97 * 89 * 83 residues say no more than the three.
    """

    def __init__(self) -> None:
        self.minimum = 1
        self.maximum: int | None = None
        self.classes: list[Classes] = []
        self.values: frozenset[int] | None = None

    def copy(self) -> Axis:
        """The same, to be changed by itself."""
        other = Axis()
        other.minimum, other.maximum, other.classes, other.values = (
            self.minimum, self.maximum, list(self.classes), self.values
        )  # fmt: skip
        return other

    def meet(self, found: Solutions) -> str:
        """Keep the values that are among these solutions too."""
        before = (self.minimum, self.maximum, self.values)
        if isinstance(found, Classes):
            return self._verdict(self._meet_classes(found))
        if isinstance(found, Values):
            self.values = found.values if self.values is None else self.values & found.values
        else:
            self._meet_range(found)
        return self._verdict((self.minimum, self.maximum, self.values) != before)

    def _meet_range(self, found: Range) -> None:
        self.minimum = max(self.minimum, found.low)
        if found.high is not None:
            self.maximum = found.high if self.maximum is None else min(self.maximum, found.high)

    def _meet_classes(self, new: Classes) -> bool:
        """Whether that changes what is known."""
        if new.modulus == 1:
            self.classes = [*self.classes, new] if not new.residues else self.classes
            return not new.residues
        for own in self.classes:
            common = common_count(own, new)
            step = new.modulus // gcd(own.modulus, new.modulus)
            if common == len(own.residues) * step:
                return False
        for own in self.classes:
            common = common_count(own, new)
            apart = gcd(own.modulus, new.modulus) == 1
            if common <= (TOGETHER if apart else MOST):
                self.classes.remove(own)
                spend(common)
                self._meet_classes(intersection(own, new))
                return True
        self.classes.append(new)
        return True

    def _verdict(self, changed: bool) -> str:
        """The answer to the last question. Sets of residues that stay apart are taken to have a value in common."""
        if NOTHING in self.classes or (self.maximum is not None and self.maximum < self.minimum):
            return IMPOSSIBLE
        if self.values is not None:
            self.values = frozenset(v for v in self.values if self._holds(v))
            return (ASSUMED if changed else PROVED) if self.values else IMPOSSIBLE
        if self.maximum is not None and self.member(self.minimum) > self.maximum:
            return IMPOSSIBLE
        return ASSUMED if changed else PROVED

    def _holds(self, value: int) -> bool:
        inside = self.minimum <= value and (self.maximum is None or value <= self.maximum)
        return inside and all(value % c.modulus in c.residues for c in self.classes)

    def member(self, value: int) -> int:
        """The next value from this one on that leaves the right residues; where they stay apart, one that may not."""
        if len(self.classes) == 1:
            (own,) = self.classes
            return min((value + (r - value) % own.modulus for r in own.residues), default=value)
        tried: Iterable[int] = range(value, value + MOST if self.classes else value + 1)
        return next((v for v in tried if all(v % c.modulus in c.residues for c in self.classes)), value)

    def ends(self) -> tuple[int, int | None]:
        """The least and the greatest of all values (none: without end)."""
        few = self.few()
        return (few[0], few[-1]) if few else (self.member(self.minimum), self.maximum)

    def few(self) -> list[int] | None:
        """All values, where they are few or were found one by one."""
        if self.values is not None:
            return sorted(self.values)
        if self.maximum is None or self.maximum - self.minimum > MOST:
            return None
        found = [v for v in range(self.minimum, self.maximum + 1) if self._holds(v)]
        return found if len(found) <= FEW else None
