"""Parameter groups: which settings of the optimizer each parameter gets, by role, label or path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from netdsl.diagnostics.diagnostic import Diagnostic, Edit, Hint, diagnostic, did_you_mean
from netdsl.recipe.component import component_name
from netdsl.recipe.places import Places
from netdsl.recipe.schema import Recipe
from netdsl.source import Place

ROLES = ("conv", "linear", "norm", "bias", "scale", "embedding", "position", "gate", "recurrent")


class Parameter(Struct, frozen=True):
    """A parameter as grouping sees it: its path, role and shape, and whether it is the weight of the last layer."""

    path: str
    role: str
    shape: tuple[int, ...]
    head: bool = False


class ParameterGroup(Struct, frozen=True):
    """Parameters with equal settings. `lr_scale` multiplies the scheduled lr; `settings` are the optimizer's other
    numbers; `method`: the optimizer that trains them in place of the recipe's."""

    paths: tuple[str, ...]
    lr_scale: float
    settings: dict[str, Any]
    layer: int | None = None
    method: str = ""


class Selectors:
    """Several selectors, asked together: what one parameter is meant by is found without a look at each of them.

    A selector is a role, `vector` (at most one axis), or labels along the path of a parameter.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words = frozenset(words)
        self.lengths = sorted({w.count(".") + 1 for w in self.words})

    def meaning(self, parameter: Parameter) -> set[str]:
        """Those of the selectors that mean a parameter."""
        if not self.words:
            return set()
        parts = parameter.path.split(".")
        windows = (".".join(parts[i : i + n]) for n in self.lengths for i in range(len(parts) - n + 1))
        found = {w for w in windows if w in self.words} - {*ROLES, "vector"}
        kinds = {parameter.role} & {*ROLES} | ({"vector"} if len(parameter.shape) <= 1 else set())
        return found | (self.words & kinds)


class Entries:
    """Lines with selectors: those that name a parameter are found without a look at each of them."""

    def __init__(self, entries: Iterable[Iterable[str]]) -> None:
        self._numbers: dict[str, list[int]] = {}
        for number, words in enumerate(entries):
            for word in words:
                self._numbers.setdefault(word, []).append(number)
        self._selectors = Selectors(self._numbers)

    def naming(self, parameter: Parameter) -> list[int]:
        """The numbers of the entries that name a parameter, in order."""
        return sorted({n for word in self._selectors.meaning(parameter) for n in self._numbers[word]})


def frozen(recipe: Recipe, parameters: Sequence[Parameter]) -> frozenset[str]:
    """The paths that are never trained."""
    return _stopped(recipe, parameters) - unfrozen(recipe, parameters).keys()


def _stopped(recipe: Recipe, parameters: Sequence[Parameter]) -> frozenset[str]:
    """The paths that `freeze` names."""
    selectors = Selectors(recipe.freeze)
    return frozenset(p.path for p in parameters if selectors.meaning(p))


def unfrozen(recipe: Recipe, parameters: Sequence[Parameter]) -> dict[str, int]:
    """The paths that are frozen for a time, each with the number of the first `unfreeze` that names it."""
    stopped, entries = _stopped(recipe, parameters), Entries(step.layers for step in recipe.unfreeze)
    everything = [i for i, step in enumerate(recipe.unfreeze) if not step.layers][:1]
    numbers = {p.path: [*entries.naming(p)[:1], *everything] for p in parameters if p.path in stopped}
    return {path: min(found) for path, found in numbers.items() if found}


def group(
    recipe: Recipe, parameters: Sequence[Parameter], layers: Mapping[str, int] | None = None
) -> tuple[ParameterGroup, ...]:
    """The groups of a recipe, in the order in which their first parameters stand; frozen ones are left out.

    `layers`: the layer number of every path, where the recipe decays lr by layer.
    """
    lr = recipe.optimizer.lr
    still, later = frozen(recipe, parameters), unfrozen(recipe, parameters)
    last = max(layers.values()) if layers else 0
    entries = Entries(g.selectors for g in recipe.groups)
    found: dict[tuple[Any, ...], list[str]] = {}
    for parameter in parameters:
        if parameter.path in still:
            continue
        settings: dict[str, Any] = {}
        for number in entries.naming(parameter):
            settings |= recipe.groups[number].settings
        lr_scale = float(settings.pop("lr", lr)) / lr
        layer = layers[parameter.path] if layers else None
        if layer is not None and recipe.layer_decay is not None:
            lr_scale *= recipe.layer_decay.rate ** (last - layer)
        if parameter.path in later:
            lr_scale *= recipe.unfreeze[later[parameter.path]].lr
        method = recipe.optimizer.method(parameter.role, len(parameter.shape), parameter.head)
        signature = (lr_scale, layer, tuple(sorted(settings.items())), method)
        found.setdefault(signature, []).append(parameter.path)
    return tuple(ParameterGroup(tuple(v), k[0], dict(k[2]), k[1], k[3]) for k, v in found.items())


def selector_mistakes(recipe: Recipe, parameters: Sequence[Parameter], places: Places) -> Iterator[Diagnostic]:
    """Selectors that select no parameter, groups of nothing, and a `freeze` that leaves nothing to train.

    A group, or an initialisation, may name roles that a net does not have: recipes are written for families.
    """
    mistaken = list(_idle_selectors(recipe, parameters, places))
    yield from mistaken
    used = set(unfrozen(recipe, parameters).values())
    for i, step in enumerate(recipe.unfreeze if parameters and not mistaken else ()):
        if i not in used and not _unknown(step.layers, parameters):
            message = f"nothing is still frozen that `after({step.time})` could unfreeze"
            yield diagnostic("idle-option", message, places.at("unfreeze.after"), severity="warning")
    yield from _settled(recipe, parameters, places)
    stopped, hint = _stopped(recipe, parameters), "leave out the layers that should learn"
    if parameters and len(stopped) == len(parameters):
        yield diagnostic("all-frozen", "`freeze` leaves nothing to train", places.at("freeze"), hint)
    elif recipe.freeze and {p.role for p in parameters if p.path not in stopped} == {"bias"}:
        message = "`freeze` leaves biases alone to train"
        yield diagnostic("all-frozen", message, places.at("freeze"), hint, severity="warning")


def _settled(recipe: Recipe, parameters: Sequence[Parameter], places: Places) -> Iterator[Diagnostic]:
    """Settings of an optimizer for a label or a path whose parameters stay frozen."""
    written = [s for g in recipe.groups for s in g.selectors if s not in (*ROLES, "vector")]
    still, selectors = frozen(recipe, parameters), Selectors(written)
    named = {word for p in parameters for word in selectors.meaning(p)}
    named -= {word for p in parameters if p.path not in still for word in selectors.meaning(p)}
    for selector in written:
        if selector in named:
            message = f"`{selector}` is frozen: no optimizer trains it"
            yield diagnostic("idle-option", message, places.at(f"group.{selector}"), severity="warning")


def _idle_selectors(recipe: Recipe, parameters: Sequence[Parameter], places: Places) -> Iterator[Diagnostic]:
    """Selectors that select no parameter."""
    written = list(_written(recipe))
    selectors = Selectors(selector for _, selector in written)
    met = {word for p in parameters for word in selectors.meaning(p)}
    labels = sorted({part for p in parameters for part in p.path.split(".")[:-1] if not part.isdigit()})
    for path, selector in written:
        role = selector in (*ROLES, "vector") and not path.startswith("freeze")
        if not role and selector not in met:
            at, message = places.at(path), f"`{selector}` selects no parameter of this net"
            yield diagnostic("unknown-selector", message, at, _near(selector, labels, at))


def _written(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """The selectors that a recipe writes, each after the path of its place."""
    yield from ((f"group.{s}", s) for g in recipe.groups for s in g.selectors)
    yield from ((f"freeze.{s}", s) for s in recipe.freeze)
    yield from ((f"unfreeze.after.layers.{s}", s) for u in recipe.unfreeze for s in u.layers)
    yield from ((f"init.{component_name(i)}.only.{s}", s) for i in recipe.init for s in i.selectors)


def _unknown(selectors: Sequence[str], parameters: Sequence[Parameter]) -> bool:
    """Whether one of the selectors selects nothing, which is said elsewhere."""
    asked = Selectors(selectors)
    return asked.words != {word for p in parameters for word in asked.meaning(p)}


def _near(selector: str, labels: Sequence[str], at: Place | None) -> Hint:
    """The roles and labels nearest to a selector, or all there are."""
    near = did_you_mean(selector, [*ROLES, "vector", *labels])
    if near is None:
        return Hint(f"roles: {', '.join(ROLES)}; labels: {', '.join(labels)}")
    names = near.split("`")[1::2]
    return Hint(near, (Edit(at, names[0]),) if at is not None and at.text == selector else (), safe=False)
