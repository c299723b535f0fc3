"""The recipes of a file: which one is meant, what it extends, and what it resolves to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from netdsl.diagnostics.diagnostic import Diagnostic, Fault, did_you_mean, fault
from netdsl.elaborate.expressions import Env, Evaluator, Silent
from netdsl.elaborate.modules import Module, resolve
from netdsl.recipe.bind import Origin, Written
from netdsl.recipe.resolve import Chapter, changed_recipe, resolve_recipe
from netdsl.recipe.schema import Recipe
from netdsl.source import Place, Source
from netdsl.syntax import ast

if TYPE_CHECKING:
    from netdsl.elaborate.elaborate import Elaborator


def origin(module: Module, evaluator: Evaluator) -> Origin:
    """Where the expressions of a file stand, with the file's constants."""

    def evaluate(node: ast.Node, readable: Mapping[str, Any]) -> Any:
        return evaluator.evaluate(node, Env(module, dict(readable)))

    return Origin(module.source, evaluate)


def recipe_names(module: Module) -> list[str]:
    """The recipes that a file declares, in order."""
    return [d.name.id for d in module.file.declarations if isinstance(d, ast.Recipe)]


def find_recipe(module: Module, name: str, at: Place | None = None) -> tuple[Module, ast.Recipe]:
    """The recipe of a name, and the file it stands in. Raises Fault."""
    found = module.find(name)
    if found is None or not isinstance(found[1], ast.Recipe):
        hint = did_you_mean(name, recipe_names(module)) or f"its recipes: {', '.join(recipe_names(module)) or 'none'}"
        raise fault("unknown-recipe", f"{module.source.name} declares no recipe `{name}`", at, hint)
    return found[0], found[1]


def chain(module: Module, recipe: ast.Recipe, evaluator: Evaluator) -> list[Chapter]:
    """A recipe and all that it extends, the base first. Raises Fault for a circle or an unknown base."""
    chapters = [Chapter(recipe, origin(module, evaluator))]
    seen = [recipe]
    while recipe.base is not None:
        at = module.place(recipe.base.at)
        module, recipe = find_recipe(module, recipe.base.id, at)
        if any(recipe is s for s in seen):
            raise fault("cyclic-recipe", f"`{recipe.name.id}` extends itself", at)
        seen.append(recipe)
        chapters.append(Chapter(recipe, origin(module, evaluator)))
    return chapters[::-1]


def target(module: Module, recipe: ast.Recipe) -> str | None:
    """The net a recipe is for, its own or that of the nearest recipe it extends."""
    while recipe.target is None and recipe.base is not None:
        module, recipe = find_recipe(module, recipe.base.id, module.place(recipe.base.at))
    return recipe.target.id if recipe.target else None


def parse_override(path: str, text: str, evaluator: Evaluator) -> Written:
    """The value of `--set path=text` as an expression. Raises Fault."""
    source = Source(f"recipe Set {{\n  value = {text}\n}}", f"--set {path}={text}")
    module, mistakes = resolve(source, lambda name, importer: None)
    declarations = module.file.declarations
    whole = len(declarations) == 1 and isinstance(declarations[0], ast.Recipe) and len(declarations[0].entries) == 1
    if mistakes or not whole:
        hint = f"a text is written in quotes; for a shell, in both kinds: `--set '{path}=\"...\"'`"
        raise fault("bad-value", f"`{text}` is not a value that `{path}` can take", None, hint)
    entry = declarations[0].entries[0]  # type: ignore[union-attr]
    assert isinstance(entry, ast.Field)
    return Written(entry.value, origin(module, evaluator))


def load_recipe(
    module: Module, evaluator: Evaluator, name: str | None, settings: Mapping[str, str]
) -> tuple[Recipe | None, tuple[Diagnostic, ...]]:
    """A recipe of a file, or the defaults where `name` is None, with the settings of the command line."""
    try:
        overrides = {path: parse_override(path, text, evaluator) for path, text in settings.items()}
        chapters = chain(*find_recipe(module, name), evaluator) if name is not None else []
        return resolve_recipe(chapters, overrides)
    except Fault as mistake:
        return None, (mistake.diagnostic,)
    except Silent:
        return None, ()


def change_recipe(
    recipe: Recipe, evaluator: Evaluator, settings: Mapping[str, str]
) -> tuple[Recipe | None, tuple[Diagnostic, ...]]:
    """A resolved recipe, with the settings of the command line."""
    try:
        return changed_recipe(recipe, {path: parse_override(path, text, evaluator) for path, text in settings.items()})
    except Fault as mistake:
        return None, (mistake.diagnostic,)


def check_recipes(module: Module, elaborator: Elaborator) -> None:
    """Report every mistake in the recipes of a file."""
    for node in module.file.declarations:
        if isinstance(node, ast.Recipe):
            with elaborator.recording():
                _check_target(module, node)
                for diagnostic in resolve_recipe(chain(module, node, elaborator.evaluator))[1]:
                    elaborator.report(diagnostic)


def _check_target(module: Module, node: ast.Recipe) -> None:
    if node.target is not None:
        found = module.find(node.target.id)
        if found is None or not isinstance(found[1], ast.Block | ast.Variant):
            at = module.place(node.target.at)
            raise fault(
                "unknown-net", f"there is no net `{node.target.id}`", at, did_you_mean(node.target.id, module.nets)
            )
