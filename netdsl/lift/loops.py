"""Runs of terms: equal ones are a `repeat`, those equal up to numbers a `for` over a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from netdsl.lift.term import Term, filled, labels, parts, seq, size, term
from netdsl.lift.unify import unify

LONGEST = 24
"""The longest period that is looked for."""

Runs = Callable[[list[Term]], Iterator[tuple[int, int, Term]]]
"""Finds runs of statements: where each starts and stops, and what can stand for it."""


def looped(found: Term) -> Term:
    """A term with its runs rolled up, the innermost first."""
    kids = tuple(map(looped, found.kids))
    if kids != found.kids:
        found = seq(kids) if found.head == "seq" else term(found.head, found.fields, kids)
    if found.head != "seq":
        return found
    statements = _rolled(_alike, _rolled(_equal, list(found.kids)))
    return found if tuple(statements) == found.kids else seq(tuple(statements))


def _rolled(runs: Runs, statements: list[Term]) -> list[Term]:
    """Statements with the best run of each place rolled up."""
    while True:
        upto = [0, *accumulate(map(size, statements))]
        best: tuple[int, int, int, Term] | None = None
        for start, stop, made in runs(statements):
            gain = upto[stop] - upto[start] - size(made)
            if gain > 0 and (best is None or gain > best[0]):
                best = (gain, start, stop, made)
        if best is None:
            return statements
        _, start, stop, made = best
        statements = [*statements[:start], made, *statements[stop:]]


def may_repeat(run: Sequence[Term]) -> bool:
    """Whether statements can stand in a loop, whose rounds see the names that those before them bound."""
    return all(s.head not in ("output", "share") for s in run)


def _periodic(what: Sequence[Any]) -> Iterator[tuple[int, int, int]]:
    """Where something comes at least twice in a row: the start, the period, and how often it comes, from the first
    place on, short periods first. Equal things are one object."""
    periods = range(1, min(LONGEST, len(what) // 2) + 1)
    same = {p: _same(what, p) for p in periods}
    for start in range(len(what)):
        for period in periods:
            if count := same[period][start] // period:
                yield start, period, count + 1


def _same(what: Sequence[Any], period: int) -> list[int]:
    """From each place on, how many things in a row are what comes a period later."""
    found = [0] * len(what)
    for i in range(len(what) - period - 1, -1, -1):
        found[i] = found[i + 1] + 1 if what[i] is what[i + period] else 0
    return found


def _equal(statements: list[Term]) -> Iterator[tuple[int, int, Term]]:
    """Runs of equal statements, as a `repeat`. One that begins later in the same run gains less: it is left out."""
    ended = dict.fromkeys(range(1, LONGEST + 1), 0)
    for start, period, count in _periodic(statements):
        first = statements[start : start + period]
        if start >= ended[period] and may_repeat(first):
            ended[period] = start + (count - 1) * period + 1
            yield start, start + count * period, term("repeat", (("count", count),), (seq(tuple(first)),))


def has_loop(found: Term) -> bool:
    """Whether a term has a loop with variables, which mean nothing outside of it."""
    return found.head == "for" or any(map(has_loop, found.kids))


def _counted(statement: Term) -> tuple[Term, int]:
    """The term that a statement repeats, and how often."""
    return (statement.kids[0], statement.fields[0][1]) if statement.head == "repeat" else (statement, 1)


def _alike(statements: list[Term]) -> Iterator[tuple[int, int, Term]]:
    """Runs of statements that are equal up to numbers, as a `for`. A statement once and one repeated are alike."""
    for start, period, count in _periodic([parts(_counted(s)[0])[0] for s in statements]):
        first, stop = statements[start : start + period], start + count * period
        if not any(map(has_loop, first)) and may_repeat(first):
            yield start, stop, _for(statements[start:stop], period)


def _for(statements: Sequence[Term], period: int) -> Term:
    groups = [statements[i : i + period] for i in range(0, len(statements), period)]
    repeated = [any(g[i].head == "repeat" for g in groups) for i in range(period)]
    rows = [tuple(v for s, r in zip(g, repeated, strict=True) for v in _numbers(s, r)) for g in groups]
    unified = unify(rows, [n for s, r in zip(groups[0], repeated, strict=True) for n in _labels(s, r)])
    values = iter(unified.values)
    body = seq(tuple(_refilled(s, r, values) for s, r in zip(groups[0], repeated, strict=True)))
    if not unified.names:
        return term("repeat", (("count", len(groups)),), (body,))
    return term("for", (("names", unified.names), ("rows", unified.rows)), (body,))


def _labels(statement: Term, repeated: bool) -> list[str]:
    return [*(["repeat.count"] if repeated else []), *labels(_counted(statement)[0])]


def _refilled(statement: Term, repeated: bool, values: Iterator[Any]) -> Term:
    count = next(values) if repeated else 1
    made = filled(parts(_counted(statement)[0])[0], values)
    return term("repeat", (("count", count),), (made,)) if repeated else made


def _numbers(statement: Term, repeated: bool) -> tuple[Any, ...]:
    inside, count = _counted(statement)
    return (count, *parts(inside)[1]) if repeated else parts(inside)[1]
