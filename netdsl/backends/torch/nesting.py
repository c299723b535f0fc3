"""Nesting of calls in a forward method: `x = F.relu(self.bn(self.conv(x)))`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence

from netdsl.backends.torch.body import AUTOMATIC, Body, Operation
from netdsl.backends.torch.container_loops import lengths, loop_end
from netdsl.backends.torch.gathering import gathered
from netdsl.backends.torch.layout import STRENGTH
from netdsl.backends.torch.tree import Apply, Field, Ghost, Group, Node, Num, Read, Shape, Text, children, rebuild, walk

CALL, METHOD = 3, 1
"""What a call, and a method that follows its value, add to the depth."""
DEPTH = 3 * CALL + METHOD
"""How deep calls nest."""
LEVELS = 16
"""How many operations are written inside one another, operators included, whatever they add to the depth."""


def nested(body: Body) -> tuple[Body, list[Operation], list[Node]]:
    """The body with lists for what loops collect, the operations that get a line of their own, and the trees of the
    outputs."""
    body, live = gathered(body, *_live(body))
    operations, returns = _Nesting(body, live).result()
    return body, operations, returns


def behind_others(operations: Sequence[Operation], returns: Sequence[Node]) -> set[str]:
    """The members that read what another member gives, and not the input of the block."""
    found: set[str] = set()
    given: set[int] = set()
    for targets, tree in (*((o.targets, o.node) for o in operations), *(((), r) for r in returns)):
        for call in filter(_is_member, walk(tree)):
            if any(_is_given(n, given) for child in children(call) for n in walk(child)):
                found.add(str(call.function).removeprefix("self."))
        if any(_is_given(n, given) for n in walk(tree)):
            given.update(targets)
    return found


def _is_given(node: Node, values: Container[int]) -> bool:
    """Whether a node is what a layer gives: its call, or one of these values."""
    return _is_member(node) or (isinstance(node, Read) and node.index in values)


def _is_member(node: Node) -> bool:
    """Whether a node is a call of a layer."""
    return isinstance(node, Apply) and str(node.function).startswith("self.")


class _Nesting:
    def __init__(self, body: Body, operations: list[Operation]) -> None:
        self.body = body
        self.operations = operations
        self.uses = _uses(body, operations)
        self.producer = {op.targets[0]: i for i, op in enumerate(self.operations) if len(op.targets) == 1}
        self.named = {i for i, name in enumerate(body.names) if not AUTOMATIC.fullmatch(name)}
        self.named |= self._loop_results()
        self.inlined: set[int] = set()
        self.level = 0
        self.log: list[int] = []
        """What was written inside another call, in order, so that the last of it can be taken back."""
        self.items: dict[tuple[int, int, int, bool, int], tuple[Node, list[int]]] = {}
        """Branches that are known, and what was written inside them: a branch in a branch is tried in each try."""

    def _loop_results(self) -> set[int]:
        """The results of loops over containers: the last call of a loop stays with the others."""
        members = lengths(self.body.members)
        ends = (loop_end(self.operations, i, members, self.uses) - i for i in range(len(self.operations)))
        return {self.operations[i + n - 1].targets[0] for i, n in enumerate(ends) if n > 1}

    def result(self) -> tuple[list[Operation], list[Node]]:
        returns: list[Node] = [Read(value) for value, _ in self.body.returns]
        if len(returns) == 1:
            self.named -= {self.body.returns[0][0]}
            returns = [self._inside(returns[0], len(self.operations), DEPTH, 1, False, False)]
        kept: list[Operation] = []
        for i in range(len(self.operations) - 1, -1, -1):
            op = self.operations[i]
            if i not in self.inlined:
                heavy = 1 - (op.weight == "heavy")
                tree = self._arguments(op, i, DEPTH - _cost(op.node), heavy)
                kept.append(Operation(op.targets, tree, op.weight, op.training, op.shared))
        return kept[::-1], returns

    def _arguments(self, op: Operation, at: int, depth: int, heavy: int) -> Node:
        """The tree of an operation with what it reads written inside it, as far as a reader can follow."""
        inner = children(op.node)
        return rebuild(op.node, [self._inside(c, at, depth, heavy, op.weight == "heavy", op.training) for c in inner])

    def _inside(self, node: Node, at: int, depth: int, heavy: int, in_heavy: bool, training: bool) -> Node:
        if isinstance(node, Read):
            return self._read(node, at, depth, heavy, in_heavy, training)
        if isinstance(node, Group):
            branches = 3 if len(node.items) > 2 else 1
            return rebuild(node, [self._item(c, at, branches, training) for c in node.items])
        if isinstance(node, Apply):
            left = depth - _cost(node)
            return rebuild(node, [self._inside(c, at, left, heavy, in_heavy, training) for c in children(node)])
        if isinstance(node, Ghost):
            return Ghost(self._inside(node.tree, at, depth, heavy, in_heavy, training))
        return node

    def _read(self, node: Read, at: int, depth: int, heavy: int, in_heavy: bool, training: bool) -> Node:
        """A value that is read: what makes it, where that may be written in its place."""
        if not self._may_move(node, at, training) or self.level == LEVELS:
            return node
        index = self.producer[node.index]
        op = self.operations[index]
        cost, is_heavy = _cost(op.node), op.weight == "heavy"
        room = heavy if is_heavy else not in_heavy or self._is_light(node, depth)
        if cost > depth or not room:
            return node
        self.inlined.add(index)
        self.log.append(index)
        self.level += 1
        tree = self._arguments(op, index, depth - cost, heavy - is_heavy)
        self.level -= 1
        return tree

    def _item(self, node: Node, at: int, heavy: int, training: bool) -> Node:
        """One of several things side by side: a whole branch where it is short, or the end of a longer one."""
        known = id(node), at, heavy, training, self.level
        before = len(self.log)
        if known in self.items:
            branch, inlined = self.items[known]
            self.inlined.update(inlined)
            self.log += inlined
            return branch
        branch = self._inside(node, at, DEPTH, heavy, False, training)
        if any(self._may_move(Read(i), at, training) for i in reads(branch)):
            self.inlined.difference_update(self.log[before:])
            del self.log[before:]
            branch = self._inside(node, at, DEPTH, 1, False, training)
        self.items[known] = branch, self.log[before:]
        return branch

    def _may_move(self, node: Node, at: int, training: bool) -> bool:
        """Whether a value is read here only, has no name of the author's, and can be computed where it is read."""
        if not isinstance(node, Read) or node.index not in self.producer or self.uses[node.index] != 1:
            return False
        if node.index in self.named:
            return False
        index = self.producer[node.index]
        op = self.operations[index]
        return op.training == training and (not op.shared or index == at - 1)

    def _is_light(self, node: Read, depth: int) -> bool:
        """Whether a value is made by light calls alone from one that has a line of its own."""
        index = node.index
        for _ in range(LEVELS):
            if index not in self.producer or self.uses[index] != 1 or index in self.named:
                return True
            op = self.operations[self.producer[index]]
            sources = reads(op.node)
            depth -= _cost(op.node)
            if op.weight == "heavy" or len(sources) != 1 or depth < 0:
                return False
            index = sources[0]
        return False


def reads(node: Node) -> list[int]:
    """The values that a tree reads, each as often as it is read."""
    return [n.index for n in walk(node) if isinstance(n, Read | Shape)]


def _cost(node: Node) -> int:
    """The depth that a call adds: operators, indices and attributes add nothing."""
    if not isinstance(node, Apply) or node.function in STRENGTH or node.function == "[]":
        return 0
    arguments = sum(isinstance(c, Num | Text | Shape | Field) for c in children(node))
    return (METHOD if node.function.startswith(".") else CALL) + arguments // 2


def _uses(body: Body, operations: Sequence[Operation]) -> Counter[int]:
    """How often each value is read."""
    uses = Counter(i for op in operations for i in reads(op.node))
    uses.update(value for value, _ in body.returns)
    return uses


def _live(body: Body) -> tuple[list[Operation], Counter[int]]:
    """The operations whose results are used, and how often each value is read by them."""
    needed = {value for value, _ in body.returns}
    kept = []
    for op in reversed(body.operations):
        if needed.intersection(op.targets):
            needed.update(reads(op.node))
            kept.append(op)
    return kept[::-1], _uses(body, kept)
