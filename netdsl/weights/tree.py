"""The tree of a state dict's prefixes, with its layers as leaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from netdsl.weights.slots import Signature, Unit


class Node:
    """A prefix of a state dict. `mark`: the sum of its layers' numbers, equal for equal multisets of signatures."""

    __slots__ = ("children", "mark", "path", "size", "unit")

    def __init__(self, path: tuple[str, ...]) -> None:
        self.path = path
        self.children: dict[str, Node] = {}
        self.unit: Unit | None = None
        self.size = 0
        self.mark = 0

    def leaves(self) -> Iterator[Node]:
        if self.unit is not None:
            yield self
        for child in self.children.values():
            yield from child.leaves()

    def units(self) -> list[Unit]:
        """The layers below this prefix."""
        return [leaf.unit for leaf in self.leaves() if leaf.unit is not None]

    def below(self) -> Iterator[Node]:
        """This node and all below it."""
        yield self
        for child in self.children.values():
            yield from child.below()


def tree(all_units: Sequence[Unit], marks: dict[Unit, int]) -> Node:
    """The tree of these layers. A layer that has others below it becomes a leaf beside them."""
    root = Node(())
    for unit in all_units:
        node = root
        node.size += 1
        node.mark += marks[unit]
        for depth, name in enumerate(unit.path, 1):
            node = node.children.setdefault(name, Node(unit.path[:depth]))
            node.size += 1
            node.mark += marks[unit]
        node.unit = unit
    for node in list(root.below()):
        if node.unit is not None and node.children:
            leaf = Node((*node.path, ""))
            leaf.unit, leaf.size, leaf.mark = node.unit, 1, marks[node.unit]
            node.children = {"": leaf, **node.children}
            node.unit = None
    return root


def numbered(signatures: Sequence[Signature]) -> dict[Signature, int]:
    """A large number for every signature, so that sums of them tell multisets apart."""
    draw = Random(0)
    return {signature: draw.getrandbits(96) for signature in sorted(set(signatures))}
