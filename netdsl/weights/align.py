"""Two spellings of one net, aligned: the tree of a file's prefixes against a net's layers in order of use.

What a prefix of the file holds stands together in the order in which the net uses its layers, if not as a whole then
part by part. So the children of every prefix are put into an order under which their layers are, one after the other,
those of the net. The numbers in their names restrict the order, the shapes below them nearly always fix it. Where
several orders fit, words decide (`shortcut` and `downsample`, `before` and `after`); where they do not, the layers that
the orders place differently stay open.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from netdsl.weights.names import PREVIOUS, concepts, earlier, is_final, is_repeated, stamp, tokens
from netdsl.weights.orders import MOST_ORDERS, Exhausted, Order, Orders, Rule, attempts, family
from netdsl.weights.slots import Unit
from netdsl.weights.tree import Node
from netdsl.weights.use import Use


@dataclass
class Alignment:
    """The net's unit for each unit of the file, by number, and the reason. `open`: layers that could be several."""

    pairs: dict[int, Unit] = field(default_factory=dict)
    why: dict[int, str] = field(default_factory=dict)
    open: list[tuple[tuple[int, ...], tuple[Unit, ...]]] = field(default_factory=list)


@dataclass(frozen=True)
class Placed:
    """A node of the file at a place of the net: a leaf, or its parts. `loose`: parts that could stand elsewhere;
    `cuts`: how often prefixes of the file cut through those of the net."""

    node: Node
    start: int
    parts: tuple[Placed, ...] = ()
    why: str = ""
    loose: frozenset[int] = frozenset()
    cuts: int = 0


def align(root: Node, use: Use, marks: Mapping[Unit, int]) -> Alignment | None:
    """The alignment of a file's tree with a net that has the same multiset of signatures; None where none fits.

    Raises Exhausted.
    """
    search = Search(use, marks)
    placed = search.place(root, 0)
    if placed is None and search.many:
        raise Exhausted
    if placed is None:
        return None
    found = Alignment()
    _collect(placed, found, "")
    return found


def _collect(placed: Placed, found: Alignment, why: str) -> None:
    """Note the pairs of a placed node; what is loose is left open as a whole."""
    if placed.node.unit is not None:
        found.pairs[placed.start] = placed.node.unit
        found.why[placed.start] = why or "shapes"
        return
    loose = [placed.parts[i] for i in sorted(placed.loose)]
    if loose:
        found.open.append(_open(loose))
    for i, part in enumerate(placed.parts):
        if i not in placed.loose:
            _collect(part, found, placed.why or why)


def _open(loose: Sequence[Placed]) -> tuple[tuple[int, ...], tuple[Unit, ...]]:
    """The layers of the net and of the file that loose parts leave open."""
    numbers = tuple(n for p in loose for n in range(p.start, p.start + p.node.size))
    return numbers, tuple(u for p in loose for u in p.node.units())


class Search:
    """The search for an alignment. Everything about a node at a place is found once."""

    def __init__(self, use: Use, marks: Mapping[Unit, int]) -> None:
        self.use = use
        self.sums = [0]
        for unit in use.units:
            self.sums.append(self.sums[-1] + marks[unit])
        self.memo: dict[tuple[int, int], Placed | None] = {}
        self.around = _surroundings(use.units)
        self.many = False  # whether orders of too many parts were not tried

    def cuts(self, start: int, size: int) -> int:
        """How many prefixes of the net begin or end inside this segment without being inside or around it."""
        end = start + size
        through = sum(last < end for _, last in self.around[start])
        return through + sum(first > start for first, _ in self.around[end])

    def fits(self, node: Node, start: int) -> bool:
        end = start + node.size
        return end < len(self.sums) and self.sums[end] - self.sums[start] == node.mark

    def place(self, node: Node, start: int) -> Placed | None:
        """The node at a place, its parts in an order that fits; None where there is none."""
        key = (id(node), start)
        if key not in self.memo:
            self.memo[key] = self._place(node, start) if self.fits(node, start) else None
        return self.memo[key]

    def _place(self, node: Node, start: int) -> Placed | None:
        if node.unit is not None:
            return Placed(node, start)
        if len(node.children) == 1:
            inner = self.place(next(iter(node.children.values())), start)
            return None if inner is None else Placed(node, start, (inner,), cuts=inner.cuts)
        for items, rule in attempts(node):
            straight = Orders(items, rule, self._fits_straight)
            self.many |= straight.many
            orders = straight.from_(start)
            if not orders:
                orders = Orders(items, rule, self._fits).from_(start)
                if len(orders) >= MOST_ORDERS:
                    raise Exhausted  # the straightest of them is not known
            if orders:
                return self._decided(node, start, orders, rule)
        return None

    def _fits(self, item: Node, at: int) -> bool:
        return self.place(item, at) is not None

    def _fits_straight(self, item: Node, at: int) -> bool:
        placed = self.place(item, at)
        return placed is not None and not placed.cuts

    def _decided(self, node: Node, start: int, orders: list[Order], rule: Rule) -> Placed:
        """The order that words decide for, with what they leave open; the only one where there is but one."""
        base = _common(self.use.units, start, node.size)
        if len(orders) == 1:
            chosen = orders[0]
            why = "numbers" if any(rule.before(a, b) for (a, _), (b, _) in pairwise(chosen)) else "shapes"
            loose: set[int] = set()
        else:
            chosen, loose = self._worded(node, base, self._straightest(node, start, orders))
            why = "names"
        if len(orders) >= MOST_ORDERS:
            loose = set(range(len(chosen)))
        loose |= self._doubtful(node, base, chosen, rule)
        return Placed(node, start, self._parts(chosen), why, frozenset(loose), self._cuts(node, start, chosen))

    def _parts(self, order: Order) -> tuple[Placed, ...]:
        found = [self.place(item, at) for item, at in order]
        return tuple(p for p in found if p is not None)

    def _cuts(self, node: Node, start: int, order: Order) -> int:
        return self.cuts(start, node.size) + sum(p.cuts for p in self._parts(order))

    def _straightest(self, node: Node, start: int, orders: list[Order]) -> list[Order]:
        """The orders under which the fewest prefixes of the net are cut through."""
        cuts = [self._cuts(node, start, order) for order in orders]
        return [order for order, n in zip(orders, cuts, strict=True) if n == min(cuts)]

    def _worded(self, node: Node, base: int, orders: list[Order]) -> tuple[Order, set[int]]:
        """The order that words decide for, and the numbers of its parts that another order has elsewhere."""
        scores = [self._affinities(node, base, order) for order in orders]
        for i, order in enumerate(orders):
            others = [k for k in range(len(orders)) if k != i]
            if all(self._beats(node, base, order, scores[i], orders[k], scores[k]) for k in others):
                return order, set()
        first = orders[0]
        loose = {i for i, part in enumerate(first) if any(part not in order for order in orders[1:])}
        return first, loose

    def _affinities(self, node: Node, base: int, order: Order) -> dict[tuple[Node, int], int]:
        return {(item, at): len(self._common_words(node, base, item, at)) for item, at in order}

    def _common_words(self, node: Node, base: int, item: Node, at: int) -> frozenset[str]:
        theirs = frozenset(c for part in item.path[len(node.path) :] for c in concepts(part))
        own = frozenset(c for part in self._label(base, at, item.size) for c in concepts(part))
        return theirs & (own | self.use.words[at])

    def _label(self, base: int, at: int, size: int) -> tuple[str, ...]:
        """The part of the own path that all these layers share, below what their surroundings share."""
        path = self.use.units[at].path
        return path[base : max(base + 1, _common(self.use.units, at, size))]

    def _beats(
        self,
        node: Node,
        base: int,
        order: Order,
        score: Mapping[tuple[Node, int], int],
        other: Order,
        other_score: Mapping[tuple[Node, int], int],
    ) -> bool:
        """Whether words speak for an order against another, and none for the other."""
        mine = [p for p in order if p not in other_score]
        theirs = [p for p in other if p not in score]
        said = [self._sooner(node, first, second) for first, second in _pairs_by_place(mine)]
        chained, unchained = (self._chained(node, o) | _beside(node, o) for o in (order, other))
        win = sum(score[p] for p in mine) + said.count(True) + len(chained - unchained)
        lose = sum(other_score[p] for p in theirs) + said.count(False) + len(unchained - chained)
        return win > 0 and lose == 0

    def _sooner(self, node: Node, first: tuple[Node, int], second: tuple[Node, int]) -> bool | None:
        """Whether words say that the first of two is used first, as it is; None where they say nothing."""
        (a, at), (b, later) = first, second
        said = _said(a.path[len(node.path)], b.path[len(node.path)])
        if said is not None and self.use.depends(_mask(later, b.size), _mask(at, a.size)):
            return said
        return self._further_back(node, first, second)

    def _further_back(self, node: Node, first: tuple[Node, int], second: tuple[Node, int]) -> bool | None:
        """Whether the one of two that is called previous reads what is further back; None where neither is."""
        (a, at), (b, later) = first, second
        called = [bool(PREVIOUS & concepts(item.path[len(node.path)])) for item in (a, b)]
        one, two = self.use.reads(_mask(at, a.size)), self.use.reads(_mask(later, b.size))
        if called[0] == called[1] or one == two or (one & two) not in (one, two):
            return None
        return (one & two == one) == called[0]

    def _chained(self, node: Node, order: Order) -> set[tuple[str, str]]:
        """Neighbours of a numbered family of which the later one reads what the earlier one gives."""
        depth = len(node.path)
        families: dict[str, list[tuple[Node, int]]] = {}
        for item, at in order:
            if len(item.path) == depth + 1 and any(t.isdecimal() for t in tokens(item.path[depth])):
                families.setdefault(family(item.path[depth]), []).append((item, at))
        return {
            (a.path[depth], b.path[depth])
            for members in families.values()
            for (a, at), (b, later) in pairwise(members)
            if self.use.depends(_mask(later, b.size), _mask(at, a.size))
        }

    def _doubtful(self, node: Node, base: int, order: Order, rule: Rule) -> set[int]:
        """Parts that only numbers distinguish though neither feeds the other: numbers alone do not prove an order."""
        found: set[int] = set()
        alike: dict[int, list[int]] = {}
        for i, (item, _) in enumerate(order):
            alike.setdefault(item.mark, []).append(i)
        for group in alike.values():
            for i, k in pairwise(group):
                (a, at), (b, later) = order[i], order[k]
                if rule.before(a, b) and not self._credible(node, base, (a, at), (b, later)):
                    found |= {i, k}
        return found | _early([item.path[len(node.path)] for item, _ in order])

    def _credible(self, node: Node, base: int, first: tuple[Node, int], second: tuple[Node, int]) -> bool:
        (a, at), (b, later) = first, second
        one, two = _mask(at, a.size), _mask(later, b.size)
        if self.use.depends(two, one) or self.use.joined_in_order(one, two):
            return True
        mine, other = self._label(base, at, a.size), self._label(base, later, b.size)
        numbers = next(((x, y) for x, y in zip(mine, other, strict=False) if x != y), ("", ""))
        if all(n.isdecimal() for n in numbers):
            return True
        straight = self._common_words(node, base, a, at) | self._common_words(node, base, b, later)
        crossed = self._common_words(node, base, a, later) | self._common_words(node, base, b, at)
        return bool(straight - crossed)


def _early(names: Sequence[str]) -> set[int]:
    """The places of what is called last and stands before what is called the body of a net, and of these bodies."""
    last = [i for i, name in enumerate(names) if is_final(name)]
    bodies = [i for i, name in enumerate(names) if is_repeated(name)]
    if not last or not bodies:
        return set()
    return {i for i in last if i < bodies[-1]} | {i for i in bodies if i > last[0]}


def _said(a: str, b: str) -> bool | None:
    """Whether names say that `a` is used before `b`: by their words, or as the body of a net before its last layer."""
    for one, other, sooner in ((a, b, True), (b, a, False)):
        if is_repeated(one) and "final" in concepts(other):
            return sooner
    return earlier(a, b)


def _beside(node: Node, order: Order) -> set[tuple[str, str]]:
    """Neighbours of different families with the same number, as the layers `conv1` and `bn1` are in either order."""
    depth = len(node.path)
    names = [item.path[depth] if item.unit and len(item.path) == depth + 1 else "" for item, _ in order]
    pairs = ((min(pair), max(pair)) for pair in pairwise(names))
    return {(a, b) for a, b in pairs if stamp(a) == stamp(b) != () and family(a) != family(b)}


def _common(all_units: Sequence[Unit], start: int, size: int) -> int:
    """How many parts of their paths the layers of a segment share."""
    paths = [u.path for u in all_units[start : start + size]]
    low, high = min(paths), max(paths)
    return next((i for i, (x, y) in enumerate(zip(low, high, strict=False)) if x != y), min(len(low), len(high)))


def _surroundings(all_units: Sequence[Unit]) -> list[list[tuple[int, int]]]:
    """For every place between two layers the prefixes of the net that it lies within, as first and last place."""
    members: dict[tuple[str, ...], list[int]] = {}
    for number, unit in enumerate(all_units):
        for depth in range(1, len(unit.path)):
            members.setdefault(unit.path[:depth], []).append(number)
    found: list[list[tuple[int, int]]] = [[] for _ in range(len(all_units) + 1)]
    spans = {(m[0], m[-1] + 1) for m in members.values() if m[-1] - m[0] + 1 == len(m)}
    for first, last in sorted(spans):
        for place in range(first + 1, last):
            found[place].append((first, last))
    return found


def _mask(start: int, size: int) -> int:
    return ((1 << size) - 1) << start


def _pairs_by_place(parts: Sequence[tuple[Node, int]]) -> Iterator[tuple[tuple[Node, int], tuple[Node, int]]]:
    ordered = sorted(parts, key=lambda p: p[1])
    for i, first in enumerate(ordered):
        for second in ordered[i + 1 :]:
            yield first, second
