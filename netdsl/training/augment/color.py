"""Augmentations that change colours; masks stay as they are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from netdsl.recipe import augmentations
from netdsl.training.augment import pixels
from netdsl.training.augment.parts import changed
from netdsl.training.augment.registry import APPLY, Frame

Both = tuple[Tensor, Tensor | None]
JITTER = (pixels.brightness, pixels.contrast, pixels.saturation, pixels.hue)


@APPLY.of(augmentations.ColorJitter)
def color_jitter(component: augmentations.ColorJitter, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    ranges = (component.brightness, component.contrast, component.saturation, component.hue)
    used = frame.chance(component.p)
    place = frame.uniform("order", 4).argsort(1)
    drawn = frame.uniform("factor", 4)

    def jitter(i: int, images: Tensor, places: Tensor) -> Tensor:
        function, reach = JITTER[i], ranges[i]
        low, high = (-reach, reach) if function is pixels.hue else (max(0.0, 1 - reach), 1 + reach)
        return function(images, low + (high - low) * drawn[places, i]) if reach else images

    for turn in range(4):
        x = changed(x, torch.where(used, place[:, turn], len(JITTER)), len(JITTER), jitter)
    return x, mask


@APPLY.of(
    augmentations.Grayscale,
    augmentations.Autocontrast,
    augmentations.Equalize,
    augmentations.Posterize,
    augmentations.Solarize,
    augmentations.Invert,
)
def sometimes(component: Any, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    left_out = (~frame.chance(component.p)).long()
    return changed(x, left_out, 1, lambda _, images, places: _coloured(component, images)), mask


def _coloured(component: Any, x: Tensor) -> Tensor:
    """All of some images under an operation."""
    if isinstance(component, augmentations.Grayscale):
        return pixels.grey(x).expand_as(x)
    if isinstance(component, augmentations.Autocontrast):
        return pixels.autocontrast(x)
    if isinstance(component, augmentations.Equalize):
        return pixels.equalize(x)
    if isinstance(component, augmentations.Posterize):
        return pixels.posterize(x, torch.full((len(x),), component.bits, device=x.device))
    if isinstance(component, augmentations.Solarize):
        return pixels.solarize(x, torch.full((len(x),), component.threshold, device=x.device))
    return 1 - x


@APPLY.of(augmentations.Noise)
def noise(component: augmentations.Noise, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    drawn = component.std * frame.normal("noise", *x.shape[1:])
    return (x * (1 + drawn) if component.multiplicative else x + drawn), mask
