"""Loops over containers: `for layer in self.layers: x = layer(x, memory)`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from netdsl.backends.torch.body import Operation
from netdsl.backends.torch.layout import is_call
from netdsl.backends.torch.tree import Apply, Node, Read, children

MEMBER = re.compile(r"self\.(\w+)\[(\d+)\]")


class Called(Struct, frozen=True):
    """A call of member `number` of a container, on `flow` and what all members are given."""

    container: str
    number: int
    flow: Node
    rest: tuple[Node, ...]


def loop_end(operations: Sequence[Operation], start: int, lengths: Mapping[str, int], uses: Mapping[int, int]) -> int:
    """Where the operations end that call every member of a container in order, each on what the one before gave.

    `lengths`: how many members each container has. `uses`: how often each value is read; what flows is read once.
    Returns `start` where none begins.
    """
    first = called(operations[start])
    if first is None or first.number != 0:
        return start
    container, rest = first.container, first.rest
    end, flow = start + 1, operations[start].targets[0]
    while end < len(operations):
        if called(operations[end]) != Called(container, end - start, Read(flow), rest) or uses[flow] != 1:
            break
        end, flow = end + 1, operations[end].targets[0]
    return end if lengths.get(container) == end - start else start


def called(op: Operation, results: int = 1) -> Called | None:
    """The member of a container that an operation calls, which gives so many results; None where it does something
    else."""
    if (
        not isinstance(op.node, Apply)
        or len(op.targets) != results
        or op.training
        or not op.node.args
        or op.node.kwargs
    ):
        return None
    match = MEMBER.fullmatch(str(op.node.function))
    return Called(match[1], int(match[2]), op.node.args[0], op.node.args[1:]) if match else None


def lengths(members: Iterable[tuple[str, Node]]) -> dict[str, int]:
    """How many members each container of numbered members has, by its name."""
    lists = {name: children(tree)[0] for name, tree in members if is_call(tree, "nn.ModuleList")}
    return {name: sum(run.count.value for run in children(items)) for name, items in lists.items()}
