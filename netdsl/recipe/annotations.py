"""The kind of a field or an argument: all that its annotation says of it, read once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import NODEFAULT, UNSET, Meta, Struct
from msgspec.structs import fields as struct_fields

from netdsl.recipe.component import Component, Duration, component_name
from netdsl.recipe.registry import Open


class Kind(Struct, frozen=True, eq=False):
    """The values that a field or an argument accepts.

    `components`: those it accepts, by name. `choices`: bare names. `item`: the kind of the items of a list of any
    length. `weight`: the kind of the values of `weights(name=0.3, ...)`. `plain`: types of plain values. `limits`: of
    a number, by `gt`, `ge`, `lt` and `le`. `expected`: all of it in words, for a message. `path`: whether its text
    names a file (see `paths`). `section`: the part of the reference that a field belongs to.
    """

    annotation: Any
    components: dict[str, type[Component]]
    choices: tuple[str, ...]
    item: Kind | None
    weight: Kind | None
    plain: tuple[type, ...]
    limits: dict[str, float]
    expected: str
    description: str
    path: str
    section: str

    @property
    def each(self) -> tuple[Kind, ...]:
        """The kinds of the items of a list of a fixed length."""
        lists = (get_args(m) for m in _members(self.annotation) if get_origin(m) is tuple)
        return next((tuple(map(kind_of, parts)) for parts in lists if parts[-1] is not Ellipsis), ())

    @property
    def accepts_none(self) -> bool:
        return NoneType in self.plain

    @property
    def accepts_duration(self) -> bool:
        return Duration in self.plain

    @property
    def is_text(self) -> bool:
        """Whether its values are texts, in quotes, and not names."""
        return str in (self.plain if self.item is None else self.item.plain)


class Argument(Struct, frozen=True, eq=False):
    """A field of a recipe, or an argument of a component. `default` is NODEFAULT where it is required."""

    name: str
    annotation: Any
    default: Any

    @property
    def kind(self) -> Kind:
        return kind_of(self.annotation)

    @property
    def required(self) -> bool:
        return self.default is NODEFAULT


@cache
def arguments(cls: type[Struct]) -> dict[str, Argument]:
    """The arguments of a component (or the fields of a recipe) by name, in order."""
    found = {}
    for f in struct_fields(cls):
        made = f.default is NODEFAULT and f.default_factory not in (NODEFAULT, UNSET)
        found[f.name] = Argument(f.name, f.type, f.default_factory() if made else f.default)
    return found


@cache
def kind_of(annotation: Any) -> Kind:
    """The kind that an annotation declares."""
    members = _members(annotation)
    metas = tuple(_metas(annotation))
    classes = tuple(m for m in members if isinstance(m, type))
    components = {component_name(m): m for m in classes if issubclass(m, Component)}
    limits = _limits(metas)
    return Kind(
        annotation=annotation,
        components=components,
        choices=_choices(members),
        item=_item(members),
        weight=next((kind_of(get_args(m)[1]) for m in members if get_origin(m) is dict), None),
        plain=tuple(m for m in classes if m not in components.values()),
        limits=limits,
        expected=_expected(members, _bounds(limits), components),
        description=next(filter(None, (m.description for m in metas)), ""),
        path=_extra(metas, "path"),
        section=_extra(metas, "section"),
    )


def forget() -> None:
    """Read annotations again: what open types accept has changed."""
    arguments.cache_clear()
    kind_of.cache_clear()


def _choices(members: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(str(v) for m in members if get_origin(m) is Literal for v in get_args(m))


def _item(members: tuple[Any, ...]) -> Kind | None:
    """The kind of the items of a list of any length."""
    lists = (get_args(m) for m in members if get_origin(m) is tuple)
    return next((kind_of(parts[0]) for parts in lists if parts[-1] is Ellipsis), None)


def _extra(metas: tuple[Meta, ...], name: str) -> str:
    """An extra fact, from the outermost annotation that has it; "" without one."""
    return next((str(m.extra[name]) for m in metas if m.extra and name in m.extra), "")


def _members(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of a type, without its annotations."""
    if isinstance(annotation, Open):
        return _members(annotation.now())
    if get_origin(annotation) is Annotated:
        return _members(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(m for part in get_args(annotation) for m in _members(part))
    return (annotation,)


def _metas(annotation: Any) -> Iterator[Meta]:
    """The annotations of a type and of its alternatives, outermost first."""
    if get_origin(annotation) is Annotated:
        inner, *notes = get_args(annotation)
        yield from (n for n in reversed(notes) if isinstance(n, Meta))
        yield from _metas(inner)
    elif get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from _metas(part)


def _limits(metas: tuple[Meta, ...]) -> dict[str, float]:
    """The range of a number."""
    return {n: getattr(m, n) for m in metas for n in ("gt", "ge", "lt", "le") if getattr(m, n) is not None}


def _bounds(limits: dict[str, float]) -> str:
    """The range of a number in words: `from 0 to 1`, `above 0`."""
    if {"ge", "le"} <= limits.keys():
        return f"from {limits['ge']:g} to {limits['le']:g}"
    texts = {"gt": "above {:g}", "ge": "at least {:g}", "lt": "below {:g}", "le": "at most {:g}"}
    return " and ".join(texts[n].format(v) for n, v in limits.items())


def _expected(members: tuple[Any, ...], bounds: str, components: dict[str, type[Component]]) -> str:
    """Describe what a type accepts, in the words of a message: `a number above 0`, `one of relu, linear`."""
    parts: list[str] = []
    for member in members:
        name = PLAIN.get(member) if isinstance(member, type) else None
        if get_origin(member) is Literal:
            parts.append(" or ".join(f"`{v}`" for v in get_args(member)))
        elif get_origin(member) is tuple:
            parts.append(_expected_list(member))
        elif name:
            parts.append(f"{name} {bounds}".strip() if member in (int, float) else name)
        elif get_origin(member) is dict:
            parts.append("`weights(name=0.3, ...)`")
    if components:
        parts.append(" or ".join(f"`{c}(...)`" for c in list(components)[:6]) + (" ..." if len(components) > 6 else ""))
    return " or ".join(parts)


def _expected_list(annotation: Any) -> str:
    parts = get_args(annotation)
    if parts[-1] is Ellipsis:
        return f"a list of {kind_of(parts[0]).expected}"
    return f"a list of {len(parts)}, each {kind_of(parts[0]).expected}"


PLAIN: dict[type, str] = {
    int: "a whole number", float: "a number", bool: "`true` or `false`", str: "a text", NoneType: "`none`",
    Duration: "a time such as `5 epochs` or `500 steps`",
}  # fmt: skip
