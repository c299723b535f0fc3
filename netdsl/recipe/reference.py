"""The reference of recipes, read off the schema: for completion, the docs and `netdsl recipe --fields`."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from netdsl.recipe.annotations import Argument, arguments
from netdsl.recipe.component import Component
from netdsl.recipe.registry import provider
from netdsl.recipe.schema import SECTIONS, STRUCTURE, Recipe
from netdsl.recipe.text import shown


class Entry(Struct, frozen=True):
    """A field, or an argument of a component: what it accepts, its default (None where it is required), what it means.

    `written`: the default as it could be written, or None where it is required.
    """

    name: str
    accepts: str
    default: Any
    written: str | None
    doc: str


class ComponentEntry(Struct, frozen=True):
    """A component: what it means, its source, its arguments."""

    name: str
    doc: str
    source: str
    arguments: tuple[Entry, ...]


class FieldEntry(Struct, frozen=True):
    """A field of a recipe, the section it belongs to, and the components it accepts."""

    entry: Entry
    section: str
    components: tuple[ComponentEntry, ...]


def fields() -> dict[str, FieldEntry]:
    """Everything that a recipe can say, by field, section by section."""
    found = {}
    for name, argument in arguments(Recipe).items():
        if name not in STRUCTURE:
            kind = argument.kind
            components = (kind.item or kind).components
            entries = tuple(_component(n, cls) for n, cls in components.items())
            found[name] = FieldEntry(_entry(argument), kind.section, entries)
    return found


def sections() -> dict[str, dict[str, FieldEntry]]:
    """The fields by the title of their section, in the order of the reference."""
    known = fields()
    return {title: {n: f for n, f in known.items() if f.section == s} for s, title in SECTIONS.items()}


def _entry(argument: Argument) -> Entry:
    kind = argument.kind
    if argument.required:
        return Entry(argument.name, kind.expected, None, None, kind.description)
    default = argument.default
    written = shown(default, quoted=kind.is_text)
    return Entry(argument.name, kind.expected, msgspec.to_builtins(default), written, kind.description)


def _component(name: str, cls: type[Component]) -> ComponentEntry:
    doc = " ".join((cls.__doc__ or "").split())
    source = "; ".join(filter(None, (cls.source, provider(cls))))
    return ComponentEntry(name, doc, source, tuple(map(_entry, arguments(cls).values())))


def reference(only: str | None = None) -> list[str]:
    """The reference as lines of text: all fields by section, or one field with its components."""
    if only is not None:
        field = fields()[only]
        return [*_field_lines(only, field), *(line for c in field.components for line in ("", *_component_lines(c)))]
    lines: list[str] = []
    for title, found in sections().items():
        lines += ["", title, "-" * len(title)] if lines else [title, "-" * len(title)]
        for name, field in found.items():
            lines += _field_lines(name, field)
    return lines


def _field_lines(name: str, field: FieldEntry) -> list[str]:
    return [f"{name} = {field.entry.accepts}", f"  {field.entry.doc}"]


def _component_lines(component: ComponentEntry) -> list[str]:
    lines = [f"  {component.name}: {component.doc}"]
    lines += [f"    source: {component.source}"] if component.source else []
    for a in component.arguments:
        default = "required" if a.written is None else f"default {a.written}"
        lines.append(f"    {a.name}: {a.accepts} ({default}){'; ' + a.doc if a.doc else ''}")
    return lines
