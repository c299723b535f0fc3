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

FIELDS = ("data", "init", "augment", "distill")
"""Fields whose components name files."""


def from_here(recipe: Recipe, typed: Iterable[str]) -> Recipe:
    """The recipe with absolute paths where they were given on the command line or in Python.

    `typed`: the fields set there, such as `data`, `data.folder` or `init`.
    """
    names = tuple(typed)
    for field in FIELDS:
        value = getattr(recipe, field)
        components = value if isinstance(value, tuple) else () if value is None else (value,)
        components = tuple(_from_here(component, field, names) for component in components)
        if components and any(n.split(".")[0] == field for n in names):
            recipe = replace(recipe, **{field: components if isinstance(value, tuple) else components[0]})
    return recipe


def _from_here(component: Component, field: str, typed: tuple[str, ...]) -> Component:
    """The component with its paths absolute: all of them where the whole field is typed, else those that are."""
    given = {n.rpartition(".")[2] for n in typed if n.startswith(f"{field}.")}
    found = {n: getattr(component, n) for n in _paths(component) if field in typed or n in given}
    return replace(component, **{n: str(Path(text).absolute()) for n, text in found.items()})


def _paths(component: Component) -> list[str]:
    """The arguments of a component that name files, and are not empty."""
    found = []
    for name, argument in arguments(type(component)).items():
        kind, text = argument.kind.path, getattr(component, name)
        if kind and text and (kind == A_PATH["path"] or Path(text).exists()):
            found.append(name)
    return found
