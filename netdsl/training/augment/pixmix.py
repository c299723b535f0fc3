"""PixMix: an image is mixed with augmented copies of itself and with images of great complexity, in some rounds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional

from netdsl.recipe.augmentations import PixMix
from netdsl.training.augment import pixels
from netdsl.training.augment.fractals import fractals
from netdsl.training.augment.geometry import warp, window
from netdsl.training.augment.operations import MAPS
from netdsl.training.augment.parts import changed
from netdsl.training.augment.pixels import column
from netdsl.training.augment.registry import APPLY, Frame
from netdsl.training.data.dataset import as_floats

Both = tuple[Tensor, Tensor | None]
MARGIN = 36 / 32
"""Mixing images are so much larger than what is cut from them, as in the reference implementation."""
PLAIN = (
    "autocontrast",
    "equalize",
    "posterize",
    "rotate",
    "solarize",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
)
COLOURS = {
    "color": pixels.saturation, "contrast": pixels.contrast, "brightness": pixels.brightness,
    "sharpness": pixels.sharpness,
}  # fmt: skip
"""Left out by default: they are among the corruptions of ImageNet-C, which robustness is measured on."""


@APPLY.of(PixMix)
def pixmix(component: PixMix, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    mixed = _sometimes_augmented(component, x, x, "start", frame)
    other = mixing_images(x, frame)
    rounds = frame.integers("rounds", component.rounds + 1)
    for turn in range(component.rounds):
        copy = _sometimes_augmented(component, x, other, f"copy{turn}", frame)
        a, b = weights(frame.uniform(f"side{turn}"), frame.uniform(f"weights{turn}", 2), component.beta)
        adds = column(frame.uniform(f"operation{turn}") < 0.5)
        result = torch.where(adds, add(mixed, copy, a, b), multiply(mixed, copy, a, b)).clamp(0, 1)
        mixed = torch.where(column(turn < rounds), result, mixed)
    return mixed, mask


def weights(side: Tensor, uniform: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """Weights [B] of an image and of what is mixed in: both of them between 0 and 1, or one above 1 and the other
    negative. Beta(beta, 1) is u^(1/beta), Beta(1, beta) is 1 - u^(1/beta)."""
    a, b = uniform[:, 0] ** (1 / beta), 1 - uniform[:, 1] ** (1 / beta)
    inside = side < 0.5
    return torch.where(inside, a, 2 - a), torch.where(inside, b, -b)


def add(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """a * x + b * y with grey as 0."""
    return (column(a) * (2 * x - 1) + column(b) * (2 * y - 1) + 1) / 2


def multiply(x: Tensor, y: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """x^a * y^b with grey as 1."""
    return (2 * x) ** column(a) * (2 * y).clamp(min=1e-37) ** column(b) / 2


def mixing_images(x: Tensor, frame: Frame) -> Tensor:
    """One image of the mixing set for each sample, cut at random to the size of x."""
    known = _on_device(x.shape[1], x.device) if frame.mixing is None else frame.mixing.to(x.device)
    chosen = as_floats(known[frame.integers("image", len(known))])
    height, width = x.shape[2:]
    side = round(MARGIN * max(height, width))
    if chosen.shape[2] != side:
        chosen = functional.interpolate(
            chosen, size=(side, side), mode="bilinear", antialias=True, align_corners=False
        ).clamp(0, 1)
    corner = frame.uniform("corner", 2)
    top, left = (corner[:, 0] * (side - height + 1)).long(), (corner[:, 1] * (side - width + 1)).long()
    return window(chosen, top, left, height, width)


@cache
def _on_device(channels: int, device: torch.device) -> Tensor:
    """Fractals, copied to a device once."""
    return fractals(channels).to(device)


def _sometimes_augmented(component: PixMix, x: Tensor, otherwise: Tensor, what: str, frame: Frame) -> Tensor:
    """x under one random operation, or in one case of two what is given otherwise."""
    names = (*PLAIN, *(COLOURS if component.all_operations else ()))
    which = frame.integers(f"{what}.which", len(names))
    level = frame.between(f"{what}.level", 0.1, component.severity) / 10
    sign = torch.where(frame.uniform(f"{what}.sign") < 0.5, -1.0, 1.0)
    used = frame.uniform(f"{what}.augmented") < 0.5

    def change(number: int, images: Tensor, places: Tensor) -> Tensor:
        return operate(names[number], images, level[places], sign[places])

    found = changed(x, torch.where(used, which, len(names)), len(names), change)
    return found if otherwise is x else torch.where(column(used), found, otherwise)


def operate(name: str, x: Tensor, level: Tensor, sign: Tensor) -> Tensor:
    """Images under an operation of the reference implementation; level [B] from 0 to 1, whole numbers cut off."""
    if name == "autocontrast":
        return pixels.autocontrast(x)
    if name == "equalize":
        return pixels.equalize(x)
    if name == "posterize":
        return pixels.posterize(x, 4 - (4 * level).floor())
    if name == "solarize":
        return pixels.solarize(x, (256 - (256 * level).floor()) / 255)
    if name in COLOURS:
        return COLOURS[name](x, 1.8 * level + 0.1)
    amount = sign * AMOUNTS[name](level, x.shape)
    return warp(x, None, MAPS[name](amount, x.shape), "bilinear")[0]


AMOUNTS: dict[str, Callable[[Tensor, torch.Size], Tensor]] = {
    "rotate": lambda level, size: -(30 * level).floor(),
    "shear_x": lambda level, size: 0.3 * level,
    "shear_y": lambda level, size: 0.3 * level,
    "translate_x": lambda level, size: -(level * size[3] / 3).floor(),
    "translate_y": lambda level, size: -(level * size[2] / 3).floor(),
}
"""How far pixels are moved at a level from 0 to 1."""
