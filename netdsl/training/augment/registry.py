"""The registry of augmentations: which function carries out each component of a recipe's `augment`, and the frame it
draws from."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor

from netdsl.recipe.registry import Executors
from netdsl.training.rng import KeyedRng

Standard = tuple[Tensor, Tensor]
"""Mean and deviation with which the net standardises pixels, [C, 1, 1] or [C, H, W]."""


class Frame(Struct, frozen=True, eq=False):
    """The context of a step of the pipeline: its own purpose, the samples' draws, the epoch; and how the net
    standardises what it gives."""

    draws: KeyedRng
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


@lru_cache(256)
def known(numbers: tuple[float, ...], device: torch.device) -> Tensor:
    """Some numbers on a device, which nobody changes. They are copied there once: every copy from the host waits until
    all that was launched before is computed."""
    return torch.tensor(numbers, dtype=torch.float32, device=device)


Apply = Callable[[Any, Tensor, Tensor | None, Frame], tuple[Tensor, Tensor | None]]
"""(component, images [B, C, H, W] from 0 to 1, masks [B, 1, H, W] or None, frame) -> the same, changed."""

APPLY: Executors[Apply] = Executors("augment")
"""The function of every augmentation."""
