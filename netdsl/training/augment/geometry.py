"""Geometric augmentations: a mask is transformed like its image, with nearest-neighbour sampling."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from netdsl.recipe.augmentations import (
    Affine,
    Crop,
    Elastic,
    Hflip,
    RandomResizedCrop,
    Resize,
    Rotate,
    ScaleJitter,
    Translate,
    Vflip,
)
from netdsl.training.augment.registry import APPLY, Frame, known
from netdsl.training.errors import DataError

Both = tuple[Tensor, Tensor | None]
VOID = -1.0
"""The class of what comes into a mask from outside: it does not count."""
PAD = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate"}


def per_sample(x: Tensor, rank: int = 4) -> Tensor:
    """[B] as [B, 1, ...] of a rank."""
    return x.view(-1, *[1] * (rank - 1))


def _flip(x: Tensor | None, which: Tensor, axis: int) -> Tensor | None:
    """The samples of x, those of `which` flipped. Whole samples are selected, several times as fast as pixels are; a
    CPU flips no other."""
    if x is None:
        return None
    if x.device.type == "cpu" and len(x):
        return torch.stack([one.flip(axis - 1) if yes else one for one, yes in zip(x, which.tolist(), strict=True)])
    both = torch.cat((x, x.flip(axis)))
    return both.index_select(0, torch.arange(len(x), device=x.device) + len(x) * which)


@APPLY.of(Hflip, Vflip)
def flip(component: Any, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    axis = 3 if isinstance(component, Hflip) else 2
    which = frame.chance(component.p)
    if isinstance(component, Hflip) and component.alternating:
        first = frame.draws.__class__(0, frame.draws.samples).chance(frame.purpose, component.p)
        which = first ^ bool(frame.epoch % 2)
    flipped = _flip(x, which, axis)
    assert flipped is not None
    return flipped, _flip(mask, which, axis)


def window(x: Tensor, top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """Windows [B, C, height, width] of x with their corners at (top, left) int64 [B], by whole pixels."""
    rows = (top[:, None] + torch.arange(height, device=x.device)).view(-1, 1, height, 1)
    columns = (left[:, None] + torch.arange(width, device=x.device)).view(-1, 1, 1, width)
    batch = torch.arange(len(x), device=x.device).view(-1, 1, 1, 1)
    channel = torch.arange(x.shape[1], device=x.device).view(1, -1, 1, 1)
    return x[batch, channel, rows, columns]


@APPLY.of(Crop)
def crop(component: Crop, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    height, width = (component.size, component.size) if component.size else x.shape[2:]
    pad = (component.padding,) * 4
    if component.mode == "reflect" and component.padding >= min(x.shape[2:]):
        raise DataError(
            "unfit-size", f"an image of {x.shape[2]} x {x.shape[3]} cannot be mirrored by {component.padding} pixels"
        )
    padded = functional.pad(x, pad, mode=PAD[component.mode])
    if height > padded.shape[2] or width > padded.shape[3]:
        size = f"{padded.shape[2]} x {padded.shape[3]}"
        raise DataError(
            "unfit-size", f"`crop({component.size})` is larger than an image of {size}", "give it `padding`"
        )
    spare = frame.uniform("corner", 2)
    top = (spare[:, 0] * (padded.shape[2] - height + 1)).long()
    left = (spare[:, 1] * (padded.shape[3] - width + 1)).long()
    if mask is not None:
        mask = window(_padded(mask, pad, component.mode), top, left, height, width)
    return window(padded, top, left, height, width), mask


def _padded(mask: Tensor, pad: tuple[int, ...], mode: str) -> Tensor:
    """A mask with a margin: unknown where the image's is black."""
    value = VOID if mode == "zeros" else None
    return functional.pad(mask, pad, mode=PAD[mode], value=value)


@APPLY.of(Translate)
def translate(component: Translate, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    return crop(Crop(padding=component.pixels, mode=component.mode), x, mask, frame)


@APPLY.of(Resize)
def resize(component: Resize, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    size = (component.size, component.size)
    if tuple(x.shape[2:]) == size:
        return x, mask
    images = functional.interpolate(x, size=size, mode="bilinear", antialias=True, align_corners=False)
    return images, None if mask is None else functional.interpolate(mask, size=size, mode="nearest-exact")


def affine_grid(matrix: Tensor, size: torch.Size) -> Tensor:
    """Where each pixel is read, [B, H, W, 2]: `matrix` [B, 2, 3] takes output to input, in pixels from the centre."""
    _, _, height, width = size
    y = torch.arange(height, device=matrix.device, dtype=torch.float32) - (height - 1) / 2
    x = torch.arange(width, device=matrix.device, dtype=torch.float32) - (width - 1) / 2
    places = torch.stack(
        [x[None, :].expand(height, -1), y[:, None].expand(-1, width), torch.ones(height, width, device=matrix.device)],
        -1,
    )
    moved = (places.view(1, -1, 3) @ matrix.transpose(1, 2)).view(-1, height, width, 2)
    return moved * known((2 / width, 2 / height), matrix.device)


def sample(x: Tensor, grid: Tensor, interpolation: str, fill: Tensor | float = 0.0) -> Tensor:
    """x read at a grid of places from -1 to 1 (pixel corners); `fill` outside, a number or pixels."""
    filled = isinstance(fill, Tensor) or fill != 0
    fill = fill.to(x.device) if isinstance(fill, Tensor) else fill
    read = functional.grid_sample(
        x - fill if filled else x, grid, mode=interpolation, padding_mode="zeros", align_corners=False
    )
    return read + fill if filled else read


def warp(x: Tensor, mask: Tensor | None, matrix: Tensor, interpolation: str, fill: Tensor | float = 0.0) -> Both:
    """Images and masks under an affine map, in pixels from the centre."""
    grid = affine_grid(matrix, x.shape)
    moved = sample(x, grid, interpolation, fill).clamp(0, 1)
    return moved, None if mask is None else sample(mask, grid, "nearest", VOID)


def inverse_matrix(angle: Tensor, shift: Tensor, scale: Tensor, shear: Tensor) -> Tensor:
    """[B, 2, 3] from output to input places; angle and shear [B, 2] in degrees, shift [B, 2] in pixels, scale [B].

    torchvision's convention: rotation, then shear, then scale, then translation, about the centre.
    """
    a, sx, sy = (t * (math.pi / 180) for t in (angle, shear[:, 0], shear[:, 1]))
    # The forward map is T * C * R * Sy * Sx * scale; its inverse is written out, as torchvision does.
    m00, m01 = torch.cos(a - sy) / torch.cos(sy), -torch.cos(a - sy) * torch.tan(sx) / torch.cos(sy) - torch.sin(a)
    m10, m11 = torch.sin(a - sy) / torch.cos(sy), -torch.sin(a - sy) * torch.tan(sx) / torch.cos(sy) + torch.cos(a)
    inverse = torch.stack([torch.stack([m11, -m01], -1), torch.stack([-m10, m00], -1)], 1) / scale.view(-1, 1, 1)
    return torch.cat([inverse, -(inverse @ shift[:, :, None])], 2)


def shear_matrix(slope: Tensor, axis: int, size: torch.Size) -> Tensor:
    """[B, 2, 3] of a shear along an axis (0: x, 1: y) by a slope [B] that keeps the top left corner where it is, as in
    Pillow, torchvision's policies and timm: x reads x + slope * y."""
    none, one = torch.zeros_like(slope), torch.ones_like(slope)
    rows = (one, slope, slope * size[2] / 2, none, one, none), (one, none, none, slope, one, slope * size[3] / 2)
    return torch.stack(rows[axis], 1).view(-1, 2, 3)


def shift_matrix(pixels: Tensor, axis: int) -> Tensor:
    """[B, 2, 3] of a translation along an axis (0: x, 1: y), to the right or down."""
    matrix = torch.eye(2, 3, device=pixels.device).repeat(len(pixels), 1, 1)
    matrix[:, axis, 2] = -pixels
    return matrix


@APPLY.of(Rotate)
def rotate(component: Rotate, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    angle = frame.between("angle", -component.degrees, component.degrees)
    none, one = torch.zeros(len(x), 2, device=x.device), torch.ones(len(x), device=x.device)
    return warp(x, mask, inverse_matrix(angle, none, one, none), component.interpolation, component.fill)


@APPLY.of(Affine)
def affine(component: Affine, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    size = known((x.shape[3], x.shape[2]), x.device) * known(tuple(component.translate), x.device)
    shift = (frame.between("shift", -1, 1, 2) * size).round()
    angle = frame.between("angle", -component.degrees, component.degrees)
    shear = frame.between("shear", -component.shear, component.shear)
    matrix = inverse_matrix(
        angle, shift, frame.between("scale", *component.scale), torch.stack([shear, torch.zeros_like(shear)], 1)
    )
    return warp(x, mask, matrix, component.interpolation, component.fill)


@APPLY.of(Elastic)
def elastic(component: Elastic, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    moved = component.std * frame.normal("moved", 2, component.grid, component.grid)
    field = functional.interpolate(moved, size=x.shape[2:], mode="bicubic", align_corners=True)
    size = known((2 / x.shape[3], 2 / x.shape[2]), x.device)
    still = affine_grid(torch.eye(2, 3, device=x.device)[None].expand(len(x), -1, -1), x.shape)
    grid = still + field.permute(0, 2, 3, 1) * size
    images = functional.grid_sample(x, grid, component.interpolation, "reflection", align_corners=False).clamp(0, 1)
    return images, None if mask is None else functional.grid_sample(mask, grid, "nearest", "reflection", False)


TRIES = 10


@APPLY.of(RandomResizedCrop)
def random_resized_crop(component: RandomResizedCrop, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    top, left, height, width = crop_boxes(component, x.shape[2], x.shape[3], frame)
    rows = resampling(top, height, component.size, x.shape[2], component.interpolation)
    columns = resampling(left, width, component.size, x.shape[3], component.interpolation)
    images = (rows[:, None] @ (x @ columns[:, None].transpose(2, 3)).clamp(0, 1)).clamp(0, 1)
    if mask is not None:
        mask = _read_at(mask, *(nearest(*b, component.size) for b in ((top, height), (left, width))))
    return images, mask


def crop_boxes(component: RandomResizedCrop, h: int, w: int, frame: Frame) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Boxes (top, left, height, width), float [B]: the first try of ten that fits, else all within the ratio."""
    return boxes_of(component, h, w, crop_draws(component, frame))


class CropDraws(NamedTuple):
    """Area as a fraction and width over height of every try, [B, TRIES], and where the corner lies, [B, 2]."""

    area: Tensor
    ratio: Tensor
    corner: Tensor


def crop_draws(component: RandomResizedCrop, frame: Frame) -> CropDraws:
    """Draw the numbers that the boxes of a batch are made of, whatever the images' sizes."""
    low, high = (math.log(r) for r in component.ratio)
    area = frame.between("area", *component.scale, TRIES)
    return CropDraws(area, frame.between("ratio", low, high, TRIES).exp(), frame.uniform("corner", 2))


def boxes_of(component: RandomResizedCrop, h: int, w: int, draws: CropDraws) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The boxes in images of one size."""
    area, ratio, corner = draws.area * h * w, draws.ratio, draws.corner
    width, height = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (width >= 1) & (width <= w) & (height >= 1) & (height <= h)
    first = fits.int().argmax(1, keepdim=True)
    low, high = component.ratio
    whole_w, whole_h = (w, round(w / low)) if w / h < low else (round(h * high), h) if w / h > high else (w, h)
    found = fits.any(1)
    width = torch.where(found, width.gather(1, first)[:, 0], float(whole_w))
    height = torch.where(found, height.gather(1, first)[:, 0], float(whole_h))
    top, left = (corner[:, 0] * (h - height + 1)).floor(), (corner[:, 1] * (w - width + 1)).floor()
    middle = ((h - height) / 2).floor(), ((w - width) / 2).floor()
    return torch.where(found, top, middle[0]), torch.where(found, left, middle[1]), height, width


@APPLY.of(ScaleJitter)
def scale_jitter(component: ScaleJitter, x: Tensor, mask: Tensor | None, frame: Frame) -> Both:
    size, draws = component.size, jitter_draws(component, frame)
    top, left, height, width = jittered(component, x.shape[2], x.shape[3], draws)
    rows = windowed(top, height, size, x.shape[2], component.interpolation)
    columns = windowed(left, width, size, x.shape[3], component.interpolation)
    inside = _inside(height, size)[:, None, :, None] & _inside(width, size)[:, None, None, :]
    images = (rows[:, None] @ (x @ columns[:, None].transpose(2, 3)).clamp(0, 1)).clamp(0, 1)
    images = torch.where(inside, images, component.fill)
    if mask is not None:
        mask = _read_at(mask, *(_nearest_of(*w, size) for w in ((top, height, x.shape[2]), (left, width, x.shape[3]))))
        mask = torch.where(inside, mask, VOID)
    return images, mask


class JitterDraws(NamedTuple):
    """The scale of each image, [B], and where the corner of the window lies, [B, 2]."""

    scale: Tensor
    corner: Tensor


def jitter_draws(component: ScaleJitter, frame: Frame) -> JitterDraws:
    """Draw the numbers that scales and windows of a batch are made of, whatever the images' sizes."""
    return JitterDraws(frame.between("scale", *component.scale), frame.uniform("corner", 2))


def jittered(component: ScaleJitter, h: int, w: int, draws: JitterDraws) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of images of one size, int64 [B]: top and left of the window, and the height and width that they are resized to
    before (torchvision's ScaleJitter: whole pixels, cut off)."""
    ratio = min(component.size / h, component.size / w) * draws.scale.double()
    height, width = ((side * ratio).long().clamp(min=1) for side in (h, w))
    top, left = (
        (draws.corner[:, i] * ((side - component.size).clamp(min=0) + 1)).long()
        for i, side in enumerate((height, width))
    )
    return top, left, height, width


def _inside(length: Tensor, size: int) -> Tensor:
    """Mark those of `size` positions that an axis of `length` [B] pixels fills, [B, size]."""
    return torch.arange(size, device=length.device) < length[:, None]


def windowed(first: Tensor, length: Tensor, size: int, whole: int, interpolation: str) -> Tensor:
    """Weights [B, size, whole] that resize an axis of `whole` pixels to `length` [B] and show `size` of them, from
    `first` [B] on; what lies behind the end shows the last pixel."""
    if interpolation == "nearest":
        return functional.one_hot(_nearest_of(first, length, whole, size), whole).to(torch.float32)
    places = (first[:, None] + torch.arange(size, device=first.device)).minimum(length[:, None] - 1)
    return weights(places, whole / length, torch.zeros_like(first), torch.full_like(first, whole), whole, interpolation)


def _nearest_of(first: Tensor, length: Tensor, whole: int, size: int) -> Tensor:
    """The pixels [B, size] that `windowed` reads without blending."""
    places = (first[:, None] + torch.arange(size, device=first.device)).minimum(length[:, None] - 1)
    return (2 * places + 1) * whole // (2 * length[:, None])


def _read_at(mask: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """A mask [B, 1, H, W] at some rows and columns, [B, size] each."""
    batch = torch.arange(len(mask), device=mask.device)[:, None, None]
    return mask[batch, 0, rows[:, :, None], columns[:, None]][:, None]


def nearest(start: Tensor, length: Tensor, size: int) -> Tensor:
    """The pixels [B, size] that a part of an axis, from `start` over `length` [B], is read from without blending."""
    odd = 2 * torch.arange(size, device=start.device) + 1
    return start.long()[:, None] + odd * length.long()[:, None] // (2 * size)


def resampling(start: Tensor, length: Tensor, size: int, whole: int, interpolation: str) -> Tensor:
    """Weights [B, size, whole] that resize a part of an axis of `whole` pixels to `size`, as Pillow does: where it is
    made smaller, the filter is as wide as what a pixel stands for."""
    if interpolation == "nearest":
        return functional.one_hot(nearest(start, length, size), whole).to(torch.float32)
    return weights(torch.arange(size, device=start.device)[None], length / size, start, length, whole, interpolation)


def weights(places: Tensor, scale: Tensor, start: Tensor, length: Tensor, whole: int, interpolation: str) -> Tensor:
    """Weights [B, size, whole] of the pixels of an axis at `places` [B, size] of its resized part: that from `start`
    over `length` [B], in which a place stands for `scale` [B] pixels."""
    scale = scale[:, None, None]
    centre = (places[:, :, None] + 0.5) * scale
    pixel = torch.arange(whole, device=start.device) + 0.5 - start[:, None, None]
    distance = (pixel - centre).abs() / scale.clamp(min=1)
    weight = FILTERS[interpolation](distance) * ((pixel > 0) & (pixel < length[:, None, None]))
    return weight / weight.sum(2, keepdim=True)


def _cubic(x: Tensor) -> Tensor:
    """Keys' cubic with a = -0.5, as Pillow's."""
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


FILTERS: dict[str, Callable[[Tensor], Tensor]] = {"bilinear": lambda x: (1 - x).clamp(min=0), "bicubic": _cubic}
"""Weight of a pixel by its distance, in pixels of the result where that is the smaller."""
