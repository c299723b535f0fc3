"""Paths that are typed are looked for where they are typed; those that stand in a spec, beside it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

if TYPE_CHECKING:
    from netdsl.recipe.schema import Recipe

PATHS = ("folder", "path")
"""Arguments of words that name files."""


def from_here(recipe: Recipe, typed: Iterable[str]) -> Recipe:
    """The recipe with absolute paths in the data and weights that were given on the command line.

    `typed`: the fields set there, such as `data`, `data.folder` or `init`.
    """
    names = tuple(typed)
    if _gives(names, "data"):
        recipe = replace(recipe, data=_absolute(recipe.data))
    if _gives(names, "init"):
        recipe = replace(recipe, init=tuple(_absolute(word) for word in recipe.init))
    return recipe


def _gives(names: Iterable[str], field: str) -> bool:
    """Whether a whole field is given, or a path inside it."""
    return any(n == field or (n.startswith(f"{field}.") and n.rpartition(".")[2] in PATHS) for n in names)


def _absolute(word: Any) -> Any:
    return replace(word, **{n: str(Path(getattr(word, n)).absolute()) for n in PATHS if hasattr(word, n)})
