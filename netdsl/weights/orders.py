"""Orders of the keys under one prefix of a file: those that the numbers in names allow, and those that fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from itertools import combinations, pairwise, takewhile

from netdsl.weights.names import comes_before, lettered, tokens
from netdsl.weights.tree import Node

MOST_ORDERS = 24
"""So many orders of the children of a prefix are compared; where more fit, all of them stay open."""

MOST_STEPS = 60_000
"""So many placements are tried under one prefix before the whole file is given up."""

MOST_PARTS = 400
"""A prefix is not taken apart into more parts than these, those aside of which numbers leave one order."""

Order = tuple[tuple[Node, int], ...]
"""Nodes with the numbers of the first layers that they are placed at."""


@dataclass(frozen=True)
class Rule:
    """A partial order of parts: by the numbers in their names, except for some families."""

    node: Node
    free: frozenset[str] = frozenset()
    numbers: bool = True
    letters: bool = False

    def before(self, a: Node, b: Node) -> bool | None:
        if not self.numbers:
            return None
        depth = len(self.node.path)
        for level, (x, y) in enumerate(zip(a.path[depth:], b.path[depth:], strict=False)):
            if x == y:
                continue
            if self.letters and level == 0 and len(x) == len(y) == 1:
                return x < y
            return None if self.free & {family(x), family(y)} else comes_before(x, y)
        return None


def family(name: str) -> str:
    """The words of a name without its numbers: what it shares with those it is counted with."""
    return " ".join(t for t in tokens(name) if not t.isdecimal())


def attempts(node: Node) -> Iterator[tuple[tuple[Node, ...], Rule]]:
    """Parts and rules to try: whole children first, all numbers respected first."""
    names = [*node.children]
    letters = lettered(names)
    levels = list(_levels(node))
    for items in levels:
        yield items, Rule(node, letters=letters)
    for items in levels:
        for rule in _laxer(node, names, letters):
            yield items, rule


def _laxer(node: Node, names: Sequence[str], letters: bool) -> Iterator[Rule]:
    """Rules that leave out the numbers of one family, then of all."""
    families = [f for f, members in Counter(map(family, names)).items() if members > 1]
    for one in families:
        yield Rule(node, frozenset({one}), letters=letters)
    if families or letters:
        yield Rule(node, numbers=False)


class Exhausted(Exception):  # noqa: N818 - it is no mistake
    """More orders would have to be tried than there is time for: nothing can be said about what is the only one."""


class Orders:
    """All orders of the parts of a node that fit the net from a place on. `fits`: whether a part fits at a place.

    Of a row of parts, which numbers put into one order, only the next is tried. `many`: the others are too many to try.
    """

    def __init__(self, items: Sequence[Node], rule: Rule, fits: Callable[[Node, int], bool]) -> None:
        self.fits = fits
        self.items = items
        self.full = (1 << len(items)) - 1
        self.rows: list[tuple[int, list[int]]] = []
        self.waits: dict[int, int] = {}
        self.memo: dict[int, list[tuple[int, ...]]] = {}
        self.steps = 0
        unordered = []
        for group in _related(items, rule):
            row = _row(items, group, rule)
            if len(row) > 1:
                self.rows.append((sum(1 << i for i in row), row))
            else:
                unordered.append(group)
        self.many = sum(map(len, unordered)) > MOST_PARTS
        for group in () if self.many else unordered:
            self.waits |= _predecessors(items, group, rule.before)

    def from_(self, start: int) -> list[Order]:
        """The orders with their places, at most MOST_ORDERS. Raises Exhausted."""
        found: list[Order] = []
        for order in () if self.many else self._completions(0, start):
            at, parts = start, []
            for i in order:
                parts.append((self.items[i], at))
                at += self.items[i].size
            found.append(tuple(parts))
        return found

    def _completions(self, done: int, at: int, depth: int = 0) -> list[tuple[int, ...]]:
        """At most MOST_ORDERS ways to place what is not placed yet."""
        head: list[int] = []
        first = done
        if first in self.memo:
            return self.memo[first]
        able: list[int] = []
        while done != self.full:
            able = self._able(done, at, depth)
            if len(able) != 1:
                break
            head.append(able[0])
            done |= 1 << able[0]
            at += self.items[able[0]].size
        found = [tuple(head)] if done == self.full else []
        for i in able if done != self.full else ():
            if len(found) < MOST_ORDERS:
                tails = self._completions(done | 1 << i, at + self.items[i].size, depth + 1)
                found += [(*head, i, *tail) for tail in tails[: MOST_ORDERS - len(found)]]
        self.memo[first] = found
        return found

    def _able(self, done: int, at: int, depth: int) -> list[int]:
        """The parts that may stand next and fit, `depth` choices behind the first."""
        self.steps += len(self.waits) + len(self.rows)
        if self.steps > MOST_STEPS or depth > MOST_PARTS:
            raise Exhausted
        begun = ((row, (done & members).bit_count()) for members, row in self.rows)
        able = [row[placed] for row, placed in begun if placed < len(row)]
        able += [i for i, waits in self.waits.items() if not done >> i & 1 and waits & ~done == 0]
        return [i for i in sorted(able) if self.fits(self.items[i], at)]


def _related(items: Sequence[Node], rule: Rule) -> list[list[int]]:
    """The numbers of parts, those together whose names have the same words before the first number or letter: only
    between these can a rule say anything."""
    found: dict[tuple[str, ...], list[int]] = {}
    depth = len(rule.node.path)
    for i, item in enumerate(items):
        words = tuple(takewhile(lambda t: len(t) > 1 and not t.isdecimal(), tokens(item.path[depth])))
        found.setdefault(words, []).append(i)
    return list(found.values())


def _row(items: Sequence[Node], group: list[int], rule: Rule) -> list[int]:
    """These parts in the one order that a rule allows; empty if it allows several."""

    def compared(a: int, b: int) -> int:
        return {True: -1, False: 1, None: 0}[rule.before(items[a], items[b])]

    found = sorted(group, key=cmp_to_key(compared))
    return found if all(rule.before(items[a], items[b]) for a, b in pairwise(found)) else []


def _predecessors(
    items: Sequence[Node], group: list[int], before: Callable[[Node, Node], bool | None]
) -> dict[int, int]:
    """For every part of a group the bits of those that must stand before it."""
    found = dict.fromkeys(group, 0)
    for a, b in combinations(group, 2):
        answer = before(items[a], items[b])
        if answer is True:
            found[b] |= 1 << a
        elif answer is False:
            found[a] |= 1 << b
    return found


def _levels(node: Node) -> Iterator[tuple[Node, ...]]:
    """The parts of a node: its children, then their children in their place, down to the layers."""
    items = tuple(node.children.values())
    while True:
        yield items
        deeper = tuple(
            child for item in items for child in ((item,) if item.unit is not None else item.children.values())
        )
        if deeper == items:
            return
        items = deeper
