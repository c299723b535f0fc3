"""The differences between two forms of a block: their operations are aligned, and those of only one form are the arms
of a choice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from msgspec.structs import replace

from netdsl.backends.torch.body import Body, Operation
from netdsl.backends.torch.tree import Apply, Group, Node, Num, Read, Shape, children, head, transform, walk
from netdsl.backends.torch.unify import Misfit

MOST_OPERATIONS = 100
"""Bodies longer than this are not aligned: it takes as many steps as the product of their lengths."""
MOST_CHOICES = 2
"""How many choices two blocks may differ in; those that differ in more are different to a reader as well."""
MOST_INSIDE = 5
"""How many operations stand in one arm of a choice."""

Place = tuple[int, int]
"""Where a value is read: the number of an operation (that of all, for what is returned), and of the read in it."""


def unchained(body: Body) -> Body:
    """The body with each link of a chain of methods as an operation of its own."""
    operations: list[Operation] = []
    count = len(body.names)
    for op in body.operations:
        links: list[Apply] = []
        node = op.node
        while isinstance(node, Apply) and isinstance(node.function, str) and node.function.startswith("."):
            links.append(node)
            node = node.args[0]
        if len(links) < 2 or op.weight != "pure" or op.training:
            operations.append(op)
            continue
        for link in reversed(links):
            last = link is links[0]
            first = link is links[-1]
            own = replace(link, args=(node if first else Read(count - 1), *link.args[1:]))
            operations.append(replace(op, targets=op.targets if last else (count,), node=own))
            count += not last
    names = (*body.names, *(f"x{i}" for i in range(len(body.names), count)))
    shapes = (*body.shapes, *[""] * (count - len(body.names)))
    return replace(body, operations=tuple(operations), names=names, shapes=shapes)


class _Side:
    """One of two bodies: which of its operations the other lacks, and what those give."""

    def __init__(self, body: Body, own: set[int]) -> None:
        self.body = body
        self.own = own
        self.producer = {t: i for i in own for t in body.operations[i].targets}
        self.uses = Counter(n.index for op in body.operations for n in walk(op.node) if isinstance(n, Read | Shape))
        self.uses.update(value for value, _ in body.returns)

    def arm(self, value: int, known: Container[int], root: bool = True) -> list[int]:
        """The operations that give a value, from values that both bodies have. Raises Misfit where they are no short
        expression."""
        if value in known:
            return []
        index = self.producer.get(value)
        if index is None or not (root or self.uses[value] == 1) or not _may_move(self.body.operations[index]):
            raise Misfit
        op = self.body.operations[index]
        if any(isinstance(n, Shape) and n.index not in known for n in walk(op.node)):
            raise Misfit
        inner = [self.arm(n.index, known, False) for n in walk(op.node) if isinstance(n, Read)]
        return [*chain.from_iterable(inner), index]


def _may_move(op: Operation) -> bool:
    return len(op.targets) == 1 and not op.training and not op.shared


def expression(body: Body, arm: Collection[int], value: int, known: Mapping[int, int]) -> Node:
    """Nest the operations of an arm into one tree over values under their numbers in `known`."""
    producer = {t: i for i in arm for t in body.operations[i].targets}

    def inside(node: Node) -> Node:
        if isinstance(node, Read) and node.index in producer:
            return transform(body.operations[producer[node.index]].node, inside)
        if isinstance(node, Read):
            return Read(known[node.index])
        return Shape(known[node.index], node.axis) if isinstance(node, Shape) else node

    return inside(Read(value))


class Difference:
    """In what another form differs from the base: `matched` are its operations by the base's that they stand for,
    `choices` what it reads by what the base reads there."""

    def __init__(self, base: Body, other: Body) -> None:
        if len(base.definition.inputs) != len(other.definition.inputs):
            raise Misfit
        if max(len(base.operations), len(other.operations)) > MOST_OPERATIONS:
            raise Misfit
        if [t for _, t in base.returns] != [t for _, t in other.returns]:
            raise Misfit
        self.base, self.other = base, other
        self.matched = dict(_aligned(base.operations, other.operations))
        self.known = {i: i for i in range(len(base.definition.inputs))}
        """The values of the other form that both have, under their numbers in the base."""
        for i, j in self.matched.items():
            self.known.update(zip(other.operations[j].targets, base.operations[i].targets, strict=True))
        self.choices: dict[int, int] = {}
        self.places: dict[Place, int] = {}
        """Where the base reads a value that the other form has not, or has in another place."""
        self._find_choices()
        self.arms, self.theirs = self._find_arms()

    def _find_choices(self) -> None:
        for place, a, b in self._read_by_both():
            if self.known.get(b, -1) == a:
                continue
            if self.choices.setdefault(a, b) != b:
                raise Misfit
            self.places[place] = a
        if not 0 < len(self.choices) <= MOST_CHOICES:
            raise Misfit

    def _read_by_both(self) -> Iterator[tuple[Place, int, int]]:
        for i, j in self.matched.items():
            pairs = zip(reads(self.base.operations[i]), reads(self.other.operations[j]), strict=True)
            yield from (((i, at), a, b) for at, (a, b) in enumerate(pairs))
        end = len(self.base.operations)
        pairs = zip((v for v, _ in self.base.returns), (v for v, _ in self.other.returns), strict=True)
        yield from (((end, at), a, b) for at, (a, b) in enumerate(pairs))

    def _find_arms(self) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
        """The operations of both sides of each choice. Raises Misfit unless they are few, and all that one side
        lacks."""
        count = len(self.base.operations), len(self.other.operations)
        left = _Side(self.base, set(range(count[0])) - self.matched.keys())
        right = _Side(self.other, set(range(count[1])) - set(self.matched.values()))
        shared = set(self.known.values())
        mine = {a: left.arm(a, shared) for a in self.choices}
        theirs = {a: right.arm(b, self.known) for a, b in self.choices.items()}
        for side, arms in ((left, mine), (right, theirs)):
            placed = sorted(chain.from_iterable(arms.values()))
            if placed != sorted(side.own) or len(placed) > MOST_INSIDE * len(self.choices):
                raise Misfit  # something is computed for more than one reader
        return mine, theirs


def reads(op: Operation) -> list[int]:
    """The values that an operation reads, in the order in which `transform` meets them."""
    return [n.index for n in walk(op.node) if isinstance(n, Read | Shape)]


def outline(node: Node) -> Any:
    """A key that is the same for operations that differ only in literals and in what they read."""
    if isinstance(node, Read):
        return "read"
    if isinstance(node, Shape):
        return ("shape", node.axis)
    if isinstance(node, Group) and all(isinstance(n, Num | Group) for n in walk(node)):
        return "literal"
    return (_named(node), tuple(outline(child) for child in children(node)))


def _named(node: Node) -> Any:
    """A key of a node; functions of values alone are alike, whichever they are."""
    if isinstance(node, Apply) and isinstance(node.function, str) and node.function.startswith("F."):
        literal = node.kwargs or any(isinstance(a, Num) for a in node.args)
        return head(node) if literal else ("F.", len(node.args))
    return head(node)


def _aligned(left: Sequence[Operation], right: Sequence[Operation]) -> list[tuple[int, int]]:
    """The longest common subsequence of two lists of operations, as pairs of places."""
    a, b = ([(outline(op.node), len(op.targets), op.training, op.shared) for op in ops] for ops in (left, right))
    length = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) - 1, -1, -1):
        for j in range(len(b) - 1, -1, -1):
            skipped = max(length[i + 1][j], length[i][j + 1])
            length[i][j] = max(skipped, 1 + length[i + 1][j + 1] if a[i] == b[j] else 0)
    found, i, j = list[tuple[int, int]](), 0, 0
    while i < len(a) and j < len(b):
        if a[i] == b[j] and length[i][j] == 1 + length[i + 1][j + 1]:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif length[i + 1][j] >= length[i][j + 1]:
            i += 1
        else:
            j += 1
    return found
