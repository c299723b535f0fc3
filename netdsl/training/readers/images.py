"""Images as they are stored, opened one by one: what of them becomes a sample."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from torch import Tensor

from netdsl.inference.images import ImageView, resized
from netdsl.training.data.dataset import Box, Cut, Split
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

    def cut(self, index: Tensor, how: Cut) -> tuple[Tensor, ...]:
        """The parts of the whole images that a batch shows, uint8 [B, C, size, size]."""
        chosen = index.tolist()
        shown = partial(self._shown, chosen, how)
        return (stacked(shown, range(len(chosen))),)

    def _shown(self, chosen: list[int], how: Cut, at: int) -> Tensor:
        return how.filled(self.view.cut(self.open(chosen[at]), at, how), how.fill)

    def split(self, target: Tensor) -> Split:
        return Split((), target, self.read, self.cut)


def stacked(function: Callable[[int], Tensor], each: Any) -> Tensor:
    """A tensor for each, one after the other in a process that reads; Pillow decodes several at once elsewhere."""
    if in_process():
        return torch.stack([function(i) for i in each])
    with ThreadPoolExecutor(THREADS) as pool:
        return torch.stack(list(pool.map(function, each)))


class View(ImageView):
    """How an image becomes a tensor: as a whole, or the part of it that a batch shows."""

    def __call__(self, image: Any) -> Tensor:
        """uint8 [C, H, W] of an open image."""
        return torch.from_numpy(self.pixels(image))

    def cut(self, image: Any, i: int, how: Cut) -> Tensor:
        """What the i-th of a batch shows of an image, uint8 [C, H, W] of at most the cut's size."""
        image = self.scaled(image) if how.scaled else image
        part = how.part(i, image.height, image.width)
        image = resized(_cropped(image, part.box), part.size[::-1], how.interpolation)
        return torch.from_numpy(self.array(_cropped(image, part.window)))


def _cropped(image: Any, box: Box) -> Any:
    top, left, height, width = box
    return image if (height, width) == image.size[::-1] else image.crop((left, top, left + width, top + height))
