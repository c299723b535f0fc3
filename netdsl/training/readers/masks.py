"""Segmentation pairs: images and masks side by side, read from their files while the net trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor

from netdsl.inference.images import images_below, opened
from netdsl.recipe.sources import MaskFolder
from netdsl.training.data.dataset import Cut, DataError, DataSet, Split
from netdsl.training.data.validation import nothing_counts
from netdsl.training.readers.images import THREADS, Images, View, stacked
from netdsl.training.readers.listing import grouped, groups_of, known, open_one, subfolder
from netdsl.training.readers.registry import READERS


@READERS.of(MaskFolder)
def read(source: MaskFolder, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    root = base / source.folder
    folders = subfolder(root, "train"), subfolder(root, "val", "test")
    shape = shape if source.crop else known(shape, folders[0] / "images")
    pairs = [_pairs(folder) for folder in folders]
    values = Values(source)
    count = _classes(source, values, pairs)
    if source.classes and count > len(source.classes):
        names = f"`classes` names {len(source.classes)}"
        raise DataError("unknown-class", f"the masks of {source.folder} have class {count - 1}, and {names}")
    classes = source.classes or tuple(map(str, range(count)))
    dtype = torch.int8 if count <= 128 else torch.int16
    splits = [Masked(tuple(i), tuple(m), source, shape, values, dtype).split() for i, m in pairs]
    found = DataSet(source.folder, splits[0], splits[1], task="mask", classes=classes)
    if not source.group:
        return found
    return grouped(found, *(groups_of(i, f / "images", source.group) for f, (i, _) in zip(folders, pairs, strict=True)))


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


class Values:
    """The meaning of the pixels of masks: class numbers, or colours of classes."""

    def __init__(self, source: MaskFolder) -> None:
        self.ignore, self.void = source.ignore, -1
        self.colors = [int(color[1:], 16) for color in source.colors]
        self.known = list(self.colors)
        if source.ignore_color:
            self.void = int(source.ignore_color[1:], 16)
            self.known.append(self.void)

    @contextmanager
    def opened(self, file: str) -> Iterator[Any]:
        """A mask's image, in colours where classes are colours. Raises DataError for what is none."""
        from PIL import UnidentifiedImageError

        try:
            with opened(file) as image:
                if not self.colors and image.mode not in ("P", "L", "1"):
                    raise in_colors(file, image)
                yield image.convert("RGB") if self.colors else image
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
            raise DataError("unreadable-data", f"{file} is not an image that can be read: {error}") from None

    def seen(self, file: str, mask: Any) -> set[int]:
        """The classes in a mask. Raises DataError for a colour that is none of them."""
        if not self.colors:
            counts: list[int] = mask.histogram()
            found = {min(value, 1) if mask.mode == "1" else value for value, n in enumerate(counts) if n}
            return found - {self.ignore}
        colors = set(np.unique(_codes(torch.from_numpy(np.asarray(mask).copy()).permute(2, 0, 1)).numpy()).tolist())
        new = sorted(colors - set(self.known))
        if new:
            shown = ", ".join(f"`#{c:06x}`" for c in new[:5]) + (" ..." if len(new) > 5 else "")
            hint = "add it to `colors`, or as `ignore_color` what has no class; JPEG files do not keep colours"
            raise DataError("unknown-class", f"{file} has {shown}, the colour of no class", hint)
        return {self.colors.index(c) for c in colors if c != self.void}

    def classes(self, pixels: Tensor) -> Tensor:
        """Class numbers [H, W] of a mask's pixels [C, H, W], -1 for none."""
        if not self.colors:
            found = pixels[0].to(torch.int16)
            return found if self.ignore is None else torch.where(found == self.ignore, -1, found)
        codes = _codes(pixels)
        result = torch.full(codes.shape, -1, dtype=torch.int16)
        for number, color in enumerate(self.colors):
            result[codes == color] = number
        return result


def _codes(pixels: Tensor) -> Tensor:
    """Colours [3, H, W] as one number each, 0xRRGGBB."""
    return (pixels.to(torch.int32) * torch.tensor([1 << 16, 1 << 8, 1], dtype=torch.int32).view(3, 1, 1)).sum(0)


def in_colors(file: str, image: Any) -> DataError:
    """The mistake of a mask in colours, with the colours as they could be written."""
    from PIL import Image

    found = image.convert("RGB").resize((32, 32), Image.Resampling.NEAREST).getcolors(32 * 32) or []
    listed = ", ".join('"#{:02x}{:02x}{:02x}"'.format(*color) for _, color in sorted(found, reverse=True)[:4])
    message = f"{file} has colours ({image.mode}), and a mask's pixels are class numbers"
    return DataError("data-type", message, f"say which class each colour is: `colors=[{listed}]`")


def _classes(source: MaskFolder, values: Values, pairs: list[tuple[list[str], list[str]]]) -> int:
    """The number of classes in some masks, to train and to test on, which are looked at one by one.

    Raises DataError for masks whose values cannot be class numbers, 0 and 255 for two classes, and for void alone.
    """
    parts: list[set[int]] = []
    with ThreadPoolExecutor(THREADS) as pool:
        for images, masks in pairs:
            parts.append(set[int]().union(*pool.map(partial(_seen, values), masks, images)))
    numbers = sorted(set[int]().union(*parts))
    for purpose, found in zip(("train", "test"), parts, strict=True):
        if not found and (numbers or source.colors):
            raise nothing_counts(source.folder, purpose, "all pixels are void")
    if source.colors:
        return len(source.colors)
    if not numbers or (len(numbers) < numbers[-1] + 1 and numbers[-1] > 1 + 2 * len(numbers)):
        raise _no_numbers(source.folder, numbers)
    return numbers[-1] + 1


def _no_numbers(folder: str, values: list[int]) -> DataError:
    """The mistake of masks whose values are no class numbers, such as levels of grey."""
    listed = ", ".join(map(str, values[:5])) + (" ..." if len(values) > 5 else "")
    hint = "classes are 0, 1, 2 ...; `ignore=255` leaves out what has no class"
    if 1 < len(values) < 9:
        colors = ", ".join(f'"#{v:02x}{v:02x}{v:02x}"' for v in values)
        hint += f"; levels that are classes are their colours: `colors=[{colors}]`"
    return DataError("data-value", f"the masks of {folder} hold the values {listed or 'of no class'}", hint)


def _seen(values: Values, file: str, image: str) -> set[int]:
    """The classes in a mask, which is as large as its image."""
    with values.opened(file) as mask:
        with opened(image) as other:
            if mask.size != other.size:
                sizes = (f"{p.width} x {p.height}" for p in (mask, other))
                raise DataError("unpaired-samples", "{} is {}, and its image {}".format(file, *sizes))
        return values.seen(file, mask)


class Masked:
    """Images and their masks by number; what a process that reads holds."""

    def __init__(
        self,
        images: tuple[str, ...],
        masks: tuple[str, ...],
        source: MaskFolder,
        shape: tuple[int, ...],
        values: Values,
        dtype: torch.dtype,
    ) -> None:
        view = View.of(source, shape)
        self.images = Images(partial(open_one, images, view.channels), view)
        self.masks, self.values, self.dtype = masks, values, dtype
        channels = 3 if values.colors else 1
        self.view = View.of(replace(source, interpolation="nearest"), (channels, *shape[1:]))

    def read(self, index: Tensor) -> tuple[Tensor, ...]:
        """The images, uint8 [B, C, H, W], and their masks, [B, H, W]. Raises DataError."""
        return (*self.images.read(index), stacked(lambda i: self._mask(i, self.view), index.tolist()))

    def cut(self, index: Tensor, how: Cut) -> tuple[Tensor, ...]:
        """The parts of whole images that a batch shows, and the same parts of their masks."""
        chosen, sharp = index.tolist(), replace(how, interpolation="nearest")

        def mask(at: int) -> Tensor:
            return how.filled(self._mask(chosen[at], lambda image: self.view.cut(image, at, sharp)), -1)

        return (*self.images.cut(index, how), stacked(mask, range(len(chosen))))

    def _mask(self, i: int, view: Callable[[Any], Tensor]) -> Tensor:
        """Class numbers [H, W] of what is seen of the i-th mask, never blended; -1 for none."""
        with self.values.opened(self.masks[i]) as image:
            return self.values.classes(view(image)).to(self.dtype)

    def split(self) -> Split:
        target = torch.empty(len(self.masks), 0, 0, dtype=self.dtype)
        return Split((), target, self.read, self.cut, reads_target=True, cuts_target=True)
