"""The net and the recipe that `SPEC:name`, `--recipe`, `-p` and `--size` mean, checked against each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from netdsl.checks.lint.allow import unsilenced
from netdsl.checks.lint.flow import Flow
from netdsl.checks.lint.recipe_rules import lint_recipe
from netdsl.checks.lint.trained import Trained
from netdsl.diagnostics.diagnostic import Diagnostic, Fault
from netdsl.pipeline import Net, Spec
from netdsl.planning.demands import demands
from netdsl.planning.recipes import Choice, Family, NetReference, choose, complete, load_recipe
from netdsl.recipe.resolve import Resolved
from netdsl.recipe.schema import Recipe


class Selection(Struct, frozen=True, eq=False):
    """A net with its recipe. `recipe` is None where there are errors; `several`: the recipes of which the first was
    taken."""

    net: Net | None
    recipe: Recipe | None
    diagnostics: tuple[Diagnostic, ...] = ()
    several: tuple[str, ...] = ()


def select(
    spec: Spec,
    name: str | None = None,
    recipe: str | None = None,
    settings: Mapping[str, str] | None = None,
    arguments: Mapping[str, Any] | None = None,
    sizes: Mapping[str, int] | None = None,
    family: Family | None = None,
) -> Selection:
    """Select the net and the recipe that a spec, the name of either in it, and a recipe (`A2`, `resnet:A2`, `none`)
    mean together.

    `settings` are fields of the recipe by path, as text; `arguments` and `sizes` are the net's; `family` knows what was
    found out of the spec's recipes before.
    """
    errors = tuple(d for d in spec.mistakes if d.severity == "error")
    if errors:
        return Selection(None, None, errors)
    family = family or Family(spec.elaborator.evaluator)
    try:
        choice = choose(spec.module, name, recipe, spec.read, family)
    except Fault as mistake:
        return Selection(None, None, (mistake.diagnostic,))
    module, chosen = choice.recipe or (spec.module, None)
    resolved = load_recipe(module, spec.elaborator.evaluator, chosen, settings or {}, family)
    net = _net(spec, choice, arguments or {}, sizes or {})
    found = (*resolved.diagnostics, *net.diagnostics, *_between(net, resolved))
    found = unsilenced(found, (spec.module, module))
    broken = any(d.severity == "error" for d in found)
    return Selection(net, None if broken else resolved.recipe, found, choice.several)


def _between(net: Net, resolved: Resolved) -> tuple[Diagnostic, ...]:
    """Report what does not fit between a net and a recipe, where both are right alone, or is hardly meant."""
    recipe, places = resolved.recipe, resolved.places
    if recipe is None or net.program is None:
        return ()
    unfit = tuple(demands(net, recipe, places))
    if any(d.severity == "error" for d in unfit):
        return unfit
    trained = Trained(recipe, places, net.program, Flow((net.program,)), "data" not in places.written)
    return (*unfit, *lint_recipe(trained))


def _net(spec: Spec, choice: Choice, arguments: Mapping[str, Any], sizes: Mapping[str, int]) -> Net:
    """The net of a choice, which may stand in a file that the spec imports, or the first of the spec."""
    reference: NetReference | None = choice.net
    if reference is None:
        return spec.net(None, arguments, sizes)
    reference = complete(reference, spec.elaborator.evaluator, arguments) or reference
    if reference.module is not spec.module:
        spec = Spec(reference.module.source, spec.read)
    return spec.net(reference.name, arguments, sizes)
