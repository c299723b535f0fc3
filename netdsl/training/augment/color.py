"""Augmentations that change colours; masks stay as they are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from netdsl.recipe import augmentations
from netdsl.training.augment import pixels
from netdsl.training.augment.registry import APPLY, Frame

Both = tuple[Tensor, Tensor | None]
JITTER = (pixels.brightness, pixels.contrast, pixels.saturation, pixels.hue)


@APPLY.of(augmentations.ColorJitter)
def color_jitter(component: augmentations.ColorJitter, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    ranges = (component.brightness, component.contrast, component.saturation, component.hue)
    used = frame.chance(component.p)
    place = frame.uniform("order", 4).argsort(1)
    drawn = frame.uniform("factor", 4)
    for turn in range(4):
        for i, (function, reach) in enumerate(zip(JITTER, ranges, strict=True)):
            which = (used & (place[:, turn] == i)).nonzero()[:, 0]
            if reach and len(which):
                low, high = (-reach, reach) if function is pixels.hue else (max(0.0, 1 - reach), 1 + reach)
                x = x.index_copy(0, which, function(x[which], low + (high - low) * drawn[which, i]))
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
    which = frame.chance(component.p).nonzero()[:, 0]
    if not len(which):
        return x, mask
    part = x[which]
    if isinstance(component, augmentations.Grayscale):
        part = pixels.grey(part).expand_as(part)
    elif isinstance(component, augmentations.Autocontrast):
        part = pixels.autocontrast(part)
    elif isinstance(component, augmentations.Equalize):
        part = pixels.equalize(part)
    elif isinstance(component, augmentations.Posterize):
        part = pixels.posterize(part, torch.full((len(which),), component.bits, device=x.device))
    elif isinstance(component, augmentations.Solarize):
        part = pixels.solarize(part, torch.full((len(which),), component.threshold, device=x.device))
    else:
        part = 1 - part
    return x.index_copy(0, which, part), mask


@APPLY.of(augmentations.Noise)
def noise(component: augmentations.Noise, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    drawn = component.std * frame.normal("noise", *x.shape[1:])
    return (x * (1 + drawn) if component.multiplicative else x + drawn), mask
