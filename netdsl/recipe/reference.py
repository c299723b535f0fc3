"""The reference of recipes, read off the schema: for completion, the docs and `netdsl recipe --fields`."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from netdsl.recipe.annotations import arguments, description, element, expected, is_required, words
from netdsl.recipe.schema import STRUCTURE, Recipe
from netdsl.recipe.text import is_text, shown


class Entry(Struct, frozen=True):
    """A field, or an argument of a word: what it accepts, its default (None where it is required), what it means.

    `written`: the default as it could be written, or None where it is required.
    """

    name: str
    accepts: str
    default: Any
    written: str | None
    doc: str


class WordEntry(Struct, frozen=True):
    """A word: what it means, its source, its arguments."""

    name: str
    doc: str
    source: str
    arguments: tuple[Entry, ...]


class FieldEntry(Struct, frozen=True):
    """A field of a recipe and the words it accepts."""

    entry: Entry
    words: tuple[WordEntry, ...]


def fields() -> dict[str, FieldEntry]:
    """Everything that a recipe can say, by field."""
    found = {}
    for name, info in arguments(Recipe).items():
        if name not in STRUCTURE:
            kinds = words(element(info.type) or info.type)
            found[name] = FieldEntry(_entry(name, info), tuple(_word(n, k) for n, k in kinds.items()))
    return found


def _entry(name: str, info: Any) -> Entry:
    accepts, doc = expected(info.type), description(info.type)
    if is_required(info):
        return Entry(name, accepts, None, None, doc)
    default = info.default if info.default is not msgspec.NODEFAULT else info.default_factory()
    return Entry(name, accepts, msgspec.to_builtins(default), shown(default, quoted=is_text(info.type)), doc)


def _word(name: str, kind: Any) -> WordEntry:
    doc = " ".join((kind.__doc__ or "").split())
    return WordEntry(name, doc, kind.source, tuple(_entry(a, i) for a, i in arguments(kind).items()))


def reference(only: str | None = None) -> list[str]:
    """The reference as lines of text."""
    lines: list[str] = []
    for name, field in fields().items():
        if only is not None and name != only:
            continue
        lines += [f"{name} = {field.entry.accepts}", f"  {field.entry.doc}"]
        for word in field.words:
            if only is not None:
                lines += ["", *_word_lines(word)]
    return lines


def _word_lines(word: WordEntry) -> list[str]:
    lines = [f"  {word.name}: {word.doc}"]
    lines += [f"    source: {word.source}"] if word.source else []
    for a in word.arguments:
        default = "required" if a.written is None else f"default {a.written}"
        lines.append(f"    {a.name}: {a.accepts} ({default}){'; ' + a.doc if a.doc else ''}")
    return lines
