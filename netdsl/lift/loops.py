"""Runs of terms: equal ones are a `repeat`, those equal up to numbers a `for` over a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from netdsl.lift.term import Term, bound, filled, free_of, labels, parts, seq, size, term
from netdsl.lift.unify import unify

LONGEST = 24
"""The longest period that is looked for."""


def looped(found: Term) -> Term:
    """A term with its runs rolled up, the innermost first."""
    kids = tuple(map(looped, found.kids))
    if kids != found.kids:
        found = seq(kids) if found.head == "seq" else term(found.head, found.fields, kids)
    if found.head != "seq":
        return found
    statements = _rolled(_alike, _rolled(_equal, list(found.kids)))
    return found if tuple(statements) == found.kids else seq(tuple(statements))


def _rolled(run: Any, statements: list[Term]) -> list[Term]:
    """Statements with the best run of each place rolled up."""
    while True:
        best: tuple[int, int, int, Term] | None = None
        for start in range(len(statements)):
            for stop, made in run(statements, start):
                gain = sum(map(size, statements[start:stop])) - size(made)
                if gain > 0 and (best is None or gain > best[0]):
                    best = (gain, start, stop, made)
        if best is None:
            return statements
        _, start, stop, made = best
        statements = [*statements[:start], made, *statements[stop:]]


def is_closed(run: Sequence[Term], after: Sequence[Term]) -> bool:
    """Whether statements neither read names of before nor bind some that are read afterwards."""
    names = frozenset[str]().union(*map(bound, run))
    return not free_of(run) and names.isdisjoint(free_of(after)) and may_repeat(run)


def may_repeat(run: Sequence[Term]) -> bool:
    """Whether statements can stand in a loop, whose rounds see the names that those before them bound."""
    return all(s.head not in ("output", "share") for s in run)


def _equal(statements: list[Term], start: int) -> Iterator[tuple[int, Term]]:
    """Runs of equal statements from a place on, as a `repeat`."""
    for period in range(1, min(LONGEST, (len(statements) - start) // 2) + 1):
        first = statements[start : start + period]
        stop = start + period
        while statements[stop : stop + period] == first:
            stop += period
        count = (stop - start) // period
        if count > 1 and may_repeat(first):
            yield stop, term("repeat", (("count", count),), (seq(tuple(first)),))


def has_loop(found: Term) -> bool:
    """Whether a term has a loop with variables, which mean nothing outside of it."""
    return found.head == "for" or any(map(has_loop, found.kids))


def _counted(statement: Term) -> tuple[Term, int]:
    """The term that a statement repeats, and how often."""
    return (statement.kids[0], statement.fields[0][1]) if statement.head == "repeat" else (statement, 1)


def _alike(statements: list[Term], start: int) -> Iterator[tuple[int, Term]]:
    """Runs of statements that are equal up to numbers, as a `for`. A statement once and one repeated are alike."""
    shapes = [parts(_counted(s)[0])[0] for s in statements[start:]]
    for period in range(1, min(LONGEST, len(shapes) // 2) + 1):
        stop = period
        while shapes[stop : stop + period] == shapes[:period]:
            stop += period
        first = statements[start : start + period]
        if stop > period and not any(map(has_loop, first)) and may_repeat(first):
            yield start + stop, _for(statements[start : start + stop], period)


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
