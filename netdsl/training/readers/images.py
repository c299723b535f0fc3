"""Images as they are stored, opened one by one: what of them becomes a sample."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from netdsl.recipe import sources
from netdsl.training.data.dataset import Cut, DataError, Split
from netdsl.training.data.prefetch import in_process

THREADS = 8


class Images:
    """Images that are opened by number, and how they become tensors: what a process that reads holds."""

    def __init__(self, open_one: Callable[[int], Any], view: View) -> None:
        self.open = open_one
        self.view = view

    def read(self, index: Tensor) -> tuple[Tensor, ...]:
        """The images as they are evaluated, uint8 [B, C, H, W]. Raises DataError for what is not an image."""
        return (stacked(lambda i: self.view(self.open(i)), index.tolist()),)

    def cut(self, index: Tensor, how: Cut) -> Tensor:
        """The parts of the whole images that a batch shows, uint8 [B, C, size, size]."""
        chosen = index.tolist()
        return stacked(lambda at: self.view.cut(self.open(chosen[at]), at, how), range(len(chosen)))

    def split(self, target: Tensor) -> Split:
        return Split((), target, self.read, self.cut)


def stacked(function: Callable[[int], Tensor], each: Any) -> Tensor:
    """A tensor for each, one after the other in a process that reads; Pillow decodes several at once elsewhere."""
    if in_process():
        return torch.stack([function(i) for i in each])
    with ThreadPoolExecutor(THREADS) as pool:
        return torch.stack(list(pool.map(function, each)))


class View:
    """How an image becomes a tensor: shorter side to `resize`, the middle `crop` of it (or all of it, squeezed to that
    square: `warp`), 1 or 3 channels."""

    def __init__(
        self,
        shape: tuple[int, ...],
        resize: int = 0,
        crop: int = 0,
        interpolation: str = "bilinear",
        warp: bool = False,
    ) -> None:
        if len(shape) != 3 or shape[0] not in (1, 3):
            hint = "declare an input such as `input image [3, 32, 32]`"
            raise DataError(
                "unfit-input", f"images have 1 or 3 channels, a height and a width; the net takes {list(shape)}", hint
            )
        if resize and not crop and resize < max(shape[1:]):
            raise DataError("unfit-size", f"`resize` {resize} is smaller than what the net takes, {max(shape[1:])}")
        if crop and 0 not in shape[1:] and tuple(shape[1:]) != (crop, crop):
            takes = " x ".join(map(str, shape[1:]))
            hint = f"leave `crop` out, or write `crop={shape[1]}`; sizes that a net names are set by `--size`"
            raise DataError("unfit-size", f"`crop={crop}` cuts {crop} x {crop} pixels, and the net takes {takes}", hint)
        self.channels = shape[0]
        self.size = (crop, crop) if crop else shape[1:3]
        self.resize = resize
        self.interpolation = interpolation
        self.warp = warp

    @classmethod
    def of(cls, source: sources.Images, shape: tuple[int, ...]) -> View:
        """How images of a source are resized and cut for a net that takes `shape`."""
        return cls(shape, source.resize, source.crop, source.interpolation, source.fit == "warp")

    def __call__(self, image: Any) -> Tensor:
        """uint8 [C, H, W] of an open image with the right channels: torchvision's Resize and CenterCrop."""
        height, width = self.size
        if self.warp:
            return self._tensor(_resized(image, (width, height), self.interpolation))
        image = self._scaled(image)
        left, top = round((image.width - width) / 2), round((image.height - height) / 2)
        return self._tensor(image.crop((left, top, left + width, top + height)))

    def cut(self, image: Any, i: int, how: Cut) -> Tensor:
        """The part of an image that the i-th of a batch shows, uint8 [C, size, size]."""
        image = self._scaled(image) if how.scaled else image
        top, left, height, width = how.box(i, image.height, image.width)
        part = image.crop((left, top, left + width, top + height))
        return self._tensor(_resized(part, (how.size, how.size), how.interpolation))

    def _scaled(self, image: Any) -> Any:
        """The image with its shorter side as `resize` says, or as small as covers the cut; the other side's length is
        cut to whole pixels, as torchvision does."""
        height, width = self.size
        if self.resize:
            by_height, side = image.height < image.width, self.resize
        else:
            by_height = height * image.width > width * image.height
            side = height if by_height else width
        known, other = (image.height, image.width) if by_height else (image.width, image.height)
        along = int(side * other / known)
        size = (max(width, along), side) if by_height else (side, max(height, along))
        return _resized(image, size, self.interpolation)

    def _tensor(self, image: Any) -> Tensor:
        pixels = np.asarray(image)
        return torch.from_numpy(pixels.copy()).reshape(image.height, image.width, self.channels).permute(2, 0, 1)


def _resized(image: Any, size: tuple[int, int], interpolation: str) -> Any:
    """An image at another (width, height), antialiased."""
    from PIL import Image

    return image if image.size == size else image.resize(size, Image.Resampling[interpolation.upper()])


def filled(shape: tuple[int, ...], first: Any) -> tuple[int, ...]:
    """A net's input shape, whose open sizes (0) are those of the first image."""
    return (shape[0], shape[1] or first.height, shape[2] or first.width)


def open_image(file: str | Path | BinaryIO, channels: int, name: str = "") -> Any:
    """An image with 1 or 3 channels. `name`: what it is called where it is not a file. Raises DataError."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as image:
            return _levels(image).convert("L" if channels == 1 else "RGB")
    except UnidentifiedImageError:
        raise DataError("unreadable-data", f"{name or file} is not an image that can be read") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError("unreadable-data", f"{name or file} is not an image that can be read: {error}") from None


def _levels(image: Any) -> Any:
    """An image with 256 levels; of 16 bits the first eight stay, where Pillow would cut values off at 255."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers")
    if not image.mode.startswith("I;16") and image.mode != "I":
        return image
    return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))
