"""Recipes from text, for tests."""

from __future__ import annotations

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.elaborate.expressions import Evaluator
from netdsl.elaborate.modules import resolve
from netdsl.planning.recipes import load_recipe
from netdsl.recipe.schema import Recipe
from netdsl.source import Source


def resolved(text: str, name: str | None = None, **settings: str) -> tuple[Recipe | None, tuple[Diagnostic, ...]]:
    """The recipe `name` of a text (the last without a name), and what is said about it."""
    module, mistakes = resolve(Source(text, "test.net"), lambda *_: None)
    assert not mistakes, mistakes
    names = {key.replace("__", "."): value for key, value in settings.items()}
    found = load_recipe(module, Evaluator(), name or (module.recipes or [None])[-1], names)
    return found.recipe, found.diagnostics


def recipe(fields: str, **settings: str) -> Recipe:
    """A recipe with these fields, which must have no mistakes."""
    found, mistakes = resolved("recipe Test {\n" + fields + "\n}", **settings)
    assert found is not None, [d.message for d in mistakes]
    return found
