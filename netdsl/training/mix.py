"""Mixup and cutmix: sample i with the next other sample of the same update, inputs and targets alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor

from netdsl.recipe.augmentations import Cutmix
from netdsl.training.draws import Draws, beta, key, scramble

Inputs = tuple[Tensor, ...]


class Mixer:
    """Which mixing an update gets: one word of the recipe, drawn with equal chances, with its own probability."""

    def __init__(self, words: Sequence[Any], seed: int) -> None:
        self.words = tuple(words)
        self.seed = seed

    def draw(self, step: int) -> Mix | None:
        """The mixing of update `step`, or None."""
        if not self.words:
            return None
        base = key(self.seed, "mix", step)
        word = self.words[base % len(self.words)]
        chance = (scramble(base) >> 11) / (1 << 53)
        return Mix(word, base) if chance < word.p else None


class Mix(Struct, frozen=True, eq=False):
    """One update's mixing, drawn. `base` is its key."""

    word: Any
    base: int

    def share(self, places: Tensor) -> Tensor:
        """How much of each sample is left, float32 [B]: one number for the update, or one for each place."""
        if self.word.per == "batch":
            return beta(self.base, self.word.alpha).to(places.device).expand(len(places))
        drawn = torch.cat([beta(key(self.base, int(p)), self.word.alpha) for p in places.tolist()])
        return drawn.to(places.device)

    def apply(self, inputs: Inputs, target: Tensor, places: Tensor) -> tuple[Inputs, Tensor]:
        """Mix the first B rows with the last B of inputs and targets that have some rows more than the B `places`."""
        count = len(places)
        x, partner = inputs[0][:count], inputs[0][-count:]
        share = self.share(places)
        if isinstance(self.word, Cutmix):
            inside = self._box(places, share, x.shape[2], x.shape[3])
            mixed = torch.where(inside[:, None], partner, x)
            share = 1 - inside.to(torch.float32).mean((1, 2))
        else:
            weight = share.view(-1, *[1] * (x.ndim - 1))
            mixed = x * weight + partner * (1 - weight)
        weight = share.view(-1, *[1] * (target.ndim - 1))
        return (mixed, *(i[:count] for i in inputs[1:])), target[:count] * weight + target[-count:] * (1 - weight)

    def _box(self, places: Tensor, share: Tensor, height: int, width: int) -> Tensor:
        """bool [B, H, W]: a box of the area 1 - share around a uniform centre, cut at the border."""
        same = self.word.per == "batch"
        centre = Draws(self.base, torch.zeros_like(places) if same else places).uniform("box", 2)
        inside = []
        for axis, size in enumerate((height, width)):
            middle = (centre[:, axis] * size).floor()
            half = (0.5 * (1 - share).sqrt() * size).floor()
            at = torch.arange(size, device=places.device)
            inside.append((at >= (middle - half)[:, None]) & (at < (middle + half)[:, None]))
        return inside[0][:, :, None] & inside[1][:, None, :]
