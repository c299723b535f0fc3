"""Fields of a recipe that may change when a run is resumed: those that leave the finished steps valid."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from netdsl.recipe.annotations import arguments
from netdsl.recipe.schema import Recipe

FIXED = {
    "data": "the steps so far were of other samples", "validation": "samples held out so far would be trained on",
    "label_noise": "the labels so far were others", "standardize": "it is inside the net, whose weights are there",
    "standardize_targets": "it is inside the net, whose weights are there",
    "batch": "a step and an epoch would be of another length", "init": "the weights are there already",
    "drop_last": "an epoch would be of another length",
    "folds": "the parts so far were others",
    "sampling": "an epoch would show other samples", "repeat": "an epoch would show other samples",
    "distill": "the steps so far learnt from another teacher",
    "seed": "everything random so far was drawn with it", "groups": "the optimizer's state is by group",
    "unfreeze": "the optimizer's state is of the other parameters",
    "freeze": "the optimizer's state is of the other parameters",
}  # fmt: skip
"""Fields that stay as they are, and why."""

KINDS = ("optimizer", "ema", "swa", "drop_path")
"""Fields whose component stays: the checkpoint holds what it needs. Its arguments may change."""


class Change(Struct, frozen=True):
    """One field that a resumed run sees otherwise from `step` on, as JSON values."""

    field: str
    before: Any
    after: Any
    step: int = 0

    def __str__(self) -> str:
        return f"{self.field}: {_shown(self.before)} -> {_shown(self.after)}"


def changes(before: Recipe, after: Recipe) -> tuple[Change, ...]:
    """The fields that differ; the argument alone where the component is the same."""
    found: list[Change] = []
    for name in arguments(Recipe):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            found += _differences(name, msgspec.to_builtins(old), msgspec.to_builtins(new))
    return tuple(found)


def _differences(path: str, old: Any, new: Any) -> list[Change]:
    names = [v.get("component") for v in (old, new) if isinstance(v, dict)]
    if len(names) == 2 and names[0] is not None and names[0] == names[1]:
        return [c for n in old if old[n] != new[n] for c in _differences(f"{path}.{n}", old[n], new[n])]
    return [Change(path, old, new)]


def refusal(before: Recipe, after: Recipe) -> str | None:
    """Why a run of the one recipe cannot continue with the other, or None where it can."""
    for name in arguments(Recipe):
        old, new = getattr(before, name), getattr(after, name)
        if old == new:
            continue
        if name in FIXED:
            return f"`{name}` cannot change in the middle of a run: {FIXED[name]}"
        if name in KINDS and type(old) is not type(new):
            return f"`{name}` cannot become another in the middle of a run: the checkpoint holds what the old one needs"
    return None


def _shown(value: Any) -> str:
    if isinstance(value, dict) and value.keys() == {"amount", "unit"}:
        return f"{value['amount']:g} {value['unit']}"
    if isinstance(value, dict) and "component" in value:
        inside = ", ".join(f"{n}={_shown(v)}" for n, v in value.items() if n != "component" and v is not None)
        return f"{value['component']}({inside})"
    if isinstance(value, list | tuple):
        return " -> ".join(map(_shown, value)) or "none"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
