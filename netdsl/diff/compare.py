"""Two definitions become a list of what happened to each step: matched by structure and name, level by level."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from netdsl.diff.align import Score, align
from netdsl.diff.alike import ENOUGH, Leaves, Likeness
from netdsl.diff.bodies import Bodies, Body
from netdsl.diff.fields import fields_of
from netdsl.diff.model import Entry, Field, Item, Kind, Pair
from netdsl.diff.prints import Prints
from netdsl.diff.wiring import Wiring
from netdsl.ir.model import Definition

Matches = list[tuple[int, int]]

SHARP, LIGHT = 4, 0.25
"""The power of a likeness that an alignment adds up; the weight of an op without a layer."""

MOVED = 0.6
"""How alike a step must be to one elsewhere to count as moved there."""

OPENED = 4
"""How many levels of blocks are opened to find what they hold beside them on the other side."""


class Comparer:
    """Compares definitions, each pair of them once."""

    def __init__(self) -> None:
        self.bodies = Bodies()
        self._likeness = Likeness()
        self._prints = Prints(self.bodies)
        self._known: dict[tuple[int, int, bool], float] = {}
        self._made: dict[tuple[Definition, Definition], Pair] = {}

    def same(self, before: Definition, after: Definition) -> bool:
        """Whether two definitions are the same net, the names of their layers included."""
        return self._prints.of(before) == self._prints.of(after)

    def pair(self, before: Definition, after: Definition) -> Pair:
        """The change of every step."""
        if (before, after) not in self._made:
            ours, theirs = self._opened(before, after)
            self._made[before, after] = self._compared(before, after, ours, theirs)
        return self._made[before, after]

    def _opened(self, before: Definition, after: Definition) -> tuple[Body, Body]:
        """The bodies of two definitions, with those blocks opened whose insides stand beside them on the other side."""
        open_before: frozenset[str] = frozenset()
        open_after: frozenset[str] = frozenset()
        for _ in range(OPENED):
            ours, theirs = self.bodies.of(before, open_before), self.bodies.of(after, open_after)
            matches = self._matches(ours.items, theirs.items)
            left = _rest(ours.items, (i for i, _ in matches))
            right = _rest(theirs.items, (j for _, j in matches))
            more_before, more_after = self._to_open(left, right), self._to_open(right, left)
            if not more_before and not more_after:
                break
            open_before, open_after = open_before | more_before, open_after | more_after
        return self.bodies.of(before, open_before), self.bodies.of(after, open_after)

    def _to_open(self, items: list[Item], others: list[Item]) -> frozenset[str]:
        """The blocks among items of which half or more stands among the others, as ops that nothing else became."""
        ops: Leaves = Counter()
        for other in others:
            if not isinstance(other.callee, Definition):
                ops += self._likeness.families(other)
        found = set()
        calls = Counter(item.name for item in items)
        for item in items:
            if isinstance(item.callee, Definition) and calls[item.name] == 1:
                inside = self._likeness.families(item)
                if 2 * (inside & ops).total() >= inside.total():
                    found.add(item.name)
        return frozenset(found)

    def _matches(self, ours: Sequence[Item], theirs: Sequence[Item]) -> Matches:
        score = self._score(ours, theirs)
        once = _once(ours) & _once(theirs)

        def full(i: int, j: int) -> bool:
            return score(i, j) == _most(ours[i], theirs[j])

        def only(i: int, j: int) -> bool:
            return ours[i].name in once  # a layer has its name to itself, an op without one has none

        return align(len(ours), len(theirs), score, full, only)

    def _score(self, ours: Sequence[Item], theirs: Sequence[Item]) -> Score:
        """Likeness, to a power: one good match is worth more than two poor ones. What has no layer counts little."""
        rows, columns = self._likeness.numbers(ours), self._likeness.numbers(theirs)
        known = self._known

        def score(i: int, j: int) -> float:
            key = rows[i], columns[j], ours[i].name == theirs[j].name
            if key not in known:
                found = self._likeness.of(ours[i], theirs[j])
                known[key] = _most(ours[i], theirs[j]) * found**SHARP if found >= ENOUGH else 0.0
            return known[key]

        return score

    def _share(self, a: Item, b: Item) -> bool:
        """Whether two steps share anything but a likeness: blocks of other names must hold a step that stayed."""
        if not isinstance(a.callee, Definition) or not isinstance(b.callee, Definition) or a.label == b.label:
            return True
        entries = self.pair(a.callee, b.callee).entries
        return not entries or any(len(e.items) == 2 for e in entries)

    def _moves(self, ours: Sequence[Item], theirs: Sequence[Item], matches: Matches) -> Matches:
        """Pairs of what is left on both sides, the most alike first."""
        left = sorted(set(range(len(ours))) - {i for i, _ in matches})
        right = sorted(set(range(len(theirs))) - {j for _, j in matches})
        if len(left) * len(right) > 10_000:
            return []
        score = self._score(ours, theirs)
        found: Matches = []
        for fit, i, j in sorted(((score(i, j), i, j) for i in left for j in right), key=lambda f: (-f[0], f[1], f[2])):
            if fit >= MOVED**SHARP and all(i != a and j != b for a, b in found):
                found.append((i, j))
        return found

    def _compared(self, before: Definition, after: Definition, ours: Body, theirs: Body) -> Pair:
        matches = [
            m for m in self._matches(ours.items, theirs.items) if self._share(ours.items[m[0]], theirs.items[m[1]])
        ]
        moves = self._moves(ours.items, theirs.items, matches)
        wiring = Wiring(ours, theirs, matches)
        entries = []
        for i, j, moved in _merged(len(ours.items), len(theirs.items), matches, moves):
            if i is None or j is None:
                entries.append(
                    _alone(ours.items[i] if i is not None else None, theirs.items[j] if j is not None else None)
                )
            else:
                entries.append(self._entry(ours.items[i], theirs.items[j], moved, wiring))
        return Pair(before, after, tuple(entries), wiring.outputs())

    def _entry(self, a: Item, b: Item, moved: bool, wiring: Wiring) -> Entry:
        reads = tuple(wiring.inputs(a, b))
        fields = (*fields_of(a, b), *(() if moved else reads))
        places = reads if moved else ()  # what reads the same is only listed in another order
        if isinstance(a.callee, Definition) and isinstance(b.callee, Definition):
            body = None if self.same(a.callee, b.callee) else self.pair(a.callee, b.callee)
            arguments = tuple(_arguments(a.callee, b.callee))
            return Entry(_kind_of_block(fields, body), a, b, fields, places, body, arguments)
        kind: Kind = "same" if _types(a) == _types(b) else "resized"
        return Entry("changed" if fields else kind, a, b, fields, places)


def _most(a: Item, b: Item) -> float:
    """The score of two steps that are all alike."""
    return 1.0 if a.name and b.name else LIGHT


def _once(items: Sequence[Item]) -> set[str]:
    """The names of layers that one step alone bears."""
    return {name for name, number in Counter(i.name for i in items).items() if name and number == 1}


def _kind_of_block(fields: tuple[Field, ...], body: Pair | None) -> Kind:
    """The change of a block, from its own fields and from its body."""
    if fields or (body is not None and body.differs):
        return "changed"
    return "resized" if body is not None and any(e.kind == "resized" for e in body.entries) else "same"


def _types(item: Item) -> list[object]:
    return [v.type for v in (*item.inputs, *item.outs)]


def _arguments(before: Definition, after: Definition) -> Iterator[Field]:
    """The plain arguments of two blocks that differ."""
    ours, theirs = dict(before.arguments), dict(after.arguments)
    for name in dict.fromkeys([*ours, *theirs]):
        a, b = (side.get(name) for side in (ours, theirs))
        if a != b and all(v is None or isinstance(v, bool | int | float | str) for v in (a, b)):
            yield Field(name, _plain(a) if name in ours else None, _plain(b) if name in theirs else None)


def _plain(value: object) -> str:
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _alone(before: Item | None, after: Item | None) -> Entry:
    return Entry("added" if before is None else "removed", before, after)


def _rest(items: Sequence[Item], matched: Iterator[int]) -> list[Item]:
    taken = set(matched)
    return [item for i, item in enumerate(items) if i not in taken]


def _merged(before: int, after: int, matches: Matches, moves: Matches) -> Iterator[tuple[int | None, int | None, bool]]:
    """Every member of both sides once, in order: what is gone, then what is new, then what they have in common. What
    has moved stands where it is now."""
    gone, here = {i for i, _ in moves}, {j: i for i, j in moves}
    i = j = 0
    for a, b in (*matches, (before, after)):
        yield from ((k, None, False) for k in range(i, a) if k not in gone)
        yield from ((here.get(k), k, k in here) for k in range(j, b))
        if a < before:
            yield a, b, False
        i, j = a + 1, b + 1
