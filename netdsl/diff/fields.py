"""What differs between two steps that belong together: their callee, its arguments, and their flags."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from netdsl.diff.model import Field, Item
from netdsl.ir.model import Definition
from netdsl.ir.text import literal
from netdsl.ops.base import Op

CALLEE = "calls"
"""The name of the field that says what a step calls."""


def fields_of(a: Item, b: Item) -> Iterator[Field]:
    """What two steps say that differs."""
    if isinstance(a.callee, Definition) or isinstance(b.callee, Definition):
        if a.label != b.label:
            yield Field(CALLEE, a.label, b.label)
    elif type(a.callee) is not type(b.callee):
        yield Field(CALLEE, a.label, b.label)
        yield from _both(a.callee, b.callee)
    else:
        yield from _arguments(a.callee, b.callee)
    for name, before, after in (
        ("only while training", a.training, b.training),
        ("residual link", a.residual, b.residual),
    ):
        if before != after:
            yield Field(name, _yes(before), _yes(after))


def _arguments(a: Op, b: Op) -> Iterator[Field]:
    for field in msgspec.structs.fields(type(a)):
        before, after = getattr(a, field.name), getattr(b, field.name)
        if before != after:
            yield Field(field.name, argument(before), argument(after))


def _both(a: Op, b: Op) -> Iterator[Field]:
    """Arguments that two kinds of ops have in common, where they differ: `bias` of a convolution and a linear map."""
    shared = [f.name for f in msgspec.structs.fields(type(a)) if f.name in type(b).__struct_fields__]
    for name in shared:
        before, after = getattr(a, name), getattr(b, name)
        if before != after:
            yield Field(name, argument(before), argument(after))


def argument(value: object) -> str:
    """An argument as a person writes it: `3` for `(3, 3)`."""
    if isinstance(value, tuple) and len(value) > 1 and len(set(value)) == 1:
        return literal(value[0])
    return literal(value)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
