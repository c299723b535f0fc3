"""Images cut from whole files: what the first augmentation does where a batch cannot hold the whole images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch

from netdsl.recipe.augmentations import Crop, RandomResizedCrop, ScaleJitter
from netdsl.training.augment.geometry import boxes_of, crop_draws, jitter_draws, jittered
from netdsl.training.augment.pipeline import Pipeline
from netdsl.training.augment.registry import Frame
from netdsl.training.data.dataset import Cut, DataError, Part
from netdsl.training.rng import KeyedRng


def cuts(components: Sequence[Any]) -> bool:
    """Whether the first augmentation cuts a part from an image: `random_resized_crop`, `scale_jitter`, or
    `crop(size)`."""
    component = components[0] if components else None
    return isinstance(component, RandomResizedCrop | ScaleJitter) or (
        isinstance(component, Crop) and bool(component.size) and not component.padding
    )


def first_cut(pipeline: Pipeline, draws: KeyedRng, epoch: int) -> Cut | None:
    """The cut of the first augmentation, or None where it does not cut.

    `random_resized_crop` and `scale_jitter` cut from the image of the file, `crop(size)` from the image resized as for
    evaluation.
    `draws`: the random keys of the batch.
    """
    if not cuts(pipeline.components):
        return None
    component, on_cpu = pipeline.components[0], KeyedRng(draws.base, draws.samples.cpu())
    frame = pipeline.frame(0, on_cpu, epoch)
    if isinstance(component, RandomResizedCrop):
        return Cut(_resized_boxes(component, frame), component.size, component.interpolation, scaled=False)
    if isinstance(component, ScaleJitter):
        fill = round(component.fill * 255)
        return Cut(_jittered(component, frame), component.size, component.interpolation, scaled=False, fill=fill)
    return Cut(_boxes(component, frame), component.size, "bilinear", scaled=True)


def _resized_boxes(component: RandomResizedCrop, frame: Frame) -> Callable[[int, int, int], Part]:
    """The boxes of a batch are computed together for each size that its images have: a data set has few."""
    draws = crop_draws(component, frame)

    @cache
    def boxes(height: int, width: int) -> list[list[float]]:
        return torch.stack(boxes_of(component, height, width, draws), 1).tolist()

    size = component.size

    def part(i: int, height: int, width: int) -> Part:
        top, left, h, w = (int(x) for x in boxes(height, width)[i])
        return Part((top, left, h, w), (size, size), (0, 0, size, size))

    return part


def _jittered(component: ScaleJitter, frame: Frame) -> Callable[[int, int, int], Part]:
    draws = jitter_draws(component, frame)

    @cache
    def sizes(height: int, width: int) -> list[list[int]]:
        return torch.stack(jittered(component, height, width, draws), 1).tolist()

    def part(i: int, height: int, width: int) -> Part:
        top, left, h, w = sizes(height, width)[i]
        shown = min(h, component.size), min(w, component.size)
        return Part((0, 0, height, width), (h, w), (top, left, *shown))

    return part


def _boxes(component: Crop, frame: Frame) -> Callable[[int, int, int], Part]:
    size, spare = component.size, frame.uniform("corner", 2).tolist()

    def part(i: int, height: int, width: int) -> Part:
        if size > min(height, width):
            raise DataError("unfit-size", f"`crop({size})` is larger than an image of {height} x {width}")
        box = int(spare[i][0] * (height - size + 1)), int(spare[i][1] * (width - size + 1)), size, size
        return Part(box, (size, size), (0, 0, size, size))

    return part
