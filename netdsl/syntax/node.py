"""The base of all nodes of the syntax tree, and walks over the nodes inside one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import astuple

from netdsl.source import Span


class Node(Struct, frozen=True, tag=True, array_like=True, gc=False):
    """Nodes hold no cycles, so Python's collector of garbage need not look at them."""

    at: Span


PLAIN = {"Span", "str", "bool", "int", "float", "int | float", "bool | None", "str | None", "int | None"}
"""Annotations of fields that never hold a node: most of them, and walks need not look there."""

_holding: dict[type[Node], tuple[str, ...]] = {}


def children(node: Node) -> list[Node]:
    """The nodes that a node is made of, in the order of its fields."""
    kind = type(node)
    found: list[Node] = []
    holding = _holding.get(kind)
    for field in _fields(kind) if holding is None else holding:  # most hold none
        value = getattr(node, field)
        if type(value) is tuple:
            found += [item for item in value if isinstance(item, Node)]
        elif isinstance(value, Node):
            found.append(value)
    return found


def _fields(kind: type[Node]) -> tuple[str, ...]:
    """The fields that may hold nodes."""
    notes = {name: note for base in kind.__mro__ for name, note in vars(base).get("__annotations__", {}).items()}
    _holding[kind] = tuple(name for name in kind.__struct_fields__ if notes[name] not in PLAIN)
    return _holding[kind]


def walk(node: Node) -> Iterator[Node]:
    """A node and every node inside it, in the order of the text."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(children(node))


def moved(value: Any, by: int) -> Any:
    """Nodes with all their spans moved."""
    kind = type(value)
    if kind is Span:
        return Span(value.start + by, value.end + by)
    if kind is tuple:
        return tuple([moved(item, by) for item in value])
    return kind(*[moved(field, by) for field in astuple(value)]) if isinstance(value, Struct) else value
