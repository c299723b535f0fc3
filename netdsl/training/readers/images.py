"""Images as they are stored, opened one by one: what of them becomes a sample."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from math import ceil
from typing import Any

import torch
from torch import Tensor

from netdsl.inference.images import ImageView, Least, resized, whole_size
from netdsl.training.data.dataset import Box, Cut, Part, Split
from netdsl.training.data.prefetch import in_process

THREADS = 8


class Images:
    """Images that are opened by number, and how they become tensors: what a process that reads holds."""

    def __init__(self, open_one: Callable[[int, Least | None], Any], view: View) -> None:
        self.open = open_one
        self.view = view

    def read(self, index: Tensor) -> tuple[Tensor, ...]:
        """The images as they are evaluated, uint8 [B, C, H, W]. Raises DataError for what is not an image."""
        return (stacked(lambda i: self.view(self.open(i, self.view.least)), index.tolist()),)

    def cut(self, index: Tensor, how: Cut) -> tuple[Tensor, ...]:
        """The parts of the whole images that a batch shows, uint8 [B, C, size, size]."""
        chosen = index.tolist()
        shown = partial(self._shown, chosen, how)
        return (stacked(shown, range(len(chosen))),)

    def _shown(self, chosen: list[int], how: Cut, at: int) -> Tensor:
        """The part that the image at a position of a batch shows, uint8 [C, size, size]."""
        least = self.view.least
        if least is not None and not how.scaled:
            least = partial(needed, partial(how.part, at))
        return how.filled(self.view.cut(self.open(chosen[at], least), at, how), how.fill)

    def split(self, target: Tensor) -> Split:
        return Split((), target, self.read, self.cut)


def shared(like: Tensor, count: int) -> Tensor:
    """Memory that processes share, without values, for so many tensors: what is written there need not be copied to be
    passed."""
    storage = torch.UntypedStorage._new_shared(like.nbytes * count, device="cpu")  # type: ignore[no-untyped-call]
    found: Tensor = torch.empty(0, dtype=like.dtype)
    return found.set_(storage, 0, (count, *like.shape))  # type: ignore[call-overload, no-any-return]


def stacked(function: Callable[[int], Tensor], each: Any) -> Tensor:
    """A tensor for each, one after the other in a process that reads; Pillow decodes several at once elsewhere."""
    if in_process():
        parts = [function(i) for i in each]
        return torch.stack(parts, out=shared(parts[0], len(parts)))
    with ThreadPoolExecutor(THREADS) as pool:
        return torch.stack(list(pool.map(function, each)))


class View(ImageView):
    """How an image becomes a tensor: as a whole, or the part of it that a batch shows."""

    def __call__(self, image: Any) -> Tensor:
        """uint8 [C, H, W] of an open image."""
        return torch.from_numpy(self.pixels(image))

    def cut(self, image: Any, i: int, how: Cut) -> Tensor:
        """The cut that the i-th of a batch shows of an image, uint8 [C, H, W] of at most the cut's size."""
        if how.scaled:
            image = self.scaled(image)
            return self.shown(image, how.part(i, image.height, image.width), image.size, how)
        wide, high = whole_size(image)
        return self.shown(image, how.part(i, high, wide), (wide, high), how)

    def shown(self, image: Any, part: Part, of: tuple[int, int], how: Cut) -> Tensor:
        """A part of an image, which is counted in pixels of the width and height `of`, as which it may have been
        decoded smaller."""
        columns, rows = image.width / of[0], image.height / of[1]
        if rows == columns == 1:
            image = resized(_cropped(image, part.box), part.size[::-1], how.interpolation)
        else:
            top, left, height, width = part.box
            box = left * columns, top * rows, (left + width) * columns, (top + height) * rows
            image = resized(image, part.size[::-1], how.interpolation, box)
        return torch.from_numpy(self.array(_cropped(image, part.window)))


def needed(part: Callable[[int, int], Part], wide: int, high: int) -> tuple[int, int]:
    """The width and height at which an image of `wide` by `high` shows its part as large as it is asked for."""
    (_, _, height, width), size, _ = part(high, wide)
    return ceil(wide * min(1, size[1] / width)), ceil(high * min(1, size[0] / height))


def _cropped(image: Any, box: Box) -> Any:
    top, left, height, width = box
    return image if (height, width) == image.size[::-1] else image.crop((left, top, left + width, top + height))
