"""Numbers that grow evenly along layers of one name: `in_channels + 32 * i`.

They are found before numbers become expressions of arguments: one of them may be a multiple of an argument by chance.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain, groupby
from typing import Any, TypeVar

from netdsl.backends.torch.body import runs
from netdsl.backends.torch.known import WIDTH, Constants, varies
from netdsl.backends.torch.tree import (
    Apply,
    Node,
    Num,
    Progress,
    Text,
    children,
    head,
    outline,
    rebuild,
    transform,
    walk,
)

NUMBERED = re.compile(r"(.*?)(\d+)")
NUMBER = re.compile(r"\d+")
FEW = 3
"""Fewer layers than this show no pattern."""

T = TypeVar("T")
Rows = list[list[Node]]
"""For each layer its tree in every use of the block."""


def numbered(members: Sequence[tuple[str, T]]) -> list[tuple[str, list[tuple[str, T]]]]:
    """Members in order, those side by side whose names differ in their number together."""
    return [(base, list(found)) for base, found in groupby(members, lambda m: NUMBERED.sub(r"\1", m[0]))]


def grown(names: Sequence[str], rows: Rows, known: Constants) -> Rows:
    """The trees of layers with numbers that grow evenly as a first number and what is added to it.

    `known` are the author's numbers that are the same in all uses. Numbers that stay as they are become `Text`, in
    which nobody looks for arguments; `settled` makes numbers of them again.
    """
    found = list(rows)
    for stretches in _by_name(names):
        together = list(chain.from_iterable(stretches))
        for at in [together] if len(together) == len(stretches) else stretches:  # layers may take turns with others
            for i, trees in zip(at, _evenly([found[i] for i in at], known), strict=True):
                found[i] = trees
        for i, trees in zip(together, _by_chance([found[i] for i in together], known), strict=True):
            found[i] = trees
    return found


def settled(tree: Node) -> Node:
    """A tree with the numbers that `grown` has left as they are."""
    return transform(tree, lambda n: Num(int(n.code)) if isinstance(n, Text) and NUMBER.fullmatch(n.code) else n)


def simplified(tree: Node) -> Node:
    """A tree without `+ 0` and `1 *`, which make the layers of a loop alike and say nothing in one layer."""

    def plain(node: Node) -> Node:
        match node:
            case Apply("+", (left, Num(0) | Apply("*", (Num(0), _)))) | Apply("*", (Num(1), left)):
                return left  # type: ignore[no-any-return]
        return node

    return transform(tree, plain)


def _by_name(names: Sequence[str]) -> list[list[list[int]]]:
    """The layers of each name that has many, by the stretches in which they stand side by side."""
    found: dict[str, list[list[int]]] = {}
    for base, stretch in numbered([(n, i) for i, n in enumerate(names)]):
        found.setdefault(base, []).append([i for _, i in stretch])
    return [stretches for stretches in found.values() if sum(map(len, stretches)) >= FEW]


def _evenly(rows: Rows, known: Constants) -> Rows:
    """Layers side by side, with what grows in them told as growing."""
    columns = [runs(trees) for trees in zip(*rows, strict=True)]
    if any([run.count for run in column] != [run.count for run in columns[0]] for column in columns):
        return rows
    found: Rows = []
    before: Grows | None = None
    for uses in zip(*columns, strict=True):
        part = rows[len(found) : len(found) + uses[0].count.value]
        grows = Grows([run.child for run in uses], len(part), known)
        found += grows.told(part, found[-1:], before)
        before = grows
    return found


class Grows:
    """Layers whose numbers grow evenly: in each use `count` times the child of a run."""

    def __init__(self, trees: list[Node], count: int, known: Constants) -> None:
        self.trees = trees
        self.count = count
        self.known = known
        are_alike = all(outline(tree) == outline(trees[0]) for tree in trees)
        self.is_growth = are_alike and any(isinstance(n, Progress) for n in walk(trees[0]))
        self.begun: set[Any] = set()
        """The progressions that the layer before these is in."""

    def told(self, rows: Rows, earlier: Rows, before: Grows | None) -> Rows:
        """These layers; one that does not grow may continue what is `before` it. `earlier`: the last layer of it."""
        if self.is_growth:
            for layers in earlier:
                self.member(layers, -1)
            return [self.member(layers, i) for i, layers in enumerate(rows)]
        if before is not None and before.is_growth and len(rows) == 1:
            return [before.member(rows[0], before.count)]
        return rows

    def member(self, layers: Sequence[Node], i: int) -> list[Node]:
        """Layer `i` in each use; of the layer that follows them, what grows further.

        Layer -1, the one before them, shows which progressions do not begin here.
        """
        return self._inside(self.trees, layers, i)

    def _inside(self, trees: Sequence[Node], layers: Sequence[Node], i: int) -> list[Node]:
        if isinstance(trees[0], Progress):
            return self._number(trees, layers, i)
        if not children(trees[0]) or any(head(a) != head(b) for a, b in zip(trees, layers, strict=True)):
            return list(layers)
        rows = zip(zip(*map(children, trees), strict=True), zip(*map(children, layers), strict=True), strict=True)
        inner = zip(*(self._inside(a, b, i) for a, b in rows), strict=True)
        return [rebuild(layer, list(own)) for layer, own in zip(layers, inner, strict=True)]

    def _number(self, grows: Sequence[Any], layers: Sequence[Node], i: int) -> list[Node]:
        """Number `i` of a progression: a sum where it begins at an argument, else itself."""
        starts, steps = [g.start.value for g in grows], [g.step.value for g in grows]
        values = [a + i * b for a, b in zip(starts, steps, strict=True)]
        if _are_multiples(starts, steps) or list(layers) != list(map(Num, values)):
            return list(layers)
        if i < 0:
            self.begun.add((*starts, *steps))
        if (*starts, *steps) not in self.begun and self._is_argument(starts):
            return [Apply("+", (Num(a), self._added(steps, b, i))) for a, b in zip(starts, steps, strict=True)]
        return list(layers) if varies(values) or self._is_told(starts[0], steps[0]) else _plain(layers)

    def _is_told(self, start: int, step: int) -> bool:
        """Whether all numbers of a progression are multiples of one argument."""
        told = range(start, start + self.count * step, step)
        return bool(set.intersection(*map(self.known.bases, told)))

    def _is_argument(self, values: Sequence[int]) -> bool:
        return varies(values) or values[0] in self.known.wide

    def _added(self, steps: Sequence[int], step: int, i: int) -> Node:
        """The step `i` times, as a product where it is an argument."""
        return Apply("*", (Text(str(i)), Num(step))) if self._is_argument(steps) else Text(str(i * step))


def _plain(numbers: Sequence[Any]) -> list[Node]:
    """Numbers that stay as they are."""
    return [Text(str(n.value)) for n in numbers]


def _by_chance(rows: Rows, known: Constants) -> Rows:
    """Layers of one form in which a number is a multiple of an argument in some, and a larger one none in others."""
    trees = [tree for row in rows for tree in row]
    if any(outline(tree) != outline(trees[0]) for tree in trees):
        return rows
    return [list(column) for column in _settle(rows, known)]


def _settle(rows: Sequence[Sequence[Node]], known: Constants) -> list[list[Node]]:
    first = rows[0][0]
    if isinstance(first, Num):
        return _numbers(rows, known)
    if not children(first):
        return [list(row) for row in rows]
    places = zip(*[zip(*map(children, row), strict=True) for row in rows], strict=True)
    inner = list(zip(*[_settle(place, known) for place in places], strict=True))
    return [
        [rebuild(tree, list(own)) for tree, own in zip(row, zip(*new, strict=True), strict=True)]
        for row, new in zip(rows, inner, strict=True)
    ]


def _numbers(rows: Sequence[Sequence[Any]], known: Constants) -> list[list[Node]]:
    """One number of all layers: those that are an argument's multiple by chance are kept as they are."""
    alike = {row[0].value for row in rows if _is_whole(row)}
    strange = max((v for v in alike if v > WIDTH and not known.explain(v, "")), default=0)
    by_chance = {v for v in alike if v < strange and v not in known.values}
    return [_plain(row) if _is_whole(row) and row[0].value in by_chance else list(row) for row in rows]


def _is_whole(row: Sequence[Any]) -> bool:
    """Whether a number is whole, and the same in all uses."""
    return type(row[0].value) is int and not varies([n.value for n in row])


def _are_multiples(starts: Sequence[int], steps: Sequence[int]) -> bool:
    """Whether progressions are multiples of their first numbers, or none that grow from a width."""
    if min(starts) < 1 or min(steps) < 1:
        return True
    return all(b % a == 0 for a, b in zip(starts, steps, strict=True))
