"""Paths that are typed are looked for where they are typed; those that stand in a spec, beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import fields, replace

from netdsl.recipe.annotations import metas
from netdsl.recipe.component import Word
from netdsl.recipe.paths import A_PATH

if TYPE_CHECKING:
    from netdsl.recipe.schema import Recipe

FIELDS = ("data", "init", "augment")
"""Fields whose words name files."""


def from_here(recipe: Recipe, typed: Iterable[str]) -> Recipe:
    """The recipe with absolute paths where they were given on the command line.

    `typed`: the fields set there, such as `data`, `data.folder` or `init`.
    """
    names = tuple(typed)
    for field in FIELDS:
        value = getattr(recipe, field)
        words = value if isinstance(value, tuple) else (value,)
        words = tuple(_from_here(word, field, names) for word in words)
        if any(n.split(".")[0] == field for n in names):
            recipe = replace(recipe, **{field: words if isinstance(value, tuple) else words[0]})
    return recipe


def _from_here(word: Word, field: str, typed: tuple[str, ...]) -> Word:
    """The word with its paths absolute: all of them where the whole field is typed, else those that are."""
    given = {n.rpartition(".")[2] for n in typed if n.startswith(f"{field}.")}
    found = {n: getattr(word, n) for n in _paths(word) if field in typed or n in given}
    return replace(word, **{n: str(Path(text).absolute()) for n, text in found.items()})


def _paths(word: Word) -> list[str]:
    """The arguments of a word that name files, and are not empty."""
    found = []
    for f in fields(type(word)):
        kind = next((m.extra["path"] for m in metas(f.type) if m.extra and "path" in m.extra), None)
        text = getattr(word, f.name)
        if kind and text and (kind == A_PATH["path"] or Path(text).exists()):
            found.append(f.name)
    return found
