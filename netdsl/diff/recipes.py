"""Two recipes, compared field by field, with what follows from them for their nets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from netdsl.diagnostics.diagnostic import Fault
from netdsl.diff.model import Field, RecipeDiff
from netdsl.planning.net import PlannedNet
from netdsl.planning.plan import plan
from netdsl.recipe.annotations import arguments
from netdsl.recipe.component import Component, component_name
from netdsl.recipe.schema import STRUCTURE, Recipe, training_size
from netdsl.recipe.text import shown
from netdsl.render.numbers import grouped

SIGNS = {"mix": " | "}

FEW = 6
"""How many parameter groups are described."""

Planned = tuple[PlannedNet, Recipe]
"""A recipe and the net that it trains."""


def compare_recipes(before: Planned, after: Planned, names: tuple[str, str]) -> RecipeDiff:
    """Compare two recipes. Fields that a recipe does not write have their defaults."""
    ours, theirs = before[1], after[1]
    fields = [f for name in arguments(Recipe) if name not in STRUCTURE for f in _field(name, ours, theirs)]
    fields += _differences(_groups(ours), _groups(theirs))
    fields += _differences(_frozen(ours), _frozen(theirs))
    follows = _differences(_consequences(*before), _consequences(*after)) if fields else ()
    return RecipeDiff(names[0], names[1], tuple(fields), tuple(follows))


def _field(name: str, ours: Recipe, theirs: Recipe) -> Iterator[Field]:
    """The differences in one field: the arguments of its components, or the whole."""
    a, b = getattr(ours, name), getattr(theirs, name)
    if a == b:
        return
    if isinstance(a, Component) and isinstance(b, Component):
        yield from _component(name, a, b)
    elif _by_name(a) and _by_name(b) and _in_one_order(_by_name(a), _by_name(b)):
        yield from _components(name, _by_name(a), _by_name(b))
    else:
        sign = SIGNS.get(name, " -> ")
        yield Field(name, shown(a, sign), shown(b, sign))


def _component(name: str, a: Component, b: Component) -> Iterator[Field]:
    """The arguments of one component that differ, or two components."""
    if component_name(a) != component_name(b):
        yield Field(name, shown(a), shown(b))
        return
    for argument in arguments(type(a)).values():
        before, after = (shown(getattr(side, argument.name), quoted=argument.kind.is_text) for side in (a, b))
        if before != after:
            yield Field(f"{name}.{argument.name}", before, after)


def _components(name: str, ours: Mapping[str, Component], theirs: Mapping[str, Component]) -> Iterator[Field]:
    """The components of a chain that differ, each by its name; what stands in the place of others is one change."""
    both = [part for part in ours if part in theirs]
    for common, (gone, new) in zip([*both, None], _between(both, ours, theirs), strict=True):
        if gone and new:
            sign = SIGNS.get(name, " -> ")
            yield Field(
                f"{name}.{gone[0]}" if both else name, shown(_all(ours, gone), sign), shown(_all(theirs, new), sign)
            )
        else:
            yield from (Field(f"{name}.{part}", shown(ours[part]), None) for part in gone)
            yield from (Field(f"{name}.{part}", None, shown(theirs[part])) for part in new)
        if common is not None:
            yield from _component(f"{name}.{common}", ours[common], theirs[common])


def _between(both: Sequence[str], *sides: Mapping[str, Component]) -> Iterator[tuple[list[str], ...]]:
    """The names on each side before the first that both have, between it and the next, and so on."""
    gaps = []
    for side in sides:
        names = list(side)
        places = [-1, *map(names.index, both), len(names)]
        gaps.append([names[a + 1 : b] for a, b in pairwise(places)])
    return zip(*gaps, strict=True)


def _all(side: Mapping[str, Component], names: Sequence[str]) -> tuple[Component, ...]:
    return tuple(side[name] for name in names)


def _by_name(value: object) -> dict[str, Component]:
    """The components of a chain by their names; none where one comes twice."""
    parts = [v for v in value if isinstance(v, Component)] if isinstance(value, tuple) else []
    named = {component_name(p): p for p in parts}
    return named if len(named) == len(parts) else {}


def _in_one_order(ours: Mapping[str, Component], theirs: Mapping[str, Component]) -> bool:
    """Whether what both chains have comes in one order."""
    return [n for n in ours if n in theirs] == [n for n in theirs if n in ours]


def _differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> Iterator[Field]:
    for name in dict.fromkeys([*ours, *theirs]):
        if ours.get(name) != theirs.get(name):
            yield Field(name, ours.get(name), theirs.get(name))


def _groups(recipe: Recipe) -> dict[str, str]:
    """The parameter groups by what they select; a later one of the same selectors is another."""
    found: dict[str, str] = {}
    for group in recipe.groups:
        name = f"group {', '.join(group.selectors)}"
        again = sum(n == name or n.startswith(f"{name} (") for n in found)
        name = f"{name} ({again + 1})" if again else name
        found[name] = ", ".join(f"{k} = {shown(v)}" for k, v in group.settings.items())
    return found


def _frozen(recipe: Recipe) -> dict[str, str]:
    return {"freeze": ", ".join(recipe.freeze)} if recipe.freeze else {}


def _consequences(net: PlannedNet, recipe: Recipe) -> dict[str, str]:
    """The consequences of a recipe, by name: its steps, its highest learning rate, the phases, what each group
    trains."""
    try:
        made = plan(net, recipe, training_size(recipe))
    except Fault:
        return {}
    found = {"peak learning rate": f"{made.peak_lr:g}"}
    if made.steps is not None:
        found["steps"] = grouped(made.steps)
    for span in made.spans:
        found[f"lr in {span.phase}"] = f"{span.first:.3g} to {span.last:.3g} over {span.end - span.start:,} steps"
    for i, (group, members) in enumerate(zip(made.groups[:FEW], made.members, strict=False)):
        decay = group.settings.get("weight_decay", recipe.optimizer.weight_decay)
        lr = made.peak_lr * group.lr_scale
        found[f"parameter group {i + 1}"] = f"{members:,} parameters, lr {lr:g}, weight decay {decay:g}"
    return found
