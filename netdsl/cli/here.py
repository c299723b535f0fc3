"""Paths that are typed are looked for where they are typed; those that stand in a spec, beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from netdsl.recipe.annotations import arguments
from netdsl.recipe.component import Component
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


def _from_here(word: Component, field: str, typed: tuple[str, ...]) -> Component:
    """The word with its paths absolute: all of them where the whole field is typed, else those that are."""
    given = {n.rpartition(".")[2] for n in typed if n.startswith(f"{field}.")}
    found = {n: getattr(word, n) for n in _paths(word) if field in typed or n in given}
    return replace(word, **{n: str(Path(text).absolute()) for n, text in found.items()})


def _paths(word: Component) -> list[str]:
    """The arguments of a word that name files, and are not empty."""
    found = []
    for name, argument in arguments(type(word)).items():
        kind, text = argument.kind.path, getattr(word, name)
        if kind and text and (kind == A_PATH["path"] or Path(text).exists()):
            found.append(name)
    return found
