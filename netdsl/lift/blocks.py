"""Blocks: what is written several times, equal up to numbers, is written once and called.

Of all runs of statements that occur more than once the one that saves most is taken, until none saves anything. The
search is greedy, as grammar compression is (Re-Pair, Larsson & Moffat, 1999).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from msgspec import Struct

from netdsl.lift.loops import has_loop, looped, may_repeat
from netdsl.lift.naming import block_name
from netdsl.lift.term import (
    Beside,
    Later,
    Term,
    WeightOf,
    bound,
    canonical,
    filled,
    free_of,
    items,
    labels,
    parts,
    said,
    seq,
    shared_name,
    size,
    term,
    walk,
)
from netdsl.lift.unify import Name, Unified, unify
from netdsl.lift.write import Block, Parameter
from netdsl.sizes.dims import Size

LONGEST = 16
"""The longest run of statements that may be a block."""

LEAST = 4
"""The least size of a block's body: shorter ones say more where they are used."""

MOST_ARGUMENTS = 8
MOST_BESIDE = 2
"""The most values that a block is given beside what flows."""

OVERHEAD = 3
"""What a declaration costs beside its body."""

MOST_BLOCKS = 24


class Place(Struct, frozen=True, eq=False):
    """A run of statements in a sequence, with the names of its places. `beside`: the values that it reads."""

    statements: tuple[Term, ...]
    beside: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[Term, ...]:
        return tuple(parts(s)[0] for s in self.statements)

    @property
    def row(self) -> tuple[Any, ...]:
        return tuple(v for s in self.statements for v in parts(s)[1])


class Candidate(Struct, frozen=True, eq=False):
    """A run that occurs several times. `gain`: how many words it saves."""

    gain: float
    places: tuple[Place, ...]
    unified: Unified
    defaults: tuple[Any, ...]


def shared(body: Term, taken: Collection[str] = ()) -> tuple[Term, tuple[Block, ...]]:
    """A net's body with its runs and blocks, and the blocks, each after those that it uses, under names that are not
    `taken`."""
    body = looped(body)
    blocks: list[Block] = []
    while len(blocks) < MOST_BLOCKS:
        found = _best([body, *(b.body for b in blocks)])
        if found is None:
            break
        block = _block(found, {*taken, *(b.name for b in blocks)})
        body = looped(_replaced(body, found, block))
        blocks = [Block(b.name, b.parameters, _looped(b, _replaced(b.body, found, block))) for b in blocks]
        blocks.append(block)
    return body, tuple(_ordered(blocks))


def _looped(block: Block, body: Term) -> Term:
    return looped(body, frozenset(p.name for p in block.parameters))


def _best(bodies: Sequence[Term]) -> Candidate | None:
    places: dict[tuple[Term, ...], list[Place]] = {}
    for body in bodies:
        for place in _places(body):
            places.setdefault(place.key, []).append(place)
    found = [_candidate(p) for p in places.values() if len(p) > 1]
    return max((c for c in found if c is not None), key=lambda c: c.gain, default=None)


def _places(body: Term) -> Iterator[Place]:
    """All runs of statements that may be a block."""
    statements = items(body)
    later = Later(statements)
    for start in range(len(statements)):
        for stop in range(start + 1, min(start + LONGEST, len(statements)) + 1):
            run = statements[start:stop]
            if _may_be_block(run, later, stop):
                yield Place(*canonical(run))
    for statement in statements:
        for kid in statement.kids:
            yield from _places(kid if _is_one(statement) else seq(items(kid)[:-1]))


def _is_one(statement: Term) -> bool:
    """Whether a statement is no assignment of several results, of which the last op has no single value."""
    return statement.head != "let" or len(statement.fields[0][1]) == 1


def _may_be_block(run: Sequence[Term], later: Later, stop: int) -> bool:
    """`later`: what is read after the run, which ends at `stop`."""
    if sum(map(size, run)) < LEAST or any(s.head in ("output", "label", "share") or has_loop(s) for s in run):
        return False
    if run[0].head == "ref":
        return False  # what it begins with may flow in
    if len(run) == 1 and (run[0].head in ("for", "repeat", "let") or not run[0].kids):
        return False
    names = free_of(run)
    return len(names) <= MOST_BESIDE and _binds_own(run, later, stop) and (not names or names.isdisjoint(_layers(run)))


def _binds_own(run: Sequence[Term], later: Later, stop: int) -> bool:
    """Whether nothing that statements bind is read after them."""
    own = frozenset[str]().union(*map(bound, run))
    return may_repeat(run) and not later.reads(own, stop)


def _layers(run: Sequence[Term]) -> set[str]:
    """The shared layers that statements use: no values, that a block could be given."""
    inside = [t for s in run for t in walk(s)]
    tied = {v.name for t in inside for _, v in t.fields if isinstance(v, WeightOf)}
    return tied | {name for t in inside if (name := shared_name(t))}


def _candidate(places: list[Place]) -> Candidate | None:
    names = [n for s in places[0].statements for n in labels(s)]
    unified = unify([p.row for p in places], names, closed=True)
    if len(unified.names) > MOST_ARGUMENTS:
        return None
    defaults = _defaults(unified)
    given = sum(1 + sum(v != d for v, d in zip(row, defaults, strict=True)) for row in unified.rows)
    length = size(seq(places[0].statements))
    given += sum(len(p.beside) for p in places)
    saved = sum(size(seq(p.statements)) for p in places) - given - OVERHEAD - length - len(unified.names)
    gain = saved + _taste(places[0].statements)
    return Candidate(gain, tuple(places), unified, defaults) if saved > 0 else None


STARTS = ("op:conv", "op:dwconv", "op:linear", "op:layernorm", "residual", "op:concat", "op:upconv")
ENDS = ("op:conv", "op:dwconv", "op:linear", "op:mul", "op:add", "residual")


def _taste(run: Sequence[Term]) -> float:
    """Where a person cuts: before a layer, and not between a layer and what belongs to it."""
    starts = run[0].head in STARTS or run[0].head.startswith("use:")
    return (0.6 if starts else 0.0) - (0.3 if run[-1].head in ENDS and len(run) > 1 else 0.0)


def _defaults(unified: Unified) -> tuple[Any, ...]:
    """For each argument the value that it has in most uses, or None where there is no such."""
    found = []
    for column in zip(*unified.rows, strict=True):
        usual = max(column, key=column.count)
        is_usual = column.count(usual) * 2 >= len(column) and not isinstance(usual, Name | Size) and usual is not None
        found.append(usual if (is_usual and len(column) > 2) or (usual == 1 and column.count(1) > 1) else None)
    return tuple(found)


def _block(found: Candidate, taken: set[str]) -> Block:
    unified, statements = found.unified, found.places[0].statements
    values = iter(unified.values)
    body = seq(tuple(filled(parts(s)[0], values) for s in statements))
    beside = besides(found.places[0])
    body = said(body, beside, {*beside, *unified.names})
    pairs = sorted(zip(unified.names, found.defaults, strict=True), key=lambda p: p[1] is not None)
    parameters = (*(Parameter(n) for n in beside), *(Parameter(n, d) for n, d in pairs))
    return Block(block_name(body, taken), parameters, body)


def besides(place: Place) -> tuple[str, ...]:
    """Name the values that a block is given."""
    return tuple("other" if i == 0 else f"other{i + 1}" for i in range(len(place.beside)))


def _replaced(body: Term, found: Candidate, block: Block) -> Term:
    """A body with every place of a candidate as a use of its block."""
    key = found.places[0].key
    uses = {p.row: r for p, r in zip(found.places, found.unified.rows, strict=True)}

    def change(at: Term) -> Term:
        statements, made = items(at), []
        later, index = Later(statements), 0
        while index < len(statements):
            run = statements[index : index + len(key)]
            row, beside = _same(run, key, later, index + len(key))
            if row in uses:
                made.append(term(f"use:{block.name}", (*beside, *zip(found.unified.names, uses[row], strict=True))))
                index += len(key)
            else:
                made.append(inside(statements[index]))
                index += 1
        return seq(tuple(made))

    def inside(statement: Term) -> Term:
        kids = tuple(k if k.head == "it" else change(k) for k in statement.kids)
        return statement if kids == statement.kids else term(statement.head, statement.fields, kids)

    return change(body)


def _same(run: tuple[Term, ...], key: tuple[Term, ...], later: Later, stop: int) -> tuple[Any, Any]:
    """The numbers of a run, and the values that it is given, if it is a use of a block; None otherwise."""
    if len(run) != len(key) or not _may_be_block(run, later, stop):
        return None, ()
    place = Place(*canonical(run))
    if place.key != key:
        return None, ()
    return place.row, tuple((n, Beside(v)) for n, v in zip(besides(place), place.beside, strict=True))


def _ordered(blocks: Sequence[Block]) -> list[Block]:
    """Each block after those that it uses."""
    by_name, found = {b.name: b for b in blocks}, dict[str, Block]()

    def visit(block: Block) -> None:
        if block.name in found:
            return
        for used in _used(block.body):
            visit(by_name[used])
        found[block.name] = block

    for block in blocks:
        visit(block)
    return list(found.values())


def _used(body: Term) -> Iterator[str]:
    if body.head.startswith("use:"):
        yield body.head[4:]
    for kid in body.kids:
        yield from _used(kid)
