"""Masks that a net predicts, as PNG files: their places, sizes and colours."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from msgspec import Struct

from netdsl.inference.errors import DataError
from netdsl.inference.images import Frame
from netdsl.inference.samples import Sample
from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import MaskFolder

VOID = 255
"""The class number of pixels that the net has not seen, as in the masks of PASCAL VOC."""


class MaskFile(Struct, frozen=True):
    """Where a mask is written, and where in its image the net saw it; without a `frame` it keeps the net's size."""

    path: Path
    frame: Frame | None


class MaskFiles:
    """The masks of a prediction in one folder. `net_size`: each as large as the net's output, not as its image."""

    def __init__(self, folder: Path, net_size: bool) -> None:
        self.folder = folder
        self.net_size = net_size
        self._given: set[Path] = set()

    def of(self, sample: Sample, output: str = "") -> MaskFile:
        """The file for a sample's mask; that of another output is called by it too. Raises DataError where it would
        replace another's, or the image that it is of."""
        path = self.folder / f"{_stem(sample.name)}{output and '-'}{output}.png"
        if path in self._given:
            message = f"two samples have the mask {path}: the second is {sample.name}"
            raise DataError("unpaired-samples", message, "predict them into different folders")
        if path.exists() and os.path.realpath(path) == os.path.realpath(sample.name):
            message = f"the mask of {sample.name} would be written over it"
            raise DataError("cannot-write", message, "name another folder")
        self._given.add(path)
        return MaskFile(path, None if self.net_size else sample.frame)


def _stem(name: str) -> str:
    path, _, row = name.rpartition(":")
    return f"{Path(path).stem}-{row}" if path and row.isdigit() else Path(name).stem


def write_mask(file: MaskFile, classes: np.ndarray, recipe: Recipe) -> None:
    """A PNG file whose pixels are class numbers [H, W], shown in the colours of the masks that a run was trained on."""
    from PIL import Image

    whole = classes if file.frame is None else _in_image(classes, file.frame)
    image = Image.fromarray(whole)
    image.putpalette(class_colors(recipe))
    image.save(file.path)


def _in_image(classes: np.ndarray, frame: Frame) -> np.ndarray:
    """The mask of the whole image, without blending, of that of what the net saw of it; VOID where it saw nothing.

    Where unpadded convolutions have cost the border, a mask is the middle of what was seen.
    """
    size = classes.shape[::-1]
    found = np.full(frame.file[::-1], VOID, np.uint8)
    (columns, wide), (rows, high) = (
        _seen(*each) for each in zip(size, frame.size, frame.corner, frame.scaled, frame.file, strict=True)
    )
    found[np.ix_(rows, columns)] = classes[np.ix_(high, wide)]
    return found


def _seen(size: int, of: int, corner: int, scaled: int, whole: int) -> tuple[np.ndarray, np.ndarray]:
    """Along an axis of `whole` pixels, those whose middle lies in a mask of `size`, and the mask's pixel of each. The
    mask is the middle of `of` pixels, which begin at `corner` of the `scaled` ones."""
    at = np.arange(whole)
    pixel = (2 * at + 1) * scaled // (2 * whole) - corner - (of - size) // 2
    inside = (pixel >= 0) & (pixel < size)
    return at[inside], pixel[inside]


def class_colors(recipe: Recipe) -> list[int]:
    """The colours of all numbers, three levels each: of classes, and of what has none, those of the masks that a run
    was trained on, else those of PASCAL VOC."""
    found, own = palette(), recipe.data
    named = list(enumerate(own.colors)) if isinstance(own, MaskFolder) else []
    if isinstance(own, MaskFolder) and own.ignore_color is not None:
        named.append((VOID, own.ignore_color))
    for number, color in named:
        found[3 * number : 3 * number + 3] = (int(color[at : at + 2], 16) for at in (1, 3, 5))
    return found


def palette() -> list[int]:
    """The colours of PASCAL VOC: bits of a class number, from the highest bits of each channel down."""
    colours = []
    for number in range(256):
        channels = [0, 0, 0]
        for bit in range(8):
            for c in range(3):
                channels[c] |= (number >> (3 * bit + c) & 1) << (7 - bit)
        colours += channels
    return colours
