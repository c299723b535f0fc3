"""Images prepared as for weights that others have trained: what of it a recipe takes over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from netdsl.ir.model import Program
from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import ImageFolder, Images, MaskFolder
from netdsl.recipe.standardization import Channel, Fixed
from netdsl.weights.repository import Preparation


def prepared_as(recipe: Recipe, images: Preparation, program: Program) -> tuple[Recipe, Sequence[str]]:
    """The recipe that prepares images as weights saw them, in what it does not say itself; and what that is."""
    shape, notes = program.main.inputs[0].type.shape, []
    if len(shape) != 3:
        return recipe, ()
    if images.mean and recipe.standardize == Channel():
        if len(images.mean) == shape[0]:
            recipe = replace(recipe, standardize=Fixed(images.mean, images.std))
            notes.append(f"standardize = fixed(mean={[*images.mean]}, std={[*images.std]}), as for the weights")
        else:
            notes.append(f"the weights are for {len(images.mean)} channels: their mean and deviation are left out")
    own = recipe.data
    if isinstance(own, Images) and not isinstance(own, MaskFolder) and not own.resize and not own.crop and images.size:
        changes = _view(own, images, shape)
        recipe = replace(recipe, data=replace(own, **changes))
        notes += [f"data: {', '.join(f'{k} = {v}' for k, v in changes.items())}, as for the weights"] if changes else []
    return recipe, notes


def _view(own: Images, images: Preparation, shape: Sequence[Any]) -> dict[str, Any]:
    """The arguments of a source of images by which they are resized and cut as for weights."""
    fixed = isinstance(shape[1], int) and isinstance(shape[2], int)
    if fixed and shape[1] != shape[2]:
        return {}
    side = shape[1] if fixed else images.size
    found: dict[str, Any] = {} if fixed else {"crop": side}
    if own.fit == "cut":
        found |= {"fit": "warp"} if images.fit == "warp" else {"resize": images.resized_for(side)}
    if own.interpolation == "bilinear" and images.interpolation not in ("", "bilinear"):
        found["interpolation"] = images.interpolation
    return {k: v for k, v in found.items() if v}


def as_it_saw(images: Preparation, program: Program) -> tuple[Recipe, tuple[Any, Any] | None]:
    """A recipe whose images are prepared as weights saw them, and the mean and deviation for the net, None where there
    are none for it."""
    recipe, _ = prepared_as(Recipe(data=ImageFolder(folder=".")), images, program)
    fixed = recipe.standardize
    return recipe, ([*fixed.mean], [*fixed.std]) if isinstance(fixed, Fixed) else None
