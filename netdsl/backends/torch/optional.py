"""Layers that are None in some uses of a class: `self.conv1 = nn.Conv2d(...) if cin != c else None`.

The forward method asks for the layer that it calls (`if self.conv1 is not None`) and needs no attribute for the
condition.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from netdsl.backends.torch.tree import Apply, Node, Num, Slot, Text, children, walk
from netdsl.backends.torch.unify import Column

Member = tuple[str, Node]


class OptionalLayers:
    """The conditions of a class, by name, with the first layer that exists under each.

    `given`: those layers that are arguments of the constructor, which has None for them where they do not exist.
    """

    def __init__(self, members: Sequence[Member], columns: Sequence[Column]) -> None:
        self.columns = columns
        self.first: dict[str, str] = {}
        self.under: dict[str, str] = {}
        """The condition of every layer, but for those of given conditions."""
        self.asked_for: set[str] = set()
        self.given: dict[str, Slot] = {}
        seen: set[str] = set()
        for name, tree in members:
            condition = self._condition(tree)
            if condition is None:
                continue
            value, _, otherwise = children(tree)
            if otherwise == Num(None) and condition not in seen:
                self.first[condition] = name
                if isinstance(tree, Apply) and self._is_given(value, tree):
                    self.given[condition] = value
            seen.add(condition)
            if otherwise == Num(None) and condition in self.first and condition not in self.given:
                self.under[name] = condition

    def _condition(self, tree: Node) -> str | None:
        """The name of the condition under which a layer is constructed."""
        if not isinstance(tree, Apply) or tree.function != "if" or not isinstance(tree.args[1], Slot):
            return None
        return self.columns[tree.args[1].index].hint

    def _is_given(self, value: Node, tree: Apply) -> bool:
        """Whether a layer is an argument in all uses in which it exists, and only there."""
        if not isinstance(value, Slot) or self.columns[value.index].kind != "module":
            return False
        column, condition = self.columns[value.index], self.columns[tree.args[1].index]
        there = tuple(row for row, on in enumerate(condition.values) if on)
        absent = (Num(None), Apply("nn.Identity"))
        return condition.rows is None and column.rows == there and not any(v in absent for v in column.values)

    def is_asked(self, slot: Slot) -> bool:
        """Whether a slot is a condition that a layer stands for."""
        return self.columns[slot.index].hint in self.first

    def asked(self, slot: Slot) -> Node:
        """The condition in the forward method."""
        return self._is_there(self.first[self.columns[slot.index].hint])

    def of_its_own(self, node: Node) -> Node:
        """A branch of the forward method whose condition is asked for, as one that asks for a layer that it calls."""
        if not isinstance(node, Apply) or node.function != "if":
            return node
        value, asked, otherwise = children(node)
        condition = next((c for c, first in self.first.items() if asked == self._is_there(first)), None)
        name = self._called(value, condition)
        self.asked_for |= {name} - {""}
        return Apply("if", (value, self._is_there(name), otherwise)) if name else node

    def _called(self, value: Node, condition: str | None) -> str:
        """The first layer of a condition that a value calls; nothing where it calls the condition's first."""
        calls = [str(n.function).removeprefix("self.") for n in walk(value) if isinstance(n, Apply)]
        called = [name for name in calls if name in self.under and self.under[name] == condition]
        return called[-1] if called and self.first[self.under[called[-1]]] not in called else ""

    def _is_there(self, name: str) -> Node:
        return Apply("is not", (Text(f"self.{name}"), Num(None)))

    def simplified(self, name: str, tree: Node) -> Node:
        """A layer as the constructor makes it: as it is where the caller has None for one that does not exist."""
        condition = self._condition(tree)
        if condition is None or condition not in self.given:
            return tree
        if self.first[condition] == name:
            return self.given[condition]
        value, _, otherwise = children(tree)
        return Apply("if", (value, Apply("is not", (self.given[condition], Num(None))), otherwise))

    def names(self, members: Mapping[str, Node]) -> frozenset[str]:
        """The layers that are None where their condition does not hold."""
        kept = {name for condition, name in self.first.items() if condition not in self.given}
        return frozenset(name for name in kept | self.asked_for if name in members)
