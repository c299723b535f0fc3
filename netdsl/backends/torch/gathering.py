"""Loops that collect what their layers give: `for layer in self.layers: x, y = layer(x); found.append(y)`.

The calls become one operation, the values it collects one list, and the sum or the concatenation of them all is one of
that list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from netdsl.backends.torch.body import AUTOMATIC, Body, Operation
from netdsl.backends.torch.container_loops import Called, called
from netdsl.backends.torch.tree import Apply, Gather, Group, Node, Read, transform

FEWEST = 3
"""Fewer calls than this are written out."""


class _Loop(Struct, frozen=True):
    """Operations `start` to `end`, of which each calls the next member of a container on what the one before gave;
    `flow`: which of their two results that is."""

    start: int
    end: int
    flow: int
    collected: tuple[int, ...]


def gathered(body: Body, operations: Sequence[Operation], uses: Mapping[int, int]) -> tuple[Body, list[Operation]]:
    """The body with a list for the values that a loop collects, and its operations with that loop as one of them."""
    done = list(operations)
    start = 0
    while start < len(done):
        loop = _loop(done, start, uses)
        found = _collected(done, loop, len(body.names), uses) if loop is not None else None
        if found is not None:
            name = body.names[done[start].targets[1 - loop.flow]] if loop is not None else ""
            body = replace(body, names=(*body.names, _list_name(name, body.names)), shapes=(*body.shapes, ""))
            done = found
        start += 1
    return body, done


def _list_name(name: str, names: Sequence[str]) -> str:
    """A name for a list whose first item the author calls `name`."""
    if not AUTOMATIC.fullmatch(name):
        return name
    return next(n for n in ("found", *(f"found{i}" for i in range(2, len(names) + 3))) if n not in names)


def _loop(operations: Sequence[Operation], start: int, uses: Mapping[int, int]) -> _Loop | None:
    """The longest loop that begins at an operation, at member 0 of a container."""
    first = called(operations[start], results=2)
    if first is None or first.number != 0:
        return None
    for flow in (0, 1):
        end = start + 1
        while end < len(operations) and _follows(operations, start, end, flow, first):
            if uses[operations[end - 1].targets[flow]] != 1:
                break  # what flows has no name of its own between two rounds
            end += 1
        last = operations[end - 1].targets[flow]
        collected = tuple(op.targets[1 - flow] for op in operations[start:end])
        if end - start >= FEWEST and uses[last] and all(uses[value] == 1 for value in collected):
            return _Loop(start, end, flow, collected)
    return None


def _follows(operations: Sequence[Operation], start: int, at: int, flow: int, first: Called) -> bool:
    """Whether an operation calls the next member on what the operation before it gives."""
    wanted = replace(first, number=at - start, flow=Read(operations[at - 1].targets[flow]))
    return called(operations[at], results=2) == wanted


def _collected(
    operations: Sequence[Operation], loop: _Loop, made: int, uses: Mapping[int, int]
) -> list[Operation] | None:
    """The operations with a loop as one of them, which gives the list number `made`; None where its values are not
    read together."""
    rest = _summed(operations[loop.end :], loop.collected, made, uses) or _listed(operations[loop.end :], loop, made)
    if rest is None:
        return None
    first, last = operations[loop.start], operations[loop.end - 1]
    call = called(first, results=2)
    assert call is not None
    node = Gather(call.container, loop.end - loop.start, loop.flow, (call.flow, *call.rest))
    whole = Operation((last.targets[loop.flow], made), node, "heavy")
    return [*operations[: loop.start], whole, *rest]


def _summed(
    operations: Sequence[Operation], values: tuple[int, ...], made: int, uses: Mapping[int, int]
) -> list[Operation] | None:
    """The operations in which the values are added up one after the other, with one sum of the list instead."""
    total, terms = values[0], list(values[1:])
    kept: list[Operation] = []
    for i, op in enumerate(operations):
        if op.node != Apply("+", (Read(total), Read(terms[0]))) or op.training:
            kept.append(op)
            continue
        (total,) = op.targets
        terms.pop(0)
        if not terms:
            return [*kept, replace(op, node=Apply("sum", (Read(made),))), *operations[i + 1 :]]
        if uses[total] != 1:
            return None
    return None


def _listed(operations: Sequence[Operation], loop: _Loop, made: int) -> list[Operation] | None:
    """The operations of which one reads the values in a list of its own, in their order."""
    values = tuple(Read(value) for value in loop.collected)

    def change(node: Node) -> Node:
        if not isinstance(node, Group) or values[0] not in node.items:
            return node
        at = node.items.index(values[0])
        if node.items[at : at + len(values)] != values:
            return node
        if node.items == values and node.bracket == "[":
            return Read(made)
        return replace(node, items=(*node.items[:at], Apply("*", (Read(made),)), *node.items[at + len(values) :]))

    found = [replace(op, node=transform(op.node, change)) for op in operations]
    return found if found != list(operations) else None
