"""Images cut from whole files: what the first word of `augment` does where a batch cannot hold the whole images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from netdsl.recipe.augmentations import Crop, RandomResizedCrop
from netdsl.training.augment.geometry import crop_boxes
from netdsl.training.augment.pipeline import Pipeline
from netdsl.training.data.dataset import Box, Cut, DataError
from netdsl.training.rng import KeyedRng


def cuts(words: Sequence[Any]) -> bool:
    """Whether the first word cuts a part from an image: `random_resized_crop`, or `crop(size)`."""
    word = words[0] if words else None
    return isinstance(word, RandomResizedCrop) or (isinstance(word, Crop) and bool(word.size) and not word.padding)


def first_cut(pipeline: Pipeline, draws: KeyedRng, epoch: int) -> Cut | None:
    """How the first word cuts a part from an image, if that is what it does: `random_resized_crop` from the file's,
    `crop(size)` from the one resized as for evaluation. `draws`: those of the batch."""
    if not cuts(pipeline.words):
        return None
    word = pipeline.words[0]
    samples = draws.samples.cpu()

    def box(i: int, height: int, width: int) -> Box:
        frame = pipeline.frame(0, KeyedRng(draws.base, samples[i : i + 1]), epoch)
        if isinstance(word, RandomResizedCrop):
            top, left, h, w = (int(part) for part in crop_boxes(word, height, width, frame))
            return top, left, h, w
        assert isinstance(word, Crop)
        if word.size > min(height, width):
            raise DataError("unfit-size", f"`crop({word.size})` is larger than an image of {height} x {width}")
        spare = frame.uniform("corner", 2)[0].tolist()
        return int(spare[0] * (height - word.size + 1)), int(spare[1] * (width - word.size + 1)), word.size, word.size

    if isinstance(word, RandomResizedCrop):
        return Cut(box, word.size, word.interpolation, scaled=False)
    return Cut(box, word.size, "bilinear", scaled=True)
