"""The recipe's words that change colours; masks stay."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from netdsl.recipe import augmentations as words
from netdsl.training.augment import pixels
from netdsl.training.augment.registry import APPLY, Frame

Both = tuple[Tensor, Tensor | None]
JITTER = (pixels.brightness, pixels.contrast, pixels.saturation, pixels.hue)


@APPLY.of(words.ColorJitter)
def color_jitter(word: words.ColorJitter, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    ranges = (word.brightness, word.contrast, word.saturation, word.hue)
    used = frame.chance(word.p)
    place = frame.uniform("order", 4).argsort(1)
    drawn = frame.uniform("factor", 4)
    for turn in range(4):
        for i, (function, reach) in enumerate(zip(JITTER, ranges, strict=True)):
            which = (used & (place[:, turn] == i)).nonzero()[:, 0]
            if reach and len(which):
                low, high = (-reach, reach) if function is pixels.hue else (max(0.0, 1 - reach), 1 + reach)
                x = x.index_copy(0, which, function(x[which], low + (high - low) * drawn[which, i]))
    return x, mask


@APPLY.of(words.Grayscale, words.Autocontrast, words.Equalize, words.Posterize, words.Solarize, words.Invert)
def sometimes(word: Any, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    which = frame.chance(word.p).nonzero()[:, 0]
    if not len(which):
        return x, mask
    part = x[which]
    if isinstance(word, words.Grayscale):
        part = pixels.grey(part).expand_as(part)
    elif isinstance(word, words.Autocontrast):
        part = pixels.autocontrast(part)
    elif isinstance(word, words.Equalize):
        part = pixels.equalize(part)
    elif isinstance(word, words.Posterize):
        part = pixels.posterize(part, torch.full((len(which),), word.bits, device=x.device))
    elif isinstance(word, words.Solarize):
        part = pixels.solarize(part, torch.full((len(which),), word.threshold, device=x.device))
    else:
        part = 1 - part
    return x.index_copy(0, which, part), mask


@APPLY.of(words.Noise)
def noise(word: words.Noise, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    drawn = word.std * frame.normal("noise", *x.shape[1:])
    return (x * (1 + drawn) if word.multiplicative else x + drawn), mask
