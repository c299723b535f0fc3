"""Segmentation pairs: images and masks side by side, read from their files while the net trains."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from netdsl.inference.images import images_below
from netdsl.recipe.sources import MaskFolder
from netdsl.training.data.dataset import DataError, DataSet, Split
from netdsl.training.readers.images import THREADS, Images, View, stacked
from netdsl.training.readers.listing import known, open_one, subfolder
from netdsl.training.readers.registry import READERS


@READERS.of(MaskFolder)
def read(source: MaskFolder, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    root = base / source.folder
    folders = subfolder(root, "train"), subfolder(root, "val", "test")
    view = View(known(shape, folders[0] / "images"))
    pairs = [_pairs(folder) for folder in folders]
    count = _classes(source, pairs)
    if source.classes and count > len(source.classes):
        names = f"`classes` names {len(source.classes)}"
        raise DataError("unknown-class", f"the masks of {source.folder} have class {count - 1}, and {names}")
    classes = source.classes or tuple(map(str, range(count)))
    dtype = torch.int8 if count <= 128 else torch.int16
    splits = [Masked(tuple(images), tuple(masks), view, source.ignore, dtype).split() for images, masks in pairs]
    return DataSet(source.folder, splits[0], splits[1], task="mask", classes=classes)


def _pairs(folder: Path) -> tuple[list[str], list[str]]:
    """The images of a split, and the mask of each."""
    images = images_below(subfolder(folder, "images"))
    masks = {Path(p).stem: p for p in images_below(subfolder(folder, "masks"))}
    alone = [p for p in images if Path(p).stem not in masks]
    if alone:
        raise DataError("unpaired-samples", f"{folder}: no mask for {Path(alone[0]).name}")
    if not images:
        raise DataError("no-samples", f"{folder / 'images'} has no images")
    return images, [masks[Path(p).stem] for p in images]


def _classes(source: MaskFolder, pairs: list[tuple[list[str], list[str]]]) -> int:
    """The number of classes in some masks, which are looked at one by one.

    Raises DataError for masks whose values cannot be class numbers: 0 and 255 for two classes.
    """
    seen: set[int] = set()
    with ThreadPoolExecutor(THREADS) as pool:
        for images, masks in pairs:
            for values in pool.map(_values, masks, images):
                seen |= values
    found = sorted(seen - {source.ignore})
    if not found or (len(found) < found[-1] + 1 and found[-1] > 1 + 2 * len(found)):
        listed = ", ".join(map(str, found[:5])) + (" ..." if len(found) > 5 else "")
        hint = "classes are 0, 1, 2 ...; `ignore=255` leaves out what has no class"
        raise DataError("data-value", f"the masks of {source.folder} hold the values {listed or 'of no class'}", hint)
    return found[-1] + 1


def _values(file: str, image: str) -> set[int]:
    """The values of a mask's pixels."""
    from PIL import Image

    with opened(file) as mask:
        with Image.open(image) as other:
            if mask.size != other.size:
                sizes = (f"{p.width} x {p.height}" for p in (mask, other))
                raise DataError("unpaired-samples", "{} is {}, and its image {}".format(file, *sizes))
        counts: list[int] = mask.histogram()
        return {min(value, 1) if mask.mode == "1" else value for value, n in enumerate(counts) if n}


@contextmanager
def opened(file: str) -> Iterator[Any]:
    """A mask's image. Raises DataError for what is none."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            if image.mode not in ("P", "L", "1"):
                hint = "save it in grey or palette values"
                raise DataError(
                    "data-type", f"{file} has colours ({image.mode}), and a mask's pixels are class numbers", hint
                )
            yield image
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError("unreadable-data", f"{file} is not an image that can be read: {error}") from None


class Masked:
    """Images and their masks by number; what a process that reads holds."""

    def __init__(
        self, images: tuple[str, ...], masks: tuple[str, ...], view: View, ignore: int | None, dtype: torch.dtype
    ) -> None:
        self.images = Images(partial(open_one, images, view.channels), view)
        self.masks = masks
        self.view = View((1, *view.size), interpolation="nearest")
        self.ignore, self.dtype = ignore, dtype

    def read(self, index: Tensor) -> tuple[Tensor, ...]:
        """The images, uint8 [B, C, H, W], and their masks, [B, H, W]. Raises DataError."""
        return (*self.images.read(index), stacked(self.mask, index.tolist()))

    def mask(self, i: int) -> Tensor:
        """Class numbers [H, W] of the i-th mask: palette or grey values as they are, never blended; -1 for none."""
        with opened(self.masks[i]) as image:
            pixels = self.view(image)[0].to(torch.int16)
        return (pixels if self.ignore is None else torch.where(pixels == self.ignore, -1, pixels)).to(self.dtype)

    def split(self) -> Split:
        return Split((), torch.empty(len(self.masks), 0, 0, dtype=self.dtype), self.read, reads_target=True)
