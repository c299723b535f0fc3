"""Operations on the colours of images [B, C, H, W] from 0 to 1, each sample with its own amount [B]."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from netdsl.training.augment.registry import known

GREY = (0.299, 0.587, 0.114)


def column(amount: Tensor) -> Tensor:
    """[B] as [B, 1, 1, 1]."""
    return amount.view(-1, 1, 1, 1)


def grey(x: Tensor) -> Tensor:
    """Luminance (ITU-R 601), [B, 1, H, W]; an image without three channels is its own."""
    if x.shape[1] != 3:
        return x
    return (x * known(GREY, x.device).view(1, 3, 1, 1)).sum(1, keepdim=True)


def blend(base: Tensor, x: Tensor, factor: Tensor) -> Tensor:
    """`base + factor * (x - base)`: 0 gives the base, 1 the image, more goes beyond it."""
    return torch.lerp(base.expand_as(x), x, column(factor)).clamp(0, 1)


def brightness(x: Tensor, factor: Tensor) -> Tensor:
    return (x * column(factor)).clamp(0, 1)


def contrast(x: Tensor, factor: Tensor) -> Tensor:
    return blend(grey(x).mean((1, 2, 3), keepdim=True), x, factor)


def saturation(x: Tensor, factor: Tensor) -> Tensor:
    return blend(grey(x), x, factor) if x.shape[1] == 3 else x


def sharpness(x: Tensor, factor: Tensor) -> Tensor:
    """Away from a 3 x 3 smoothing (centre 5 of 13); the border stays, as in Pillow."""
    kernel = known((1, 1, 1, 1, 5, 1, 1, 1, 1), x.device).view(3, 3)
    weight = (kernel / 13).expand(x.shape[1], 1, 3, 3)
    smooth = x.clone()
    if min(x.shape[2:]) > 2:
        smooth[:, :, 1:-1, 1:-1] = functional.conv2d(x, weight, groups=x.shape[1])
    return blend(smooth, x, factor)


def hue(x: Tensor, turn: Tensor) -> Tensor:
    """Turns the colour wheel by `turn` of a whole turn."""
    if x.shape[1] != 3:
        return x
    value, place = x.max(1)
    chroma = value - x.min(1).values
    safe = chroma.clamp(min=1e-8)
    red, green, blue = x.unbind(1)
    sector = torch.stack([(green - blue) / safe, (blue - red) / safe + 2, (red - green) / safe + 4], 1)
    angle = sector.gather(1, place[:, None])[:, 0]
    angle = torch.where(chroma > 0, angle, torch.zeros_like(angle)) + 6 * turn.view(-1, 1, 1)
    channels = []
    for n in (5, 3, 1):
        k = torch.remainder(n + angle, 6)
        channels.append(value - chroma * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, 1)


def autocontrast(x: Tensor) -> Tensor:
    low, high = x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)
    return torch.where(high > low, (x - low) / (high - low).clamp(min=1e-8), x)


def equalize(x: Tensor) -> Tensor:
    """Every channel's histogram made flat, on 256 levels, with Pillow's integer arithmetic."""
    levels = (x * 255).round().long().clamp(0, 255).flatten(2)
    rows = levels.flatten(0, 1)
    counts = torch.zeros(len(rows), 256, dtype=torch.int64, device=x.device)
    counts.scatter_add_(1, rows, torch.ones_like(rows))
    last = 255 - (counts.flip(1) > 0).int().argmax(1, keepdim=True)
    step = (rows.shape[1] - counts.gather(1, last)) // 255
    below = counts.cumsum(1) - counts
    table = ((below + step // 2) // step.clamp(min=1)).clamp(0, 255)
    table = torch.where(step > 0, table, torch.arange(256, device=x.device))
    return (table.gather(1, rows).float() / 255).view_as(x)


def posterize(x: Tensor, bits: Tensor) -> Tensor:
    """Keeps the first `bits` of the eight bits of every pixel."""
    step = column(torch.exp2(8 - bits.float()))
    return ((x * 255).round().div(step, rounding_mode="floor") * step) / 255


def solarize(x: Tensor, threshold: Tensor) -> Tensor:
    """Inverts pixels at or above the threshold, which is compared as a level of 255."""
    return torch.where(x * 255 >= column(threshold) * 255 - 1e-3, 1 - x, x)


def solarize_add(x: Tensor, amount: Tensor) -> Tensor:
    """Adds to the pixels below one half."""
    return torch.where(x < 0.5, (x + column(amount)).clamp(0, 1), x)
