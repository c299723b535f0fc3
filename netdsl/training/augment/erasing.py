"""Rectangles that are overwritten."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from netdsl.recipe.augmentations import Cutout, RandomErasing
from netdsl.training.augment.registry import APPLY, Frame, known

Both = tuple[Tensor, Tensor | None]
TRIES = 10


def inside(top: Tensor, left: Tensor, height: Tensor, width: Tensor, size: torch.Size) -> Tensor:
    """bool [B, 1, H, W]: the pixels of each sample's rectangle."""
    y = torch.arange(size[2], device=top.device)
    x = torch.arange(size[3], device=top.device)
    rows = (y >= top[:, None]) & (y < (top + height)[:, None])
    columns = (x >= left[:, None]) & (x < (left + width)[:, None])
    return rows[:, None, :, None] & columns[:, None, None, :]


@APPLY.of(RandomErasing)
def random_erasing(component: RandomErasing, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    h, w = x.shape[2:]
    area = frame.between("area", *component.scale, TRIES) * h * w
    ratio = frame.between("ratio", math.log(component.ratio[0]), math.log(component.ratio[1]), TRIES).exp()
    height, width = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (height < h) & (width < w)
    first = fits.int().argmax(1, keepdim=True)
    height, width = height.gather(1, first)[:, 0], width.gather(1, first)[:, 0]
    corner = frame.uniform("corner", 2)
    top, left = (corner[:, 0] * (h - height + 1)).floor(), (corner[:, 1] * (w - width + 1)).floor()
    where = inside(top, left, height, width, x.shape) & (frame.chance(component.p) & fits.any(1)).view(-1, 1, 1, 1)
    if component.value == "mean":
        fill = x.mean((2, 3), keepdim=True)
    else:
        noise = component.value == "pixel"
        fill = frame.pixels(frame.normal("fill", *x.shape[1:]) if noise else torch.zeros(1, 1, 1, device=x.device))
    return torch.where(where, fill, x), mask


@APPLY.of(Cutout)
def cutout(component: Cutout, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    size = known(tuple(x.shape[2:]), x.device)
    drawn = frame.uniform("centre", 2)
    corner = (
        (drawn * (size - component.size + 1)).floor()
        if component.inside
        else (drawn * size).floor() - component.size // 2
    )
    side = torch.full((len(x),), component.size, device=x.device)
    where = inside(corner[:, 0], corner[:, 1], side, side, x.shape)
    return torch.where(where, frame.pixels(torch.zeros(1, 1, 1, device=x.device)), x), mask
