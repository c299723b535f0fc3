"""A recipe that grows in stages, as one plain recipe for each stage."""

from __future__ import annotations

from typing import Any

from msgspec.structs import fields, replace

from netdsl.recipe.augmentations import Cutmix, Mixup, RandAugment, RandomResizedCrop, Resize, ScaleJitter
from netdsl.recipe.regularizers import Flat
from netdsl.recipe.schema import Recipe

GROWS: dict[str, tuple[type, ...]] = {
    "size": (RandomResizedCrop, ScaleJitter, Resize), "strength": (RandAugment,), "mixup": (Mixup,),
    "cutmix": (Cutmix,),
}  # fmt: skip
"""What each argument of `progressive` changes: these components of `augment` and `mix`."""


def staged(recipe: Recipe) -> tuple[Recipe, ...]:
    """The recipe of every stage, first to last; the recipe itself where it does not grow."""
    count = recipe.progressive.stages if recipe.progressive else 1
    return tuple(_at(recipe, i, count) for i in range(count))


def stage_of(step: int, total: int, count: int) -> int:
    """The stage that a step of a run of `total` belongs to: all are equally long."""
    return max(0, min(count - 1, step * count // max(1, total)))


def grown(recipe: Recipe, stage: int) -> dict[str, float]:
    """The numbers of a stage, in equal steps from the first to the last; whole pixels (Tan & Le 2021, algorithm 1)."""
    growth = recipe.progressive
    found: dict[str, float] = {}
    if growth is None:
        return found
    for name in (f.name for f in fields(growth) if f.name != "stages"):
        ends = getattr(growth, name)
        if ends is not None:
            value = ends[0] + (ends[1] - ends[0]) * stage / max(1, growth.stages - 1)
            found[name] = int(value + 0.5) if name == "size" else value
    return found


def _at(recipe: Recipe, stage: int, count: int) -> Recipe:
    numbers = grown(recipe, stage)
    if not numbers:
        return recipe
    augment = tuple(_changed(w, numbers) for w in recipe.augment)
    mix = tuple(_changed(w, numbers) for w in recipe.mix if _mixes(w, numbers))
    found = replace(recipe, progressive=None, augment=augment, mix=mix)
    return replace(found, dropout=Flat(numbers["dropout"])) if "dropout" in numbers else found


def _mixes(component: Any, numbers: dict[str, float]) -> bool:
    """With an alpha of 0 nothing is mixed."""
    return all(numbers.get(name, 1) > 0 for name in ("mixup", "cutmix") if isinstance(component, GROWS[name]))


def _changed(component: Any, numbers: dict[str, float]) -> Any:
    changes = {
        "alpha" if name in ("mixup", "cutmix") else name: numbers[name]
        for name, kinds in GROWS.items()
        if name in numbers and isinstance(component, kinds)
    }
    return replace(component, **changes) if changes else component
