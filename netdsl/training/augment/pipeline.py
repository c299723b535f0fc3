"""The recipe's augmentations, one after the other, on a batch of pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor

from netdsl.training.rng import Draws

Standard = tuple[Tensor, Tensor]
"""Mean and deviation with which the net standardises pixels, [C, 1, 1] or [C, H, W]."""


class Frame(Struct, frozen=True, eq=False):
    """What a step of the pipeline may draw from: its own purpose, the samples' draws, the epoch; and how the net
    standardises what it gives."""

    draws: Draws
    purpose: str
    epoch: int
    standard: Standard | None = None
    mixing: Tensor | None = None

    def uniform(self, what: str, *shape: int) -> Tensor:
        return self.draws.uniform(f"{self.purpose}.{what}", *shape)

    def between(self, what: str, low: float, high: float, *shape: int) -> Tensor:
        return self.draws.between(f"{self.purpose}.{what}", low, high, *shape)

    def integers(self, what: str, high: int, *shape: int) -> Tensor:
        return self.draws.integers(f"{self.purpose}.{what}", high, *shape)

    def normal(self, what: str, *shape: int) -> Tensor:
        return self.draws.normal(f"{self.purpose}.{what}", *shape)

    def chance(self, p: float) -> Tensor:
        return self.draws.chance(f"{self.purpose}.chance", p)

    def pixels(self, standardized: Tensor) -> Tensor:
        """Standardised values [..., C or 1, H, W] as pixels from 0 to 1."""
        if self.standard is None:
            return standardized
        mean, std = (s.to(standardized.device) for s in self.standard)
        return standardized * std + mean


Apply = Callable[[Any, Tensor, Tensor | None, Frame], tuple[Tensor, Tensor | None]]
"""(word, pictures [B, C, H, W] from 0 to 1, masks [B, 1, H, W] or None, frame) -> the same, changed."""

APPLY: dict[type, Apply] = {}


def applies(*words: type) -> Callable[[Apply], Apply]:
    """Registers the function of one or several words."""

    def register(function: Apply) -> Apply:
        APPLY.update(dict.fromkeys(words, function))
        return function

    return register


class Pipeline:
    """Applies the words in order. With `mask`, targets [B, H, W] are moved along with the pictures. `mixing`: pictures
    to mix in, uint8 [M, C, S, S]."""

    def __init__(
        self,
        words: Sequence[Any],
        mask: bool = False,
        standard: Standard | None = None,
        mixing: Tensor | None = None,
    ) -> None:
        from netdsl.training.augment import (  # noqa: F401 - they register themselves
            color,
            erasing,
            geometry,
            pixmix,
            policies,
        )

        self.words = tuple(words)
        self.mask = mask
        self.standard = standard
        self.mixing = mixing

    def __bool__(self) -> bool:
        return bool(self.words)

    def frame(self, place: int, draws: Draws, epoch: int) -> Frame:
        """What the word at a place draws from."""
        return Frame(draws, f"{place}.{type(self.words[place]).__name__}", epoch, self.standard, self.mixing)

    def __call__(
        self, inputs: tuple[Tensor, ...], target: Tensor, draws: Draws, epoch: int, after: int = 0
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """All words but the first `after`."""
        pictures, mask = inputs[0], target[:, None].to(torch.float32) if self.mask else None
        for place, word in enumerate(self.words[after:], after):
            frame = self.frame(place, draws, epoch)
            pictures, mask = APPLY[type(word)](word, pictures, mask, frame)
        if mask is not None:
            target = mask[:, 0].round().to(torch.int64)
        return (pictures, *inputs[1:]), target
