"""Parameter groups: which settings of the optimizer each parameter gets, by role, label or path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from netdsl.diagnostics.diagnostic import did_you_mean, fault
from netdsl.recipe.schema import Recipe

ROLES = ("conv", "linear", "norm", "bias", "scale", "embedding", "position", "gate", "recurrent")


class Parameter(Struct, frozen=True):
    """What grouping knows of a parameter: its path, role and shape, and its layer for layer-wise decay."""

    path: str
    role: str
    shape: tuple[int, ...]


class ParameterGroup(Struct, frozen=True):
    """Parameters with equal settings. `scale` multiplies the scheduled lr; `settings` are the optimizer's other
    numbers."""

    paths: tuple[str, ...]
    scale: float
    settings: dict[str, Any]
    layer: int | None = None


def selects(selector: str, parameter: Parameter) -> bool:
    """Whether a selector means a parameter: a role, `vector` (at most one axis), or labels along its path."""
    if selector in ROLES:
        return parameter.role == selector
    if selector == "vector":
        return len(parameter.shape) <= 1
    return f".{selector}." in f".{parameter.path}."


def frozen(recipe: Recipe, parameters: Sequence[Parameter]) -> frozenset[str]:
    """The paths that are not trained."""
    return frozenset(p.path for p in parameters if any(selects(s, p) for s in recipe.freeze))


def group(
    recipe: Recipe, parameters: Sequence[Parameter], layers: Mapping[str, int] | None = None
) -> tuple[ParameterGroup, ...]:
    """The groups of a recipe, in the order in which their first parameters stand; frozen ones are left out.

    `layers`: the layer number of every path, where the recipe decays lr by layer. Raises Fault for a selector that
    selects nothing.
    """
    check_selectors(recipe, parameters)
    base_lr = recipe.optimizer.lr
    still = frozen(recipe, parameters)
    last = max(layers.values()) if layers else 0
    found: dict[tuple[Any, ...], list[str]] = {}
    for parameter in parameters:
        if parameter.path in still:
            continue
        settings: dict[str, Any] = {}
        for entry in recipe.groups:
            if any(selects(s, parameter) for s in entry.selectors):
                settings |= entry.settings
        scale = float(settings.pop("lr", base_lr)) / base_lr
        layer = layers[parameter.path] if layers else None
        if layer is not None and recipe.layer_decay is not None:
            scale *= recipe.layer_decay.rate ** (last - layer)
        signature = (scale, layer, tuple(sorted(settings.items())))
        found.setdefault(signature, []).append(parameter.path)
    return tuple(ParameterGroup(tuple(v), k[0], dict(k[2]), k[1]) for k, v in found.items())


def check_selectors(recipe: Recipe, parameters: Sequence[Parameter]) -> None:
    """Raise Fault for a selector of a group, a freeze or an init that selects no parameter."""
    for selector in selectors(recipe):
        if selector not in ROLES and not any(selects(selector, p) for p in parameters):
            hint = _near(selector, parameters)
            raise fault("unknown-selector", f"`{selector}` selects no parameter of this net", None, hint)


def selectors(recipe: Recipe) -> list[str]:
    """The selectors that a recipe writes, in groups, in `freeze` and in `init`."""
    written = [s for g in recipe.groups for s in g.selectors] + list(recipe.freeze)
    return written + [s for step in recipe.init for s in step.selectors]


def _near(selector: str, parameters: Sequence[Parameter]) -> str:
    labels = sorted({part for p in parameters for part in p.path.split(".")[:-1] if not part.isdigit()})
    near = did_you_mean(selector, [*ROLES, "vector", *labels])
    return near or f"roles: {', '.join(ROLES)}; labels: {', '.join(labels)}"
