"""The differences between two matched steps: their callee, its arguments, and their flags."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.diff.model import Field, Item
from netdsl.ir.model import Definition
from netdsl.ir.text import literal, op_text
from netdsl.ops.base import Op, Param
from netdsl.ops.tables import Expression

CALLEE = "calls"
"""The name of the field that says what a step calls."""


def fields_of(a: Item, b: Item) -> Iterator[Field]:
    """The fields in which two steps differ."""
    if isinstance(a.callee, Definition) or isinstance(b.callee, Definition):
        if a.label != b.label:
            yield Field(CALLEE, a.label, b.label)
    else:
        if a.label != b.label:
            yield Field(CALLEE, a.label, b.label)
        yield from _arguments(a.callee, b.callee, a.label == b.label)
    for name, before, after in (
        ("only while training", a.training, b.training),
        ("residual link", a.residual, b.residual),
    ):
        if before != after:
            yield Field(name, _yes(before), _yes(after))


def _arguments(a: Op, b: Op, same_kind: bool) -> Iterator[Field]:
    """Arguments that differ; of ops of two kinds those that both have, such as `bias` of a convolution and a linear
    map."""
    ours, theirs = (dict.fromkeys(op.__struct_fields__) for op in (a, b))
    for name in ours | theirs:
        before, after = getattr(a, name, None), getattr(b, name, None)
        if before != after and (same_kind or (name in ours and name in theirs)):
            sides = ((before, name in ours), (after, name in theirs))
            yield Field(name, *(argument(value) if there else None for value, there in sides))


def argument(value: object) -> str:
    """An argument as a person writes it: `3` for `(3, 3)`."""
    if isinstance(value, Param):
        return f"[{', '.join(map(str, value.shape))}] of another layer"
    if isinstance(value, Expression):
        return _call(value)
    if isinstance(value, tuple) and len(value) > 1 and len(set(value)) == 1:
        return literal(value[0])
    return literal(value)


def _call(made: Expression) -> str:
    """An expression of a table, its inputs as its first arguments: `sin(mul(arange(steps=4), value=2))`."""
    inside, text = ", ".join(map(_call, made.inputs)), op_text(made.op)
    name, bracket, rest = text.partition("(")
    return f"{name}({inside}, {rest}" if inside and bracket else f"{name}({inside})" if inside else text


def _yes(value: bool) -> str:
    return "yes" if value else "no"
