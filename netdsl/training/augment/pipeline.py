"""The recipe's augmentations, one after the other, on a batch of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from netdsl.recipe.augmentations import Crop, Hflip, Translate, Vflip
from netdsl.training.augment import color, erasing, geometry, pixmix, policies  # noqa: F401 - they register themselves
from netdsl.training.augment.registry import APPLY, Frame, Standard
from netdsl.training.data.dataset import as_floats
from netdsl.training.rng import KeyedRng


def only_moves(component: Any) -> bool:
    """Whether an augmentation moves whole pixels and computes none: bytes then stay bytes, a quarter of the memory."""
    if isinstance(component, Crop | Translate):
        return component.mode == "zeros"
    return isinstance(component, Hflip | Vflip)


class Pipeline:
    """Applies the augmentations in order. With `mask`, targets [B, H, W] are moved along with the images.

    `mixing`: images to mix in, uint8 [M, C, S, S].
    """

    def __init__(
        self,
        components: Sequence[Any],
        mask: bool = False,
        standard: Standard | None = None,
        mixing: Tensor | None = None,
    ) -> None:
        self.components = tuple(components)
        self.mask = mask
        self.standard = standard
        self.mixing = mixing

    def __bool__(self) -> bool:
        return bool(self.components)

    def frame(self, place: int, draws: KeyedRng, epoch: int) -> Frame:
        """The random keys of the augmentation at a position."""
        return Frame(draws, f"{place}.{type(self.components[place]).__name__}", epoch, self.standard, self.mixing)

    def __call__(
        self, inputs: tuple[Tensor, ...], target: Tensor, draws: KeyedRng, epoch: int, after: int = 0
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """All augmentations but the first `after`. Images may be stored as uint8; they become floats from 0 to 1."""
        images, mask = inputs[0], target[:, None].to(torch.float32) if self.mask else None
        for place, component in enumerate(self.components[after:], after):
            frame = self.frame(place, draws, epoch)
            images = images if only_moves(component) else as_floats(images)
            images, mask = APPLY[component](component, images, mask, frame)
        if mask is not None:
            target = mask[:, 0].round().to(torch.int64)
        return (as_floats(images), *inputs[1:]), target
