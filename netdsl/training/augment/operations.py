"""The operations of augmentation policies, and what a strength from 0 to 1 means for each in each space."""

from __future__ import annotations

from collections.abc import Callable

import torch
from msgspec import Struct
from torch import Tensor

from netdsl.training.augment import pixels
from netdsl.training.augment.geometry import inverse_matrix, shear_matrix, shift_matrix, warp

Operation = Callable[[Tensor, Tensor], Tensor]
"""(images [B, C, H, W], amounts [B]) -> the images, changed."""


class Reading(Struct, frozen=True, eq=False):
    """How a moved image is read: between pixels, and `fill` ([C, 1, 1] or [C, H, W], or a number) outside of it."""

    interpolation: str = "nearest"
    fill: Tensor | float = 0.0


class Range(Struct, frozen=True):
    """An amount from `low` (strength 0) to `high` (strength 1). `signed`: a sign is drawn. `per_width`, `per_height`:
    a fraction of the size. `around`: added after the sign (1 for factors). `whole`: how it becomes a whole number."""

    low: float = 0.0
    high: float = 0.0
    signed: bool = False
    scale: str = ""
    around: float = 0.0
    whole: Callable[[Tensor], Tensor] | None = None


def amount_of(kind: Range, level: Tensor, sign: Tensor, size: torch.Size) -> Tensor:
    """The amount of each sample, [B]. Beyond strength 1 it grows in proportion, as in EfficientNetV2's code; bounded
    amounts (posterize, solarize) and factors below 1 stay at their bound."""
    level = level.clamp(max=1) if kind.low else level
    amount = kind.low + (kind.high - kind.low) * level
    amount = amount * {"width": size[3], "height": size[2]}.get(kind.scale, 1)
    amount = kind.whole(amount) if kind.whole else amount
    amount = (amount * sign if kind.signed else amount) + kind.around
    return amount.clamp(min=kind.around - kind.high) if kind.around else amount


def _rotation(degrees: Tensor) -> Tensor:
    """A turn about the centre, against the clock, as Pillow and torchvision count it."""
    none, one = degrees.new_zeros(len(degrees), 2), degrees.new_ones(len(degrees))
    return inverse_matrix(-degrees, none, one, none)


MAPS: dict[str, Callable[[Tensor, torch.Size], Tensor]] = {
    "shear_x": lambda a, size: shear_matrix(a, 0, size),
    "shear_y": lambda a, size: shear_matrix(a, 1, size),
    "translate_x": lambda a, size: shift_matrix(a, 0),
    "translate_y": lambda a, size: shift_matrix(a, 1),
    "rotate": lambda a, size: _rotation(a),
}
"""What moves pixels: the map of each sample, from its amount and the size [B, C, H, W]."""

COLOUR: dict[str, Operation] = {
    "brightness": pixels.brightness,
    "color": pixels.saturation,
    "contrast": pixels.contrast,
    "sharpness": pixels.sharpness,
    "posterize": pixels.posterize,
    "solarize": pixels.solarize,
    "solarize_add": pixels.solarize_add,
    "autocontrast": lambda x, a: pixels.autocontrast(x),
    "equalize": lambda x, a: pixels.equalize(x),
    "invert": lambda x, a: 1 - x,
}


def operate(name: str, x: Tensor, amount: Tensor, reading: Reading) -> Tensor:
    """The images [B, C, H, W] under an operation, each by its amount [B]."""
    if name in MAPS:
        return warp(x, None, MAPS[name](amount, x.shape), reading.interpolation, reading.fill)[0]
    return COLOUR[name](x, amount)


def _down(amount: Tensor) -> Tensor:
    """Levels of 255 as fractions, cut to whole ones (half a thousandth is rounding)."""
    return (amount * 255 + 5e-4).floor() / 255


FACTOR = Range(0, 0.9, signed=True, around=1)
MOVES = {
    "shear_x": Range(0, 0.3, signed=True),
    "shear_y": Range(0, 0.3, signed=True),
    "rotate": Range(0, 30, signed=True),
}
COLOURS = dict.fromkeys(("brightness", "color", "contrast", "sharpness"), FACTOR)

RAND: dict[str, Range] = {
    "identity": Range(),
    **MOVES,
    "translate_x": Range(0, 150 / 331, signed=True, scale="width", whole=torch.trunc),
    "translate_y": Range(0, 150 / 331, signed=True, scale="height", whole=torch.trunc),
    **COLOURS,
    "posterize": Range(8, 4, whole=torch.round),
    "solarize": Range(1, 0),
    "autocontrast": Range(),
    "equalize": Range(),
}
"""RandAugment's and AutoAugment's (Cubuk et al.), as in torchvision: at strength 0 nothing happens."""

TIMM: dict[str, Range] = {
    "autocontrast": Range(),
    "equalize": Range(),
    "invert": Range(),
    "rotate": Range(0, 30, signed=True),
    "posterize": Range(4, 0, whole=torch.ceil),
    "solarize": Range(256 / 255, 0, whole=lambda a: -_down(-a)),
    "solarize_add": Range(0, 110 / 255, whole=_down),
    **COLOURS,
    "shear_x": Range(0, 0.3, signed=True),
    "shear_y": Range(0, 0.3, signed=True),
    "translate_x": Range(0, 0.45, signed=True, scale="width"),
    "translate_y": Range(0, 0.45, signed=True, scale="height"),
}
"""timm's increasing space (`inc1`): at strength 9 a bit of every pixel is left, `4 - int(0.9 * 4)`, and solarize
inverts from `256 - int(0.9 * 256)`; translations are not rounded."""

WIDE: dict[str, Range] = {
    "identity": Range(),
    "shear_x": Range(0, 0.99, signed=True),
    "shear_y": Range(0, 0.99, signed=True),
    "translate_x": Range(0, 32, signed=True, whole=torch.trunc),
    "translate_y": Range(0, 32, signed=True, whole=torch.trunc),
    "rotate": Range(0, 135, signed=True),
    **{name: Range(0, 0.99, signed=True, around=1) for name in COLOURS},
    "posterize": Range(8, 2, whole=torch.round),
    "solarize": Range(1, 0),
    "autocontrast": Range(),
    "equalize": Range(),
}
"""TrivialAugment's wide space (Mueller & Hutter 2021), as in torchvision."""
