"""Preprocessing inside the net: the recipe's `standardize` of raw pixels, and its statistics in the module."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from netdsl.elaborate.standardize import NAME
from netdsl.ir.model import Program
from netdsl.ops.base import Op
from netdsl.recipe.augmentations import Cutout, RandomErasing
from netdsl.recipe.schema import Recipe
from netdsl.recipe.standardization import Image, Pixel
from netdsl.training.data.dataset import DataError, Split
from netdsl.training.data.fit import measured, statistics


def preprocessing(recipe: Recipe, train: Split, program: Program) -> tuple[tuple[Any, Any] | None, str]:
    """Mean and deviation that the net is built with, and what they are taken over: channel, pixel or image. None for
    tokens, and for nodes and places, whose number is open: they have no channels.

    Raises DataError where the net's image has no size that numbers per pixel could have.
    """
    component = recipe.standardize
    if not isinstance(component, Pixel | Image):
        channels = recipe.data.task != "nodes" and isinstance(program.main.inputs[0].type.shape[0], int)
        return statistics(train, component, recipe.workers) if channels else None, "channel"
    per = str(component.__struct_config__.tag)
    named = [s for s in program.main.inputs[0].type.shape if not isinstance(s, int)]
    if named:
        hint = f"give it: `--size {named[0]}=32`"
        raise DataError("symbolic-size", f"`standardize = {per}` needs a net whose images have one size", hint)
    for step in recipe.augment if isinstance(component, Image) else ():
        if isinstance(step, Cutout) or (isinstance(step, RandomErasing) and step.value != "mean"):
            name = step.__struct_config__.tag
            message = f"`{name}` writes what the net sees as the mean, which is every image's own here"
            raise DataError("not-supported", message, "use `random_erasing(value=mean)`, or `standardize = channel`")
    return (0.0, 1.0), per


def pixel_statistics(split: Split, component: Pixel, workers: int | str = 0) -> tuple[Tensor, Tensor]:
    """Mean and deviation [C, H, W] over a split; the deviation is 1 without `scale`, and where it is nearly 0."""
    parts = measured(split)
    count = sum(map(len, parts))

    def averaged(power: int, less: Tensor | float) -> Tensor:
        sums = ((x.double() - less).pow(power).sum(0) for (x, *_), _ in split.batches(parts, workers))
        return sum(sums, torch.zeros((), dtype=torch.float64)) / count

    mean = averaged(1, 0.0)
    if not component.scale:
        return mean.float(), torch.ones_like(mean).float()
    std = averaged(2, mean).sqrt()
    return mean.float(), torch.where(std < 1e-3, torch.ones_like(std), std).float()


def _layer(module: nn.Module, program: Program) -> nn.Module | None:
    """The layer of the net that standardises with numbers of its own."""
    for step in program.main.steps:
        if isinstance(step.callee, Op) and step.callee.kind == NAME and step.layer is not None:
            layer = module.get_submodule(step.layer)
            return layer if hasattr(layer, "mean") else None
    return None


def keep(module: nn.Module, program: Program, numbers: tuple[Tensor, Tensor]) -> None:
    """Put statistics into the net."""
    layer = _layer(module, program)
    assert layer is not None
    for name, value in zip(("mean", "std"), numbers, strict=True):
        layer.get_buffer(name).copy_(value)


def kept_statistics(module: nn.Module, program: Program) -> tuple[Tensor, Tensor] | None:
    """The numbers with which the net standardises, where they are not each image's own."""
    layer = _layer(module, program)
    return (layer.get_buffer("mean"), layer.get_buffer("std")) if layer is not None else None
