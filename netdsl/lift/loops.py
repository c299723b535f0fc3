"""Runs of terms: equal ones are a `repeat`, those equal up to numbers a `for` over a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate
from typing import Any

from netdsl.lift.term import Term, filled, labels, parts, seq, size, term
from netdsl.lift.unify import unify

LONGEST = 24
"""The longest period that is looked for."""

NONE = frozenset[str]()

OPERAND = 16
"""How many words a loop has to save in an operand, where it takes three lines at least."""

Runs = Callable[[list[Term]], Iterator[tuple[int, int, Term]]]
"""Finds runs of statements: where each starts and stops, and what can stand for it."""


def looped(found: Term, outer: frozenset[str] = NONE, least: int = 1) -> Term:
    """A term with its runs rolled up, the innermost first. `outer`: the arguments and the variables of loops around it,
    which no variable may hide; `least`: how many words a loop has to save."""
    inner = outer.union(found.fields[0][1]) if found.head == "for" else outer
    worth = OPERAND if found.head.startswith(("op:", "let", "residual")) else 1
    kids = tuple(looped(k, inner, worth) for k in found.kids)
    if kids != found.kids:
        found = seq(kids) if found.head == "seq" else term(found.head, found.fields, kids)
    if found.head != "seq":
        return found
    alike = partial(_alike, outer=outer)
    statements = _rolled(alike, _rolled(_equal, list(found.kids), least), least)
    return found if tuple(statements) == found.kids else seq(tuple(statements))


def _rolled(runs: Runs, statements: list[Term], least: int) -> list[Term]:
    """Statements with the best run of each place rolled up; those that lie apart are, in one go."""
    while True:
        upto = [0, *accumulate(map(size, statements))]
        gains = [(upto[stop] - upto[start] - size(made), start, stop, made) for start, stop, made in runs(statements)]
        chosen = _apart([g for g in gains if g[0] >= least], len(statements))
        if not chosen:
            return statements
        for start, stop, made in reversed(chosen):
            statements[start:stop] = [made]


def _apart(gains: list[tuple[int, int, int, Term]], length: int) -> list[tuple[int, int, Term]]:
    """Of runs with their gains, those that no better one overlaps or touches, in order."""
    taken, found = bytearray(length + 1), []
    for _, start, stop, made in sorted(gains, key=lambda g: (-g[0], g[1])):
        if 1 not in taken[start : stop + 1]:
            found.append((start, stop, made))
        taken[start : stop + 1] = b"\1" * (stop + 1 - start)
    return sorted(found, key=lambda f: f[0])


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


def _alike(statements: list[Term], outer: frozenset[str]) -> Iterator[tuple[int, int, Term]]:
    """Runs of statements that are equal up to numbers, as a `for`. A statement once and one repeated are alike."""
    later = set[tuple[int, int]]()
    for start, period, count in _periodic([parts(_counted(s)[0])[0] for s in statements]):
        known, first, stop = (start, period) in later, statements[start : start + period], start + count * period
        later.add((start + period, period))
        if not known and not any(map(has_loop, first)) and may_repeat(first):
            for skipped, made in _tails([statements[at : at + period] for at in range(start, stop, period)], outer):
                yield start + skipped * period, stop, made


def _tails(rounds: list[list[Term]], outer: frozenset[str]) -> Iterator[tuple[int, Term]]:
    """The loops over the last of some rounds that may save most, each with how many of the first it leaves out.

    What holds of all rounds holds of fewer: where a loop over many and one over few have as many variables and as long
    a body, so have all between, and how much each saves follows from the lengths of the rounds.
    """
    made = dict[int, Term]()

    def kind(skipped: int) -> tuple[int, int]:
        """How many variables a loop has, and how long its body is."""
        if skipped not in made:
            made[skipped] = _for(rounds[skipped:], outer)
        found = made[skipped]
        return len(found.fields[0][1]) if found.head == "for" else 0, size(found.kids[0])

    between = [(0, len(rounds) - 2)]
    while between:
        low, high = between.pop()
        if kind(low) == kind(high):
            row, _ = kind(low)
            saved = [0, *accumulate(row - sum(map(size, r)) for r in rounds[low:high])]
            kind(low + saved.index(max(saved)))
        elif high - low > 1:
            middle = (low + high) // 2
            between += (low, middle), (middle, high)
    yield from sorted(made.items())


def _for(groups: Sequence[Sequence[Term]], outer: frozenset[str]) -> Term:
    """Rounds that are equal up to numbers, as a loop over these."""
    repeated = [any(g[i].head == "repeat" for g in groups) for i in range(len(groups[0]))]
    rows = [tuple(v for s, r in zip(g, repeated, strict=True) for v in _numbers(s, r)) for g in groups]
    unified = unify(rows, [n for s, r in zip(groups[0], repeated, strict=True) for n in _labels(s, r)], outer)
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
