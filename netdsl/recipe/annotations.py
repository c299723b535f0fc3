"""What a field or an argument accepts, read off its annotation, in words and as members."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import NODEFAULT, UNSET, Meta, Struct
from msgspec.structs import FieldInfo
from msgspec.structs import fields as struct_fields

from netdsl.recipe.component import Duration, Word, word_name


@cache
def arguments(cls: type[Struct]) -> dict[str, FieldInfo]:
    """The arguments of a word (or the fields of a recipe) by name, in order."""
    return {f.name: f for f in struct_fields(cls)}


def is_required(info: FieldInfo) -> bool:
    return info.default is NODEFAULT and info.default_factory in (NODEFAULT, UNSET)


@cache
def members(kind: Any) -> tuple[Any, ...]:
    """The alternatives of a type, without its annotations."""
    origin = get_origin(kind)
    if origin is Annotated:
        return members(get_args(kind)[0])
    if origin in (Union, UnionType):
        return tuple(m for part in get_args(kind) for m in members(part))
    return (kind,)


@cache
def words(kind: Any) -> dict[str, type[Word]]:
    """The words that a type accepts, by name."""
    found = [m for m in members(kind) if isinstance(m, type) and issubclass(m, Word)]
    return {word_name(w): w for w in found}


@cache
def choices(kind: Any) -> tuple[str, ...]:
    """The bare names that a type accepts."""
    return tuple(str(v) for m in members(kind) if get_origin(m) is Literal for v in get_args(m))


@cache
def element(kind: Any) -> Any | None:
    """The type of the items of a list of any length, or None for another type."""
    for member in members(kind):
        if get_origin(member) is tuple and len(get_args(member)) == 2 and get_args(member)[1] is Ellipsis:
            return get_args(member)[0]
    return None


def accepts_none(kind: Any) -> bool:
    return any(m is NoneType for m in members(kind))


def accepts_duration(kind: Any) -> bool:
    return any(m is Duration for m in members(kind))


def metas(kind: Any) -> Iterator[Meta]:
    """The annotations of a type and of its alternatives, outermost first."""
    if get_origin(kind) is Annotated:
        inner, *notes = get_args(kind)
        yield from (n for n in reversed(notes) if isinstance(n, Meta))
        yield from metas(inner)
    elif get_origin(kind) in (Union, UnionType):
        for part in get_args(kind):
            yield from metas(part)


def description(kind: Any) -> str:
    """The documentation of a type, or nothing."""
    return next((m.description for m in metas(kind) if m.description), "")


def bounds(kind: Any) -> str:
    """The range of a number in words: `from 0 to 1`, `above 0`."""
    limits = {n: getattr(m, n) for m in metas(kind) for n in ("gt", "ge", "lt", "le") if getattr(m, n) is not None}
    if {"ge", "le"} <= limits.keys():
        return f"from {limits['ge']:g} to {limits['le']:g}"
    texts = {"gt": "above {:g}", "ge": "at least {:g}", "lt": "below {:g}", "le": "at most {:g}"}
    return " and ".join(texts[n].format(v) for n, v in limits.items())


def expected(kind: Any) -> str:
    """What a type accepts, in the words of a message: `a number above 0`, `one of relu, linear`."""
    parts: list[str] = []
    for member in members(kind):
        name = PLAIN.get(member) if isinstance(member, type) else None
        if get_origin(member) is Literal:
            parts.append(" or ".join(f"`{v}`" for v in get_args(member)))
        elif get_origin(member) is tuple:
            parts.append(_expected_list(member))
        elif name:
            parts.append(f"{name} {bounds(kind)}".strip() if member in (int, float) else name)
        elif get_origin(member) is dict:
            parts.append("`weights(name=0.3, ...)`")
    known = words(kind)
    if known:
        parts.append(" or ".join(f"`{w}(...)`" for w in list(known)[:6]) + (" ..." if len(known) > 6 else ""))
    return " or ".join(parts)


def _expected_list(kind: Any) -> str:
    parts = get_args(kind)
    if parts[-1] is Ellipsis:
        return f"a list of {expected(parts[0])}"
    return f"a list of {len(parts)}, each {expected(parts[0])}"


PLAIN: dict[type, str] = {
    int: "a whole number", float: "a number", bool: "`true` or `false`", str: "a text", NoneType: "`none`",
    Duration: "a time such as `5 epochs` or `500 steps`",
}  # fmt: skip
