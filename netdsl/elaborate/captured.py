"""A block's arguments without the tensors of its caller: equal for calls that give one definition."""

from __future__ import annotations

from itertools import count
from typing import Any

from msgspec import Struct

from netdsl.elaborate.scope import Wire
from netdsl.elaborate.values import Captured, Shared, Tensor, leaves, replace_tensors
from netdsl.syntax import ast

Arguments = tuple[tuple[str, Any], ...]


def captured(arguments: Arguments, apart: bool = False) -> tuple[Arguments, list[Wire]]:
    """Arguments with the caller's tensors numbered, and those tensors. `apart`: one given twice has two numbers."""
    if all(type(v) in PLAIN for _, v in arguments):
        return arguments, []
    found = [leaf.wire for leaf in leaves(tuple(v for _, v in arguments)) if isinstance(leaf, Tensor)]
    if apart:
        numbers = count()
        each = ((n, replace_tensors(v, lambda t: Captured(next(numbers), t.wire.type))) for n, v in arguments)
        return tuple(each), found
    wires = list(dict.fromkeys(found))
    if not wires:
        return arguments, []
    index = {wire: i for i, wire in enumerate(wires)}
    numbered = ((n, replace_tensors(v, lambda t: Captured(index[t.wire], t.wire.type))) for n, v in arguments)
    return tuple(numbered), wires


PLAIN = (int, float, bool, str)


def typed(value: Any) -> Any:
    """A key that tells `1`, `1.0` and `true` apart."""
    if type(value) is tuple:
        return tuple([typed(v) for v in value])
    return value if type(value) is int else (type(value), value) if isinstance(value, bool | float) else value


def release(value: Any, wires: list[Wire]) -> Any:
    """The value with captured tensors standing for the inputs of the new scope."""
    if isinstance(value, Captured):
        return Tensor(wires[value.index])
    if isinstance(value, tuple):
        return tuple(release(v, wires) for v in value)
    if isinstance(value, Struct) and not isinstance(value, Shared | ast.Node):
        fields = {f: release(getattr(value, f), wires) for f in value.__struct_fields__}
        return type(value)(**fields)
    return value
