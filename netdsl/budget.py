"""The budget of work. Whatever a spec makes the compiler do is paid from one, so that every command ends.

Evaluation pays for each expression and each item of a list, statements for each turn of a loop, layers for their
steps, sizes for their terms. What it costs is counted in units, not in time: the same spec ends at the same place on
every machine. The arithmetic of sizes is reached through operators, which take no further argument; so the budget that
is open is found through a context variable.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from netdsl.source import Place

UNITS = 1_500_000
"""What checking one spec may cost: a second or so. A net of 1,000 distinct layers costs about 50,000."""

PER_TOKEN = 40
"""What a token of a text costs where all of it is read again, to prove a fix."""

SUGGESTIONS = 60_000
"""How many known words may be compared with misspelt ones."""

CALLS = 20_000
"""How deep calls may nest where the language limits how deep blocks do."""

CANCELLED = -1 << 60
"""What is left of a budget that was cancelled."""


class Exhausted(Exception):  # noqa: N818 - no mistake of ours: it is the end of what a spec may cost
    """The budget is spent. `construct` and `at` say on what, as soon as somebody who knows it has caught this."""

    def __init__(self) -> None:
        super().__init__("the budget of work is spent")
        self.construct = ""
        self.at: Place | None = None

    def blame(self, construct: str, at: Place) -> None:
        """Say what was being done, where nobody further inside has said it."""
        if self.at is None:
            self.construct, self.at = construct, at


class Budget:
    """Units of work that are left."""

    __slots__ = ("cancelled", "left", "suggestions", "units")

    def __init__(self, units: int = UNITS) -> None:
        self.units = self.left = units
        self.suggestions = SUGGESTIONS
        self.cancelled = False

    @property
    def spent(self) -> int:
        """Units that were spent so far."""
        return self.units - self.left

    def cancel(self) -> None:
        """Make what is paid from it end soon; may be called from another thread."""
        self.cancelled = True
        self.left = CANCELLED

    @contextmanager
    def open(self) -> Iterator[None]:
        """Let everything that is done inside be paid from this budget."""
        before = None if _open.get() is self else self.left
        token = _open.set(self)
        try:
            yield
        finally:
            _open.reset(token)
            if before is not None:
                _paid[0] += min(UNITS, before - self.left)


_paid = [0]


def paid() -> int:
    """Units of work that all budgets have paid so far."""
    return _paid[0]


_open: ContextVar[Budget | None] = ContextVar("budget", default=None)


def spend(units: int) -> None:
    """Pay for work from the budget that is open; where none is, work is free. Raises Exhausted."""
    budget = _open.get()
    if budget is not None:
        budget.left -= units
        if budget.left < 0:
            raise Exhausted


def affords(units: int) -> bool:
    """Pay for work that was done and of which more may be left out: whether half of the budget that is open is left."""
    budget = _open.get()
    if budget is None:
        return True
    budget.left -= units
    return budget.left > budget.units // 2


def affords_suggestion(words: int) -> bool:
    """Whether a misspelt word may still be compared with so many known ones; it is paid for where that is so."""
    budget = _open.get()
    if budget is None:
        return True
    budget.suggestions -= words
    return budget.suggestions >= 0


@contextmanager
def deep() -> Iterator[None]:
    """Let calls nest meanwhile as deep as blocks may, some fifty for each of them."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, CALLS))
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
