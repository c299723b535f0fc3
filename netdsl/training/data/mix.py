"""Mixup and cutmix: sample i with another sample of the same step, inputs and targets alike: the next one, or where
the recipe mixes `per=pair` its neighbour, which is mixed with it in turn."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor

from netdsl.recipe.augmentations import Cutmix
from netdsl.training.devices import sent
from netdsl.training.rng import KeyedRng, beta, key, scramble

Inputs = tuple[Tensor, ...]


class Mixer:
    """Chooses the mixing of each step: one component of the recipe's `mix`, by their weights, applied with its own
    probability. `repeat`: the number of neighbouring batch indices that hold copies of one sample."""

    def __init__(self, components: Sequence[Any], seed: int, repeat: int = 1) -> None:
        self.components = tuple(components)
        self.bounds = tuple(accumulate(w.weight for w in components))
        self.seed = seed
        self.repeat = repeat

    def draw(self, step: int) -> Mix | None:
        """The mixing of step `step`, or None."""
        if not self.components:
            return None
        base = key(self.seed, "mix", step)
        rest = _uniform(key(base, "choice")) * self.bounds[-1]
        component = next(
            (w for w, below in zip(self.components, self.bounds, strict=True) if rest < below), self.components[-1]
        )
        return Mix(component, base, self.repeat) if _uniform(scramble(base)) < component.p else None


def _uniform(x: int) -> float:
    """The upper bits of a key as a number in [0, 1)."""
    return (x >> 11) / (1 << 53)


class Mix(Struct, frozen=True, eq=False):
    """One step's mixing, drawn. `base` is its key."""

    component: Any
    base: int
    repeat: int = 1

    def others(self, places: Tensor, count: int) -> Tensor:
        """The places of a step of `count` samples that neighbouring `places` are mixed with and that do not stand
        among them; with pairs, the partner of each, itself where the last one has none."""
        if self.component.per != "pair":
            return (places[-1:] + 1 + torch.arange(self.repeat, device=places.device)) % count
        block = places // (2 * self.repeat) * (2 * self.repeat)
        partner = block + (places - block + self.repeat) % (2 * self.repeat)
        return torch.where(partner < count, partner, places)

    def share(self, places: Tensor) -> Tensor:
        """How much of each sample is left, float32 [B], on the host: one value for the step, each pair or each batch
        index."""
        if self.component.per == "batch":
            return beta(self.base, self.component.alpha).expand(len(places))
        return torch.cat([beta(key(self.base, p), self.component.alpha) for p in self._draws(places).tolist()])

    def _share_on(self, device: torch.device, places: Tensor) -> Tensor:
        """The same on a device, which nobody waits for: one value is filled in."""
        share = self.share(places)
        if self.component.per == "batch":
            return torch.full((len(places),), float(share[0]), device=device)
        return sent((share,), device)[0]

    def _draws(self, places: Tensor) -> Tensor:
        """The numbers by which samples draw: the same number means the same draw."""
        if self.component.per == "batch":
            return torch.zeros_like(places)
        if self.component.per == "sample":
            return places
        return places // (2 * self.repeat) * self.repeat + places % self.repeat

    def apply(self, inputs: Inputs, target: Tensor, places: Tensor) -> tuple[Inputs, Tensor]:
        """Mix the first B rows with the last B of inputs and targets that have some rows more than the B `places` (on
        the host)."""
        count = len(places)
        x, partner = inputs[0][:count], inputs[0][-count:]
        share = self._share_on(x.device, places)
        if isinstance(self.component, Cutmix):
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
        draws = sent((self._draws(places),), share.device)[0]
        centre = KeyedRng(self.base, draws).uniform("box", 2)
        inside = []
        for axis, size in enumerate((height, width)):
            middle = (centre[:, axis] * size).floor()
            half = (0.5 * (1 - share).sqrt() * size).floor()
            at = torch.arange(size, device=share.device)
            inside.append((at >= (middle - half)[:, None]) & (at < (middle + half)[:, None]))
        return inside[0][:, :, None] & inside[1][:, None, :]
