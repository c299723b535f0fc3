"""Orders of the keys under one prefix of a file: those that the numbers in names allow, and those that fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from netdsl.weights.names import comes_before, lettered, tokens
from netdsl.weights.tree import Node

MOST_ORDERS = 24
"""So many orders of the children of a prefix are compared; where more fit, all of them stay open."""

MOST_STEPS = 60_000
"""So many placements are tried under one prefix before the whole file is given up."""

MOST_PARTS = 400
"""A prefix is not taken apart into more parts than these."""

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
    levels = [items for items in _levels(node) if len(items) <= MOST_PARTS]
    for items in levels:
        yield items, Rule(node, letters=letters)
    for items in levels:
        for rule in _laxer(node, names, letters):
            yield items, rule


def _laxer(node: Node, names: Sequence[str], letters: bool) -> Iterator[Rule]:
    """Rules that leave out the numbers of one family, then of all."""
    families = [f for f in dict.fromkeys(map(family, names)) if sum(family(n) == f for n in names) > 1]
    for one in families:
        yield Rule(node, frozenset({one}), letters=letters)
    if families or letters:
        yield Rule(node, numbers=False)


class Exhausted(Exception):  # noqa: N818 - it is no mistake
    """More orders would have to be tried than there is time for: nothing can be said about what is the only one."""


class Orders:
    """All orders of the parts of a node that fit the net from a place on. `fits`: whether a part fits at a place."""

    def __init__(self, items: Sequence[Node], rule: Rule, fits: Callable[[Node, int], bool]) -> None:
        self.fits = fits
        self.items = items
        self.full = (1 << len(items)) - 1
        self.waits = _predecessors(items, rule.before)
        self.memo: dict[int, list[tuple[int, ...]]] = {}
        self.steps = 0

    def from_(self, start: int) -> list[Order]:
        """The orders with their places, at most MOST_ORDERS. Raises Exhausted."""
        found: list[Order] = []
        for order in self._completions(0, start):
            at, parts = start, []
            for i in order:
                parts.append((self.items[i], at))
                at += self.items[i].size
            found.append(tuple(parts))
        return found

    def _completions(self, done: int, at: int) -> list[tuple[int, ...]]:
        """At most MOST_ORDERS ways to place what is not placed yet."""
        head: list[int] = []
        first = done
        if first in self.memo:
            return self.memo[first]
        able: list[int] = []
        while done != self.full:
            able = self._able(done, at)
            if len(able) != 1:
                break
            head.append(able[0])
            done |= 1 << able[0]
            at += self.items[able[0]].size
        found = [tuple(head)] if done == self.full else []
        for i in able if done != self.full else ():
            if len(found) < MOST_ORDERS:
                tails = self._completions(done | 1 << i, at + self.items[i].size)
                found += [(*head, i, *tail) for tail in tails[: MOST_ORDERS - len(found)]]
        self.memo[first] = found
        return found

    def _able(self, done: int, at: int) -> list[int]:
        self.steps += len(self.items)
        if self.steps > MOST_STEPS:
            raise Exhausted
        return [
            i
            for i, item in enumerate(self.items)
            if not done >> i & 1 and self.waits[i] & ~done == 0 and self.fits(item, at)
        ]


def _predecessors(items: Sequence[Node], before: Callable[[Node, Node], bool | None]) -> list[int]:
    """For every part the bits of those that must stand before it."""
    found = [0] * len(items)
    for i, a in enumerate(items):
        for k in range(i):
            answer = before(items[k], a)
            if answer is True:
                found[i] |= 1 << k
            elif answer is False:
                found[k] |= 1 << i
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
