"""Blocks that differ by what an `if` of the author's leaves out, brought to one form with that `if` in it.

The operations of two bodies are aligned. Where one has operations that the other lacks, what they give is read
through a choice: `x + y if residual else y`. A `Switch` stands for the condition, a `Ghost` for what a body lacks.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from netdsl.backends.torch.body import Body, Operation
from netdsl.backends.torch.tree import (
    Apply,
    Ghost,
    Group,
    Node,
    Num,
    Read,
    Shape,
    Switch,
    children,
    head,
    transform,
    walk,
)
from netdsl.backends.torch.unify import Misfit

MOST_OPERATIONS = 100
"""Bodies longer than this are not aligned: it takes as many steps as the product of their lengths."""
MOST_CHOICES = 2
"""How many choices two blocks may differ in; those that differ in more are different to a reader as well."""
MOST_INSIDE = 5
"""How many operations stand in one arm of a choice."""
MEMBER = re.compile(r"self\.([A-Za-z_]\w*)")

Bodies = Sequence[Body]


def merged(longer: Bodies, shorter: Bodies) -> list[Body]:
    """The bodies of both lists in one form. Raises Misfit where a reader is better served by two classes.

    The bodies of each list differ only in numbers and submodules.
    """
    longer, shorter = list(map(_unchained, longer)), list(map(_unchained, shorter))
    if len(longer[0].operations) < len(shorter[0].operations):
        longer, shorter = shorter, longer
    return _Merge(longer[0], shorter[0]).bodies(longer, shorter)


def _unchained(body: Body) -> Body:
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
    """One of the two bodies: which of its operations the other lacks, and what those give."""

    def __init__(self, body: Body, own: set[int]) -> None:
        self.own = own
        self.producer = {t: i for i in own for t in body.operations[i].targets}
        self.uses = Counter(n.index for op in body.operations for n in walk(op.node) if isinstance(n, Read | Shape))
        self.uses.update(value for value, _ in body.returns)
        self.placed: list[int] = []

    def arm(self, body: Body, value: int, values: dict[int, int], root: bool = True) -> Node:
        """What gives a value, in terms of values that both bodies have. Raises Misfit where it is no short expression.

        `body` is any that has this one's form; `values` are the numbers under which both know a value.
        """
        if value in values:
            return Read(values[value])
        index = self.producer.get(value)
        if index is None or not (root or self.uses[value] == 1) or not _may_move(body.operations[index]):
            raise Misfit
        op = body.operations[index]
        self.placed.append(index)

        def inside(node: Node) -> Node:
            if isinstance(node, Shape):
                if node.index not in values:
                    raise Misfit
                return Shape(values[node.index], node.axis)
            return self.arm(body, node.index, values, False) if isinstance(node, Read) else node

        return transform(op.node, inside)


def _called(body: Body, operations: set[int]) -> list[str]:
    """The functions that some operations of a body call."""
    nodes = [body.operations[i].node for i in sorted(operations)]
    return [n.function for n in nodes if isinstance(n, Apply) and isinstance(n.function, str)]


def _may_move(op: Operation) -> bool:
    return len(op.targets) == 1 and not op.training and not op.shared


class _Merge:
    def __init__(self, longer: Body, shorter: Body) -> None:
        if len(longer.definition.inputs) != len(shorter.definition.inputs):
            raise Misfit
        if max(len(longer.operations), len(shorter.operations)) > MOST_OPERATIONS:
            raise Misfit
        self.longer, self.shorter = longer, shorter
        self.pairs = _aligned(longer.operations, shorter.operations)
        self.left = _Side(longer, set(range(len(longer.operations))) - {i for i, _ in self.pairs})
        self.right = _Side(shorter, set(range(len(shorter.operations))) - {j for _, j in self.pairs})
        self.known = {i: i for i in range(len(longer.definition.inputs))}
        """The values of the shorter body that both have, under their numbers in the longer one."""
        for i, j in self.pairs:
            self.known.update(zip(shorter.operations[j].targets, longer.operations[i].targets, strict=True))
        self.shared = {v: v for v in self.known.values()}
        self.choices: dict[tuple[int, int], int] = {}
        """The value that stands for one of two: one of the longer body, or one of the shorter."""
        self.fresh = len(longer.names)
        self.order = self._order()
        self.name = self._name()

    def _order(self) -> list[tuple[int, int] | int]:
        """Pairs of operations, each after the choices that it reads (by their index in `choices`)."""
        found: list[tuple[int, int] | int] = []
        for i, j in self.pairs:
            for a, b in zip(_reads(self.longer.operations[i]), _reads(self.shorter.operations[j]), strict=True):
                found += self._chosen(a, b)
            found.append((i, j))
        if [t for _, t in self.longer.returns] != [t for _, t in self.shorter.returns]:
            raise Misfit
        for (a, _), (b, _) in zip(self.longer.returns, self.shorter.returns, strict=True):
            found += self._chosen(a, b)
        self._check_choices()
        return found

    def _check_choices(self) -> None:
        """Raise Misfit unless the choices are few and short, and hold all that one of the bodies lacks."""
        if not self.choices or len(self.choices) > MOST_CHOICES:
            raise Misfit
        for a, b in self.choices:
            self.left.arm(self.longer, a, self.shared)
            self.right.arm(self.shorter, b, self.known)
        for side in (self.left, self.right):
            if sorted(side.placed) != sorted(side.own) or len(side.own) > MOST_INSIDE * len(self.choices):
                raise Misfit  # something is computed for more than one reader

    def _chosen(self, a: int, b: int) -> list[tuple[int, int] | int]:
        if self.known.get(b, -1) == a or (a, b) in self.choices:
            return []
        taken = a in self.shared or a in self.choices.values()
        self.choices[a, b] = self.fresh if taken else a
        self.fresh += taken
        return [len(self.choices) - 1]

    def _name(self) -> str:
        """What the condition is called where it has no name of the author's."""
        calls, others = _called(self.longer, self.left.own), _called(self.shorter, self.right.own)
        members = [found[1] for call in calls if (found := MEMBER.match(call))]
        plain = [name for call in calls if call not in others and (name := call.rpartition(".")[2]).isidentifier()]
        if not members and "+" in calls:
            return "residual"
        return f"has_{[*members, *plain][0]}" if members or plain else "first"

    def bodies(self, longer: Bodies, shorter: Bodies) -> list[Body]:
        members = self._members()
        first, other = longer[0], shorter[0]
        return [
            *(self._body(b, other, b.definition, True, members) for b in longer),
            *(self._body(first, b, b.definition, False, members) for b in shorter),
        ]

    def _body(self, left: Body, right: Body, definition: Any, on: bool, members: list[str]) -> Body:
        """The common form, from one body of each kind, one of which stands in for what is not there."""
        own, other = dict(left.members), dict(right.members)
        made: list[tuple[str, Node]] = []
        for name in members:
            if name in own and name in other:
                tree = own[name] if on else other[name]
            elif name in own:
                tree = Apply("if", (own[name] if on else Ghost(own[name]), Switch(self.name, on), Num(None)))
            else:
                tree = Apply("if", (Num(None), Switch(self.name, on), Ghost(other[name]) if on else other[name]))
            made.append((name, tree))
        operations = [self._operation(step, left, right, on) for step in self.order]
        returns = tuple(
            (self._value(a, b), training) for (a, training), (b, _) in zip(left.returns, right.returns, strict=True)
        )
        names = (*left.names, *(f"x{i}" for i in range(len(left.names), self.fresh)))
        return Body(definition, tuple(made), tuple(operations), returns, names, self._shapes(left, right, on))

    def _value(self, a: int, b: int) -> int:
        return self.choices.get((a, b), a)

    def _operation(self, step: tuple[int, int] | int, left: Body, right: Body, on: bool) -> Operation:
        if isinstance(step, int):
            (a, b), target = list(self.choices.items())[step]
            mine, theirs = self.left.arm(left, a, self.shared), self.right.arm(right, b, self.known)
            plain = isinstance(theirs, Read), isinstance(mine, Read)
            value = mine if on or plain[1] else Ghost(mine)
            otherwise = theirs if not on or plain[0] else Ghost(theirs)
            tree = Apply("if", (value, Switch(self.name, on), otherwise))
            heavy = any(left.operations[i].weight == "heavy" for i in self.left.own)
            return Operation((target,), tree, "heavy" if heavy else "light")
        i, j = step
        op, reads = (
            (left.operations[i] if on else right.operations[j]),
            iter(
                self._value(a, b) for a, b in zip(_reads(left.operations[i]), _reads(right.operations[j]), strict=True)
            ),
        )

        def renumbered(node: Node) -> Node:
            if isinstance(node, Read):
                return Read(next(reads))
            return Shape(next(reads), node.axis) if isinstance(node, Shape) else node

        return replace(op, targets=left.operations[i].targets, node=transform(op.node, renumbered))

    def _shapes(self, left: Body, right: Body, on: bool) -> tuple[str, ...]:
        """The shapes of the values that both have."""
        back = {a: b for b, a in self.known.items()}
        found = ((left.shapes[v] if on else right.shapes[back[v]]) if v in back else "" for v in range(self.fresh))
        return tuple(found)

    def _members(self) -> list[str]:
        """The names of both in an order that keeps that of each. Raises Misfit where there is none."""
        left, right = ([name for name, _ in b.members] for b in (self.longer, self.shorter))
        if [n for n in left if n in right] != [n for n in right if n in left]:
            raise Misfit
        found: list[str] = []
        rest = list(right)
        for name in left:
            if name in rest:
                at = rest.index(name)
                found += rest[:at]
                rest = rest[at + 1 :]
            found.append(name)
        return found + rest


def _reads(op: Operation) -> list[int]:
    """The values that an operation reads, in the order in which `transform` meets them."""
    return [n.index for n in walk(op.node) if isinstance(n, Read | Shape)]


def _outline(node: Node) -> Any:
    """A key that is the same for operations that differ only in literals and in what they read."""
    if isinstance(node, Read):
        return "read"
    if isinstance(node, Shape):
        return ("shape", node.axis)
    if isinstance(node, Group) and all(isinstance(n, Num | Group) for n in walk(node)):
        return "literal"
    return (_named(node), tuple(_outline(child) for child in children(node)))


def _named(node: Node) -> Any:
    """What makes a node; functions of values alone are alike, whichever they are."""
    if isinstance(node, Apply) and isinstance(node.function, str) and node.function.startswith("F."):
        literal = node.kwargs or any(isinstance(a, Num) for a in node.args)
        return head(node) if literal else ("F.", len(node.args))
    return head(node)


def _aligned(left: Sequence[Operation], right: Sequence[Operation]) -> list[tuple[int, int]]:
    """The longest common subsequence of two lists of operations, as pairs of places."""
    a, b = ([(_outline(op.node), len(op.targets), op.training, op.shared) for op in ops] for ops in (left, right))
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
