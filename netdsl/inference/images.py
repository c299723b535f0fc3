"""Images as a net sees them: which files there are, how one is opened, resized and cut."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from msgspec import Struct

from netdsl.inference.errors import DataError
from netdsl.recipe import sources

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}


class Frame(Struct, frozen=True):
    """Where in an image lies what a net sees of it, as (width, height): the image is `file` large, is resized to
    `scaled`, and of that a window of `size` is cut at `corner` (left, top)."""

    file: tuple[int, int]
    scaled: tuple[int, int]
    corner: tuple[int, int]
    size: tuple[int, int]


class ImageView:
    """How an image becomes an array: shorter side to `resize`, the middle `crop` of it (or all of it, squeezed to that
    square: `warp`), 1 or 3 channels."""

    def __init__(
        self,
        shape: tuple[int, ...],
        resize: int = 0,
        crop: int = 0,
        interpolation: str = "bilinear",
        warp: bool = False,
        reduced: bool = False,
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
        self.reduced = reduced

    @classmethod
    def of(cls, source: sources.Images, shape: tuple[int, ...]) -> Self:
        """How images of a source are resized and cut for a net that takes `shape`."""
        return cls(shape, source.resize, source.crop, source.interpolation, source.fit == "warp", source.reduced)

    def pixels(self, image: Any) -> np.ndarray:
        """uint8 [C, H, W] of an open image with the right channels: torchvision's Resize and CenterCrop."""
        frame = self.frame(*whole_size(image))
        image = resized(image, frame.scaled, self.interpolation)
        (left, top), (width, height) = frame.corner, frame.size
        return self.array(image if image.size == frame.size else image.crop((left, top, left + width, top + height)))

    def frame(self, wide: int, high: int) -> Frame:
        """Where in an image of `wide` by `high` lies what is seen of it."""
        height, width = self.size
        scaled = (width, height) if self.warp else self._scaled(wide, high)
        corner = round((scaled[0] - width) / 2), round((scaled[1] - height) / 2)
        return Frame((wide, high), scaled, corner, (width, height))

    def scaled(self, image: Any) -> Any:
        """The image with its shorter side as `resize` says, or as small as covers the cut; the other side's length is
        cut to whole pixels, as torchvision does."""
        return resized(image, self._scaled(*whole_size(image)), self.interpolation)

    def _scaled(self, wide: int, high: int) -> tuple[int, int]:
        """The width and height that an image of `wide` by `high` is resized to before it is cut."""
        height, width = self.size
        if self.resize:
            by_height, side = high < wide, self.resize
        else:
            by_height = height * wide > width * high
            side = height if by_height else width
        known, other = (high, wide) if by_height else (wide, high)
        along = int(side * other / known)
        return (max(width, along), side) if by_height else (side, max(height, along))

    @property
    def least(self) -> Least | None:
        """The size that `open_image` needs to decode of an image seen as a whole, by its own; None for all of it."""
        if not self.reduced:
            return None
        return (lambda wide, high: (self.size[1], self.size[0])) if self.warp else self._scaled

    def array(self, image: Any) -> np.ndarray:
        """An image's pixels, uint8 [C, H, W]."""
        planes = bytearray().join(image.tobytes("raw", band) for band in image.getbands())
        return np.frombuffer(planes, np.uint8).reshape(self.channels, image.height, image.width)


def resized(
    image: Any, size: tuple[int, int], interpolation: str, box: tuple[float, float, float, float] | None = None
) -> Any:
    """An image, or a box (left, top, right, bottom) of it, at another (width, height), antialiased."""
    from PIL import Image

    if box is None and image.size == size:
        return image
    return image.resize(size, Image.Resampling[interpolation.upper()], box)


def filled(shape: tuple[int, ...], first: Any) -> tuple[int, ...]:
    """A net's input shape, whose open sizes (0) are those of the first image."""
    return (shape[0], shape[1] or first.height, shape[2] or first.width)


WHOLE = "whole size"
"""Under this name an image that may have been decoded smaller knows the width and height of its file."""


def whole_size(image: Any) -> tuple[int, int]:
    """The width and height that an image has in its file, by which it is cut and resized: its mask, too."""
    found: tuple[int, int] = image.info.get(WHOLE, image.size)
    return found


def opened(file: str | Path | BinaryIO) -> Any:
    """Pillow's image of a file, before it is decoded. Raises ValueError for more pixels than Pillow decodes."""
    from PIL import Image

    if not any(f[2] is Image.DecompressionBombWarning for f in warnings.filters):  # of half as many; they are decoded
        warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    try:
        return Image.open(file)
    except Image.DecompressionBombError:
        raise ValueError(f"it has more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels") from None


Least = Callable[[int, int], tuple[int, int]]
"""The width and height that are needed of an image of a width and height."""


def open_image(file: str | Path | BinaryIO, channels: int, name: str = "", least: Least | None = None) -> Any:
    """An image with 1 or 3 channels. `name`: what it is called where it is not a file. `least`: a JPEG file may be
    decoded at a half, a quarter or an eighth of its size that is no smaller. Raises DataError."""
    from PIL import UnidentifiedImageError

    try:
        with opened(file) as image:
            if least is not None:
                image.info[WHOLE] = image.size
                image.draft(None, least(*image.size))
            if channels == 3 and image.mode == "RGB":
                image.load()  # `convert` would copy it; (grey pixels may be mapped from the file, and need the copy)
                return image
            return _levels(image).convert("L" if channels == 1 else "RGB")
    except UnidentifiedImageError:
        raise DataError("unreadable-data", f"{name or file} is not an image that can be read") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError("unreadable-data", f"{name or file} is not an image that can be read: {error}") from None


def _levels(image: Any) -> Any:
    """An image with 256 levels; of 16 bits the first eight stay, where Pillow would cut values off at 255."""
    from PIL import Image

    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers")
    if not image.mode.startswith("I;16") and image.mode != "I":
        return image
    return Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8))


def images_below(folder: str | Path) -> list[str]:
    """The images in a folder and in those below it, in the order of their folders' and their own names."""
    if not os.path.isdir(folder):
        return []
    found: list[str] = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            if entry.is_dir():
                found += [] if entry.is_symlink() else images_below(entry.path)
            elif not entry.name.startswith(".") and os.path.splitext(entry.name)[1].lower() in ENDINGS:
                found.append(entry.path)
    return found
