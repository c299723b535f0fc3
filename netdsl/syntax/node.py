"""The base of all nodes of the syntax tree, and walks over the nodes inside one."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import astuple

from netdsl.source import Span


class Node(Struct, frozen=True, tag=True, array_like=True, gc=False):
    """Nodes hold no cycles, so Python's collector of garbage need not look at them."""

    at: Span


def children(node: Node) -> list[Node]:
    """The nodes that a node is made of, in the order of its fields."""
    flat = [item for value in astuple(node) for item in (value if type(value) is tuple else (value,))]
    return [item for item in flat if isinstance(item, Node)]


def walk(node: Node) -> Iterator[Node]:
    """A node and every node inside it, in the order of the text."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(children(node))
