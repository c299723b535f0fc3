"""Images cut from whole files: what the first augmentation does where a batch cannot hold the whole images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netdsl.recipe.augmentations import Crop, RandomResizedCrop
from netdsl.training.augment.geometry import crop_boxes
from netdsl.training.augment.pipeline import Pipeline
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
    component = pipeline.components[0]
    samples = draws.samples.cpu()

    def box(i: int, height: int, width: int) -> Box:
        frame = pipeline.frame(0, KeyedRng(draws.base, samples[i : i + 1]), epoch)
        if isinstance(component, RandomResizedCrop):
            top, left, h, w = (int(part) for part in crop_boxes(component, height, width, frame))
            return top, left, h, w
        assert isinstance(component, Crop)
        if component.size > min(height, width):
            raise DataError("unfit-size", f"`crop({component.size})` is larger than an image of {height} x {width}")
        spare = frame.uniform("corner", 2)[0].tolist()
        return (
            int(spare[0] * (height - component.size + 1)),
            int(spare[1] * (width - component.size + 1)),
            component.size,
            component.size,
        )

    if isinstance(component, RandomResizedCrop):
        return Cut(box, component.size, component.interpolation, scaled=False)
    return Cut(box, component.size, "bilinear", scaled=True)
