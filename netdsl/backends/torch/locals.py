"""Parts of tables that a constructor computes once and uses several times, under the author's names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from netdsl.backends.torch.layout import is_call
from netdsl.backends.torch.naming import python_name
from netdsl.backends.torch.tree import Node, Text, children, rebuild
from netdsl.ops.base import NAMED


class Locals:
    """The named parts of one tree. `assigned`: those used more than once, each after the parts that it uses."""

    def __init__(self, tree: Node, taken: Iterable[str]) -> None:
        self.taken = set(taken)
        self.uses: Counter[str] = Counter()
        self.names: dict[str, str] = {}
        self.assigned: list[tuple[str, Node]] = []
        self._count(tree)
        self.tree = self._replaced(tree)

    def _count(self, node: Node) -> None:
        """Count the uses of each part by its text, for 1 and 1.0 are equal; those inside of it count once."""
        if is_call(node, NAMED):
            key = repr(node)
            self.uses[key] += 1
            if self.uses[key] > 1:
                return
        for child in children(node):
            self._count(child)

    def _replaced(self, node: Node) -> Node:
        if not is_call(node, NAMED):
            return rebuild(node, list(map(self._replaced, children(node))))
        name, value = children(node)
        key = repr(node)
        if self.uses[key] == 1:
            return self._replaced(value)
        if key not in self.names:
            value = self._replaced(value)
            self.names[key] = python_name(name.code, self.taken)
            self.taken.add(self.names[key])
            self.assigned.append((self.names[key], value))
        return Text(self.names[key])
