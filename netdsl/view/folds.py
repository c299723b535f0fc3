"""Steps and items of a body that are drawn as one: equal neighbours, what comes again, parts of a long body."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

from netdsl.ir.model import Definition, Step, Value
from netdsl.view.item import Item

MOST = 120
"""The most items one drawing of a definition shows: a longer body is cut into segments."""

PERIOD = 3
"""How many blocks in a row are looked at as what is repeated (a window and a shifted window of Swin are 2)."""

LONG, ALIKE = 12, 4
"""In a body of more than `LONG` items, one stands for `ALIKE` blocks or more in a row, alike but for their sizes."""


def runs(steps: list[Step], uses: Counter[str]) -> list[list[Step]]:
    """Steps in groups of equal neighbours, each of which reads only what the one before it gives."""
    runs: list[list[Step]] = []
    places: list[int] = []
    for step in steps:
        last = runs[-1][-1] if runs else None
        fed = _fed(last, step, uses) if last and equal(last, step) else []
        if fed and (len(runs[-1]) == 1 or fed == places):
            runs[-1].append(step)
            places = fed
        else:
            runs.append([step])
    return runs


def equal(a: Step, b: Step) -> bool:
    """Whether two steps call the same on what is written in the same way."""
    same = a.callee is b.callee or (not isinstance(a.callee, Definition) and a.callee == b.callee)
    types = [(v.type.shape, v.type.dtype) for v in (*a.inputs, *a.outs)]
    return same and a.training == b.training and types == [(v.type.shape, v.type.dtype) for v in (*b.inputs, *b.outs)]


def same_steps(a: Sequence[Step], b: Sequence[Step]) -> bool:
    """Whether two parts of a body compute the same: equal steps that read one another likewise."""
    alike = len(a) == len(b) and all(map(equal, a, b))
    return alike and (len(a) == 1 or _wiring(a) == _wiring(b))


def _wiring(steps: Sequence[Step]) -> list[int]:
    """The values that steps read, numbered: inputs as they come, and what the steps make."""
    numbers: dict[str, int] = {}
    found = []
    for step in steps:
        found += [numbers.setdefault(v.name, len(numbers)) for v in step.inputs]
        for v in step.outs:
            numbers[v.name] = len(numbers)
    return found


def _fed(a: Step, b: Step, uses: Counter[str]) -> list[int]:
    """The inputs of `b` that are outputs of `a`; none where something else reads those, or another input differs."""
    made = {v.name for v in a.outs}
    places = [i for i, v in enumerate(b.inputs) if v.name in made]
    same = all(v == w or w.name in made for v, w in zip(a.inputs, b.inputs, strict=True))
    return places if same and _all_goes_to(b.inputs, made, uses) else []


def _all_goes_to(inputs: Iterable[Value], made: set[str], uses: Counter[str]) -> bool:
    """Whether nothing but the reader of `inputs` reads the values made."""
    read = {v.name for v in inputs}
    return all(uses[name] == (name in read) for name in made)


def blocks_alike(items: Sequence[Item], uses: Counter[str]) -> list[list[Item]]:
    """Chains of blocks that differ only in their sizes, as the layers of a dense block do."""
    groups: list[list[Item]] = []
    for item in items:
        if groups and _is_alike(groups[-1][-1], item, uses):
            groups[-1].append(item)
        else:
            groups.append([item])
    short = [g for g in groups if len(g) < ALIKE]
    return [part for g in groups for part in ([[i] for i in g] if g in short else [g])]


def repeats(items: list[Item], uses: Counter[str]) -> list[tuple[list[Item], int]]:
    """Items in groups: blocks that come again in the same order (and how many they are), or one by itself."""
    groups: list[tuple[list[Item], int]] = []
    start = 0
    while start < len(items):
        size, end = max(((p, _repeat_end(items, start, p, uses)) for p in range(2, PERIOD + 1)), key=lambda f: f[1])
        if end < start + 2 * size:
            size, end = 1, start + 1
        groups.append((items[start:end], size))
        start = end
    return groups


def _repeat_end(items: list[Item], start: int, size: int, uses: Counter[str]) -> int:
    """Where a chain of blocks ends that continues as its first `size` ones, whole repeats only."""
    end = start + 1
    while end < len(items) and _feeds(items[end - 1], items[end], uses):
        if end >= start + size and not _is_same(items[end - size], items[end]):
            break
        end += 1
    return end - (end - start) % size


def _feeds(a: Item, b: Item, uses: Counter[str]) -> bool:
    """Whether a block gives all that the next one reads, and to nothing else."""
    made = {v.name for v in a.outs}
    chained = all(v.name in made for v in b.inputs) and _all_goes_to(b.inputs, made, uses)
    return chained and a.body is not None and b.body is not None


def _is_same(a: Item, b: Item) -> bool:
    return a.count == b.count and a.parallel == b.parallel and same_steps(a.steps, b.steps)


def cycles(items: list[Item], uses: Counter[str]) -> list[tuple[list[Item], int]]:
    """Items in groups: what comes again in the same order, each round a function of the one value that the round before
    gives (and how many items a round has), or one by itself."""
    wiring = _Wiring(items, uses)
    groups: list[tuple[list[Item], int]] = []
    start = 0
    while start < len(items):
        ends = ((p, wiring.cycle_end(start, p)) for p in range(2, LONG + 1))
        size, end = next(((p, e) for p, e in ends if e >= start + ALIKE * p), (1, start + 1))
        groups.append((items[start:end], size))
        start = end
    return groups


class _Wiring:
    """Where the items of a body read from, and what passes between them."""

    def __init__(self, items: list[Item], uses: Counter[str]) -> None:
        self.items = items
        self.passing = _passing(items)
        made = {v.name: (i, port) for i, item in enumerate(items) for port, v in enumerate(item.outs)}
        self.sources = [[made.get(v.name, (-1, 0)) for v in item.inputs] for item in items]
        read = Counter(name for item in items for name in {v.name for v in item.inputs})
        self.leaves = [any(uses[v.name] > read[v.name] for v in item.outs) for item in items]
        self.last = {s: i for i, sources in enumerate(self.sources) for s, _ in sources}

    def cycle_end(self, start: int, size: int) -> int:
        """Where whole rounds of `size` items end that are as the first one; `start` where there is no second."""
        end = start
        while self._is_round(start, end, size):
            end += size
        return end - size if end > start and self._is_read_later(end - size, end) else end

    def _is_round(self, start: int, at: int, size: int) -> bool:
        """Whether a round begins at an item: one value comes in, and all is as in the round before."""
        if at + size > len(self.items) or self.passing[at] != 1 or (at > start and self.leaves[at - 1]):
            return False
        if any(self.leaves[at : at + size - 1]):
            return False
        return at == start or all(self._is_alike(i, at, size) for i in range(at, at + size))

    def _is_alike(self, i: int, begin: int, size: int) -> bool:
        """Whether an item is as the one a round before, and reads the same places of its round. What comes from before
        it is given by the last item of the round before."""
        if not same_steps(self.items[i - size].steps, self.items[i].steps):
            return False
        for (a, port), (b, other) in zip(self.sources[i - size], self.sources[i], strict=True):
            inside = a >= begin - size
            if (b - a != size or port != other) if inside else b != begin - 1:
                return False
        return True

    def _is_read_later(self, begin: int, end: int) -> bool:
        """Whether something behind a round reads what comes into it, or what it gives to itself."""
        return any(self.last.get(i, -1) >= end for i in range(begin - 1, end - 1))


def _is_alike(last: Item, item: Item, uses: Counter[str]) -> bool:
    """Whether a block is called like the one before it, and reads what that gives, as nothing else does."""
    made = {v.name for v in last.outs}
    chained = any(v.name in made for v in item.inputs) and _all_goes_to(item.inputs, made, uses)
    return chained and last.body is not None and item.body is not None and last.label == item.label


def segments(items: Sequence[Item], uses: Counter[str]) -> list[list[Item]]:
    """Consecutive items in at most `MOST / 2` groups, where there are too many to draw: cut where the fewest values
    pass, and before what the group began with, so that a block that is written out stays together."""
    if len(items) <= MOST:
        return [[i] for i in items]
    size, passing = -(-len(items) * 2 // MOST), _passing(items)
    cuts = [0]
    while cuts[-1] < len(items):
        first = items[cuts[-1]].label
        ends = (min(i, len(items)) for i in range(cuts[-1] + size, cuts[-1] + 2 * size))
        cuts.append(min(ends, key=lambda i: (passing[i], i < len(items) and items[i].label != first)))
    return [list(items[a:b]) for a, b in pairwise(cuts)]


def _passing(items: Sequence[Item]) -> list[int]:
    """How many values pass from what is before each item, and from before the first, to it or to what is after it."""
    last = {v.name: i for i, item in enumerate(items) for v in item.inputs}
    change = [0] * (len(items) + 1)
    made = {v.name: i + 1 for i, item in enumerate(items) for v in item.outs}
    for name, end in last.items():
        change[made.get(name, 0)] += 1
        change[end + 1] -= 1
    return list(accumulate(change))
