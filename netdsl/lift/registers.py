"""Names that are used again: where a chain hands several values on, each of its steps gives them the same names, so
that the steps are equal and become a loop.

A sum over what many steps give is added up step by step, and a value gets the name of one that nothing reads any more,
as a compiler gives out registers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netdsl.lift.loops import looped
from netdsl.lift.names import free as free_name
from netdsl.lift.term import IT, Term, bound, free, items, renamed, seq, size, term, walk

MOST = 2000
"""The most statements that are looked at."""

LEAST = 6
"""The least number of named values, and of summands, that are worth it."""


def registered(body: Term, taken: set[str]) -> Term:
    """A body whose names are used again, where that makes it shorter."""
    statements = items(body)
    if not LEAST <= sum(s.head == "let" for s in statements) <= MOST:
        return body
    found = seq(tuple(_renamed(_added(list(statements), taken), taken)))
    if found is body:
        return body
    return found if 5 * size(looped(found)) < 4 * size(looped(body)) else body


def _added(statements: list[Term], taken: set[str]) -> list[Term]:
    """A sum over named values, after all of them, as sums of what there is so far."""
    last = max(i for i, s in enumerate(statements) if s.head == "let") + 1
    if last == len(statements):
        return statements
    place = {n: i for i, s in enumerate(statements[:last]) for n in bound(s)}
    parts, rest = _summands(statements[last:])
    at = [_known_at(p, place) for p in parts]
    if not _is_running(parts, at):
        return statements
    name = free_name("total", taken | set(place))
    so_far = term("ref", (("name", name),))
    sums = [parts[0], *(term("op:add", (), (so_far, p)) for p in parts[1:])]
    found = list(statements[:last])
    for value, where in reversed(list(zip(sums, at, strict=True))):
        found.insert(where + 1, term("let", (("names", (name,)),), (value,)))
    return [*found, so_far, *rest]


def _is_running(parts: Sequence[Term], at: Sequence[int]) -> bool:
    """Whether each summand is known no earlier than those before it."""
    return len(parts) >= LEAST and at[0] >= 0 and at == sorted(at) and not any(map(_reads_flow, parts))


def _known_at(part: Term, place: Mapping[str, int]) -> int:
    """The statement after which all is known that a summand reads; -1 where it reads no named value."""
    return max((place[n] for n in free(part) if n in place), default=-1)


def _summands(tail: Sequence[Term]) -> tuple[list[Term], Sequence[Term]]:
    """The summands at the beginning of a chain, and the chain after that. A sum with layers after it is left alone:
    these are given as a summand that reads what flows."""
    first = tail[0]
    if first.head == "op:add" and IT not in first.kids:
        parts, rest = _summands(items(first.kids[0]))
        after = [term("seq", (), tuple(rest))] if rest else []
        return [*parts, *after, first.kids[1]], tail[1:]
    stop = next((i for i, t in enumerate(tail) if t.head == "op:add" and IT in t.kids), len(tail))
    parts = [seq(tuple(tail[:stop]))]
    while stop < len(tail) and tail[stop].head == "op:add" and IT in tail[stop].kids:
        parts.append(next(k for k in tail[stop].kids if k is not IT))
        stop += 1
    return parts, tail[stop:]


def _reads_flow(found: Term) -> bool:
    """Whether a summand begins with what flows in, which another chain would change."""
    first = items(found)[0] if items(found) else found
    return first.head != "ref"


def _renamed(statements: list[Term], taken: set[str]) -> list[Term]:
    """The statements with names used again: each value has that of the one that has been read for the last time."""
    ends = _last_reads(statements)
    inner = {n for s in statements for k in s.kids for t in walk(k) for n in bound(t)}
    names: dict[str, str] = {}
    until: dict[str, int] = {}
    found: list[Term] = []
    for index, statement in enumerate(statements):
        made = renamed(statement, names)
        own = tuple(bound(statement))
        if statement.head == "let" and len(own) == 1:
            over = [n for n, end in until.items() if end <= index]
            name = over[0] if over else free_name("x", taken | inner | set(until))
            until.pop(name, None)
            until[name], names[own[0]] = ends[index], name
            made = term("let", (("names", (name,)),), made.kids)
        found.append(made)
    return found


def _last_reads(statements: Sequence[Term]) -> list[int]:
    """For each statement, the last one that reads what it binds."""
    found = list(range(len(statements)))
    binds: dict[str, int] = {}
    for index, statement in enumerate(statements):
        for name in free(statement):
            if name in binds:
                found[binds[name]] = index
        binds.update(dict.fromkeys(bound(statement), index))
    return found
