"""Images cut from whole files: what the first augmentation does where a batch cannot hold the whole images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch

from netdsl.recipe.augmentations import Crop, RandomResizedCrop
from netdsl.training.augment.geometry import boxes_of, crop_draws
from netdsl.training.augment.pipeline import Pipeline
from netdsl.training.augment.registry import Frame
from netdsl.training.data.dataset import Box, Cut, DataError
from netdsl.training.rng import KeyedRng


def cuts(components: Sequence[Any]) -> bool:
    """Whether the first augmentation cuts a part from an image: `random_resized_crop`, or `crop(size)`."""
    component = components[0] if components else None
    return isinstance(component, RandomResizedCrop) or (
        isinstance(component, Crop) and bool(component.size) and not component.padding
    )


def first_cut(pipeline: Pipeline, draws: KeyedRng, epoch: int) -> Cut | None:
    """The cut of the first augmentation, or None where it does not cut.

    `random_resized_crop` cuts from the image of the file, `crop(size)` from the image resized as for evaluation.
    `draws`: the random keys of the batch.
    """
    if not cuts(pipeline.components):
        return None
    component, on_cpu = pipeline.components[0], KeyedRng(draws.base, draws.samples.cpu())
    frame = pipeline.frame(0, on_cpu, epoch)
    if isinstance(component, RandomResizedCrop):
        return Cut(_resized_boxes(component, frame), component.size, component.interpolation, scaled=False)
    return Cut(_boxes(component, frame), component.size, "bilinear", scaled=True)


def _resized_boxes(component: RandomResizedCrop, frame: Frame) -> Callable[[int, int, int], Box]:
    """The boxes of a batch are computed together for each size that its images have: a data set has few."""
    draws = crop_draws(component, frame)

    @cache
    def boxes(height: int, width: int) -> list[list[float]]:
        return torch.stack(boxes_of(component, height, width, draws), 1).tolist()

    def box(i: int, height: int, width: int) -> Box:
        top, left, h, w = (int(part) for part in boxes(height, width)[i])
        return top, left, h, w

    return box


def _boxes(component: Crop, frame: Frame) -> Callable[[int, int, int], Box]:
    size, spare = component.size, frame.uniform("corner", 2).tolist()

    def box(i: int, height: int, width: int) -> Box:
        if size > min(height, width):
            raise DataError("unfit-size", f"`crop({size})` is larger than an image of {height} x {width}")
        return int(spare[i][0] * (height - size + 1)), int(spare[i][1] * (width - size + 1)), size, size

    return box
