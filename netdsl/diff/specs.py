"""Comparisons of two specs: of what is named in them, or of all nets and recipes that both have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.diff.data import net_data, recipe_data
from netdsl.diff.model import NetDiff, RecipeDiff
from netdsl.diff.nets import compare_nets
from netdsl.diff.page import page
from netdsl.diff.recipes import compare_recipes
from netdsl.diff.text import net_text, recipe_text
from netdsl.ir.model import Program
from netdsl.pipeline import Net, Spec
from netdsl.render.numbers import plural
from netdsl.render.paint import Paint
from netdsl.selection import select


class Incomparable(Exception):  # noqa: N818 - it carries mistakes of a user
    """There is nothing to compare: what is named does not go together, or (`diagnostics`) does not check."""

    def __init__(self, message: str, hint: str | None = None, diagnostics: tuple[Diagnostic, ...] = ()) -> None:
        super().__init__(message)
        self.message, self.hint, self.diagnostics = message, hint, diagnostics


class Named(Struct, frozen=True, eq=False):
    """One side: a spec, what it is called, and the net or the recipe of it that is meant (None: all)."""

    title: str
    spec: Spec
    name: str | None = None

    @property
    def is_recipe(self) -> bool:
        return self.name is not None and self.spec.module.is_recipe(self.name)


class Given(Struct, frozen=True, eq=False):
    """Arguments and sizes of inputs for the nets of both sides."""

    arguments: Mapping[str, Any] = {}
    sizes: Mapping[str, int] = {}


class Compared(Struct, frozen=True):
    """The comparisons of nets and recipes, and the names that only one side has."""

    nets: list[NetDiff]
    recipes: list[RecipeDiff]
    only_before: list[str] = []
    only_after: list[str] = []

    @property
    def equal(self) -> bool:
        alone = self.only_before or self.only_after
        return not alone and all(d.equal for d in self.nets) and all(d.equal for d in self.recipes)


def compare(before: Named, after: Named, given: Given) -> Compared:
    """Compare what the sides name, or all that both have. Raises Incomparable."""
    if before.is_recipe or after.is_recipe:
        return Compared([], [_recipes(before, after, *_names(before, after, "recipe"), given)])
    if before.name or after.name:
        return Compared([_nets(before, after, *_names(before, after, "net"), given)], [])
    nets = _Names(before.spec.nets_for(given.arguments), after.spec.nets_for(given.arguments))
    recipes = _Names(before.spec.module.recipes, after.spec.module.recipes)
    if not nets.common and not recipes.common:
        return Compared([_nets(before, after, None, None, given)], [])
    return Compared(
        [_nets(before, after, n, n, given) for n in nets.common],
        [_recipes(before, after, n, n, given) for n in recipes.common],
        nets.only_before + recipes.only_before,
        nets.only_after + recipes.only_after,
    )


class _Names:
    """The names of both sides: those that both have, and those that one has."""

    def __init__(self, before: Sequence[str], after: Sequence[str]) -> None:
        both = {*before} & {*after}
        self.common = [n for n in before if n in both]
        self.only_before = [n for n in before if n not in both]
        self.only_after = [n for n in after if n not in both]


def _names(before: Named, after: Named, kind: str) -> tuple[str | None, str | None]:
    """The names of both sides; one that names nothing has what the other one names, where it has it."""
    for side, other in ((before, after), (after, before)):
        if kind == "recipe" and side.name in side.spec.module.nets:
            message = f"`{side.name}` of {side.title} is a net, and `{other.name}` of {other.title} a recipe"
            raise Incomparable(message, "name two nets or two recipes")
    name = before.name or after.name
    found = [side.name or (name if name in side.spec.module.names else None) for side in (before, after)]
    return found[0], found[1]


def _nets(before: Named, after: Named, a: str | None, b: str | None, given: Given) -> NetDiff:
    nets = [side.spec.net(name, given.arguments, given.sizes) for side, name in ((before, a), (after, b))]
    one, two = (_program(net, given) for net in nets)
    return compare_nets(one, two, _titles(before, after, nets[0].name, nets[1].name))


def _program(net: Net, given: Given) -> Program:
    """The program of a net: as it is written, what the nets of a file share is elaborated once."""
    spec, program = net.spec, None
    if not (given.arguments or given.sizes or spec.mistakes):
        program = spec.elaborator.net(spec.module, net.name, {}, {})
    program = program or net.program
    if program is None:
        raise Incomparable("a net has mistakes", None, net.diagnostics)
    return program


def _recipes(before: Named, after: Named, a: str | None, b: str | None, given: Given) -> RecipeDiff:
    planned = []
    for side, name in ((before, a), (after, b)):
        if name is None:
            raise Incomparable(f"{side.title}: which recipe?", "name one on both sides, as in SPEC:Recipe")
        found = select(side.spec, name, None, {}, given.arguments, given.sizes)
        if found.net is None or found.recipe is None or found.net.program is None:
            raise Incomparable("a recipe has mistakes", None, found.diagnostics)
        planned.append((found.net, found.recipe))
    return compare_recipes(planned[0], planned[1], _titles(before, after, a or "", b or ""))


def _titles(before: Named, after: Named, a: str, b: str) -> tuple[str, str]:
    """Titles for both sides: by their names alone where these differ."""
    return (a, b) if a != b else (f"{before.title}:{a}", f"{after.title}:{b}")


def as_text(found: Compared, paint: Paint) -> str:
    """Every comparison that differs, and how many there are that don't."""
    several = len(found.nets) + len(found.recipes) > 1
    parts = [net_text(d, paint) for d in found.nets if not (several and d.equal)]
    parts += [recipe_text(d, paint) for d in found.recipes if not (several and d.equal)]
    alone = [*(f"- {n}" for n in found.only_before), *(f"+ {n}" for n in found.only_after)]
    parts += filter(None, ("\n".join(alone), _same(found) if several else ""))
    return "\n\n".join(parts)


def _same(found: Compared) -> str:
    """How many nets and recipes are the same, in words."""
    counts = (sum(d.equal for d in found.nets), "net"), (sum(d.equal for d in found.recipes), "recipe")
    told = " and ".join(plural(n, noun) for n, noun in counts if n)
    return f"{told} the same" if told else ""


def as_data(found: Compared) -> dict[str, Any]:
    """All comparisons as JSON data."""
    return {
        "equal": found.equal,
        "nets": list(map(net_data, found.nets)),
        "recipes": list(map(recipe_data, found.recipes)),
        "only_before": found.only_before,
        "only_after": found.only_after,
    }


def as_page(found: Compared) -> str:
    """The page of what differs, or of all where nothing does."""
    differ = [d for d in found.nets if not d.equal], [d for d in found.recipes if not d.equal]
    return page(*differ) if any(differ) else page(found.nets, found.recipes)
