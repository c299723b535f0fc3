"""Branches side by side that are drawn as one: equal ones, and parts of a row that is too wide to draw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from itertools import chain, count
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from netdsl.ir.model import Definition, Value
from netdsl.view.folds import ALIKE, same_steps
from netdsl.view.item import Item

WIDE = 12
"""The most branches side by side that lead to one reader: a longer row is cut into parts."""

Key = tuple[int, int]
"""The place of an item: where it stands in the program, and among those that were folded to stand there."""


class Branch(Struct, frozen=True, eq=False):
    """The items that only lead to one value, which is read once. `own`: the inputs that nothing else reads."""

    keys: tuple[Key, ...]
    items: tuple[Item, ...]
    value: Value
    own: tuple[Value, ...]


Part = TypeVar("Part")

Fold = Callable[[list[Branch], bool], Item]
"""Makes one item of branches: of equal ones, or not."""


def side_by_side(items: list[Item], results: Collection[Value], loose: Collection[Value], fold: Fold) -> list[Item]:
    """Items with branches folded, in an order in which they can run.

    `results`: what is read from outside. `loose`: the inputs and results that may be drawn as one line.
    """
    if max((len(results), *(len(i.inputs) for i in items))) < ALIKE:
        return items
    return _Rows(items, results, {v.name for v in loose}, fold).folded()


class _Rows:
    """The items of a body by their places, and who reads what."""

    def __init__(self, items: list[Item], results: Collection[Value], loose: set[str], fold: Fold) -> None:
        self._items: dict[Key, Item] = {(2 * i + 1, 0): item for i, item in enumerate(items)}
        self._end = (2 * len(items) + 1, 0)
        self._results, self._loose, self._fold = results, loose, fold
        self._ranks = count()
        self._made = {v.name: key for key, item in self._items.items() for v in item.outs}
        self._readers: dict[str, Counter[Key]] = {}
        for key, item in self._items.items():
            self._note(key, item.inputs)
        self._note(self._end, results)

    def folded(self) -> list[Item]:
        for key, item in list(self._items.items()):
            if len(item.inputs) >= ALIKE and not isinstance(item.steps[0].callee, Definition):
                read = self._narrowed(key, item.inputs)
                if len(read) < len(item.inputs):
                    self._items[key] = replace(item, inputs=tuple(read))
        loose = [v for v in self._results if v.name in self._loose]
        self._narrowed(self._end, loose)
        return [self._items[key] for key in sorted(self._items)]

    def _note(self, key: Key, values: Collection[Value]) -> None:
        for value in values:
            self._readers.setdefault(value.name, Counter())[key] += 1

    def _narrowed(self, reader: Key, read: Sequence[Value]) -> list[Value]:
        """The values that something reads when the branches to it are folded."""
        parts: list[Branch | Value] = [self._branch(v, reader) or v for v in read]
        parts = self._joined(parts, reader, _is_same, True)
        if _branches(parts) > WIDE:
            parts = self._joined(parts, reader, _is_alike, False)
        while (wide := _branches(parts)) > WIDE:
            parts = self._cut(parts, reader)
            if _branches(parts) == wide:
                break
        return [p.value if isinstance(p, Branch) else p for p in parts]

    def _branch(self, value: Value, reader: Key) -> Branch | None:
        """The items that lead to a value, where nothing but the reader needs it."""
        last = self._made.get(value.name)
        if last is None or self._read_by(last) != {reader: 1}:
            return None
        found, waiting = {last}, [last]
        own: dict[str, Value] = {}
        while waiting:
            for v in self._items[waiting.pop()].inputs:
                maker = self._made.get(v.name)
                if maker is None and v.name in self._loose and found.issuperset(self._readers[v.name]):
                    own[v.name] = v
                elif maker is not None and maker not in found and found.issuperset(self._read_by(maker)):
                    found.add(maker)
                    waiting.append(maker)
        keys = tuple(sorted(found))
        return Branch(keys, tuple(self._items[k] for k in keys), value, tuple(own.values()))

    def _read_by(self, key: Key) -> Counter[Key]:
        """The readers of all that an item gives."""
        counts = [self._readers.get(v.name, Counter()) for v in self._items[key].outs]
        return counts[0] if len(counts) == 1 else sum(counts, Counter())

    def _joined(
        self, parts: list[Branch | Value], reader: Key, fits: Callable[[Branch, Branch], bool], same: bool
    ) -> list[Branch | Value]:
        """Rows of branches that fit one another as one."""
        rows = _rows(parts, fits)
        return [p for row in rows for p in (self._as_one(row, reader, same) if len(row) >= ALIKE else row)]

    def _cut(self, parts: list[Branch | Value], reader: Key) -> list[Branch | Value]:
        """Rows of branches in parts."""
        found: list[Branch | Value] = []
        for row in _rows(parts, lambda a, b: True):
            pieces = parted(row)
            found += [p for piece in pieces for p in (self._as_one(piece, reader, False) if len(piece) > 1 else piece)]
        return found

    def _as_one(self, row: Sequence[Branch | Value], reader: Key, same: bool) -> list[Branch | Value]:
        """Put one item in the place of branches."""
        branches = [p for p in row if isinstance(p, Branch)]
        gone = list(chain.from_iterable(b.keys for b in branches))
        item = self._fold(branches, same)
        for key in gone:
            old = self._items.pop(key)
            for value in old.inputs:
                self._readers[value.name].pop(key, None)
            for value in old.outs:
                del self._made[value.name]
        (value,) = item.outs
        key = reader[0] - 1, next(self._ranks)
        self._items[key] = item
        self._made[value.name] = key
        self._note(key, item.inputs)
        self._readers[value.name] = Counter({reader: 1})
        own = tuple(v for v in item.inputs if v.name in self._loose and set(self._readers[v.name]) == {key})
        return [Branch((key,), (item,), value, own)]


def parted(row: Sequence[Part]) -> list[Sequence[Part]]:
    """A row in parts that are not too wide to draw, about equally long."""
    parts = -(-len(row) // WIDE)
    return [row[len(row) * i // parts : len(row) * (i + 1) // parts] for i in range(parts)]


def _branches(parts: list[Branch | Value]) -> int:
    return sum(isinstance(p, Branch) for p in parts)


def _rows(parts: list[Branch | Value], fits: Callable[[Branch, Branch], bool]) -> list[list[Branch | Value]]:
    """Parts in rows of branches each of which fits the one before it; what is no branch is by itself."""
    rows: list[list[Branch | Value]] = []
    for part in parts:
        last = rows[-1][-1] if rows else None
        if isinstance(last, Branch) and isinstance(part, Branch) and fits(last, part):
            rows[-1].append(part)
        else:
            rows.append([part])
    return rows


def _is_alike(a: Branch, b: Branch) -> bool:
    """Whether two branches are the same but for their sizes."""
    return [i.label for i in a.items] == [i.label for i in b.items]


def _is_same(a: Branch, b: Branch) -> bool:
    """Whether two branches compute the same, with other weights: equal steps that read the same."""
    if len(a.items) != len(b.items) or len(a.own) != len(b.own):
        return False
    ours, theirs = _places(a), _places(b)
    return all(
        x.count == y.count
        and x.parallel == y.parallel
        and same_steps(x.steps, y.steps)
        and [ours.get(v.name, v.name) for v in x.inputs] == [theirs.get(v.name, v.name) for v in y.inputs]
        for x, y in zip(a.items, b.items, strict=True)
    )


def _places(branch: Branch) -> dict[str, tuple[int, int]]:
    """Where in a branch its values are made."""
    made = {v.name: (i, port) for i, item in enumerate(branch.items) for port, v in enumerate(item.outs)}
    return made | {v.name: (-1, i) for i, v in enumerate(branch.own)}
