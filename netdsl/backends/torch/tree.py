"""PyTorch text as trees, before it is laid out: so that two blocks can be compared, and their numbers distinguished."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Union

from msgspec import Struct
from msgspec.structs import replace


class Num(Struct, frozen=True):
    """A literal: a number, a string, a truth value or None."""

    value: Any


class Text(Struct, frozen=True):
    """Python text that stands as it is: a name, `torch.int64`."""

    code: str


class Read(Struct, frozen=True):
    """The value number `index` of a definition: its inputs first, then what its steps give."""

    index: int


class Shape(Struct, frozen=True):
    """The size of axis `axis` (counted with the batch) of value number `index`."""

    index: int
    axis: int


class Apply(Struct, frozen=True):
    """`function(*args, **kwargs)`. As in `ops.base.Call`: `.name` is a method, `+` an operator, `[]` an index.

    A function whose signature is known has all its arguments in `args`, those left out included (`torch_signatures`).
    """

    function: Any
    args: tuple[Any, ...] = ()
    kwargs: tuple[tuple[str, Any], ...] = ()


class Group(Struct, frozen=True):
    """A tuple, or a list where `bracket` is `[`."""

    items: tuple[Any, ...]
    bracket: str = "("


class Members(Struct, frozen=True):
    """A dictionary of submodules by name."""

    names: tuple[str, ...]
    items: tuple[Any, ...]


class Run(Struct, frozen=True):
    """`count` equal children of a sequence: `*[child for i in range(count)]`."""

    count: Any
    child: Any


class Progress(Struct, frozen=True):
    """A number that grows along a `Run`: `start + step * i`."""

    start: Any
    step: Any


class Power(Struct, frozen=True):
    """A number that is multiplied along a `Run`, and begins again after `period` (0: never): `start * factor**i`."""

    start: Any
    factor: Any
    period: Any


class Cycle(Struct, frozen=True):
    """A literal that alternates along a `Run`: `even if i % 2 == 0 else odd`."""

    even: Any
    odd: Any


class Field(Struct, frozen=True):
    """A literal that is the argument `name` of an op."""

    name: str
    value: Any


class Recursive(Struct, frozen=True):
    """A submodule whose class is not known yet: a block that contains itself."""

    key: int


class Slot(Struct, frozen=True):
    """A difference between the blocks printed as one class: number `index` of its columns."""

    index: int


class Switch(Struct, frozen=True):
    """The condition `name` under which blocks printed as one class differ, and whether it holds for this one."""

    name: str
    on: bool


class Gather(Struct, frozen=True):
    """Calls of the first `count` members of a container, each on what the one before gave: result number `flow` of
    its two. The other results become a list."""

    container: str
    count: int
    flow: int
    args: tuple[Any, ...]


class Ghost(Struct, frozen=True):
    """A tree of another block, in the place of one that this block does not have (see `merging`)."""

    tree: Any


Node = Union[
    Num, Text, Read, Shape, Apply, Group, Members, Run, Progress, Power, Cycle, Field, Recursive, Slot, Switch, Ghost,
    Gather,
]  # fmt: skip


def children(node: Node) -> tuple[Any, ...]:
    """The nodes inside a node, in the order in which they are printed."""
    inside = _INSIDE.get(type(node))
    return inside(node) if inside else ()


_INSIDE: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    Apply: lambda node: (*node.args, *[v for _, v in node.kwargs]) if node.kwargs else node.args,
    Gather: lambda node: node.args,
    Group: lambda node: node.items,
    Members: lambda node: node.items,
    Run: lambda node: (node.count, node.child),
    Progress: lambda node: (node.start, node.step),
    Power: lambda node: (node.start, node.factor, node.period),
    Cycle: lambda node: (node.even, node.odd),
    Field: lambda node: (node.value,),
    Ghost: lambda node: (node.tree,),
}
"""The children of nodes that have some; asked for often, and of leaves most often."""


def rebuild(node: Node, new: list[Any]) -> Node:
    """The same node around new children."""
    match node:
        case Apply():
            count = len(node.args)
            names = (name for name, _ in node.kwargs)
            return Apply(node.function, tuple(new[:count]), tuple(zip(names, new[count:], strict=True)))
        case Group() | Members():
            return replace(node, items=tuple(new))
        case Gather():
            return replace(node, args=tuple(new))
        case Run():
            return Run(*new)
        case Progress():
            return Progress(*new)
        case Power():
            return Power(*new)
        case Cycle():
            return Cycle(*new)
        case Field():
            return Field(node.name, *new)
        case Ghost():
            return Ghost(*new)
    return node


def head(node: Node) -> Any:
    """A key of a node without its children; literals are alike whatever their value."""
    match node:
        case Num():
            return "literal"
        case Apply():
            return (node.function, len(node.args), tuple(name for name, _ in node.kwargs))
        case Group():
            return (node.bracket, len(node.items))
        case Members():
            return node.names
        case Gather():
            return (Gather, node.container, node.count, node.flow, len(node.args))
        case Field():
            return ("field", node.name)
        case Run() | Progress() | Power() | Cycle() | Ghost():
            return type(node)
    return node


def outline(node: Node) -> Any:
    """A key that is the same for trees that differ only in literals."""
    return (head(node), tuple([outline(child) for child in children(node)]))


def transform(node: Node, change: Callable[[Any], Node]) -> Node:
    """The tree with `change` applied to every node, from the leaves up."""
    inner = children(node)
    if inner:
        node = rebuild(node, [transform(child, change) for child in inner])
    return change(node)


def walk(node: Node) -> Iterator[Any]:
    """Every node of a tree, a node before its children."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        waiting += reversed(children(node))


def varies(run: Run) -> bool:
    """Whether the children of a run differ, so that they need their number."""
    return any(isinstance(n, Progress | Power | Cycle) for n in walk(run.child))


def literal(node: Node) -> Any:
    """The Python value of a tree of literals; raises ValueError for any other."""
    if isinstance(node, Num):
        return node.value
    if isinstance(node, Group):
        return tuple(literal(item) for item in node.items)
    raise ValueError(node)


def number(value: Any) -> Node:
    """The tree of a literal; tuples and lists become groups."""
    if isinstance(value, tuple | list):
        return Group(tuple(number(item) for item in value), "(" if isinstance(value, tuple) else "[")
    return Num(value)


def same(a: Any, b: Any) -> bool:
    """Whether two literals are the same: `1`, `1.0` and `True` are not."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and bool(a == b)
