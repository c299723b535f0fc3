"""Rules for the interpreter: ops over channels and positions, and positions moved, added and left out."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import torch
from op_rules import Weights, along, counted, rule, weight_of
from torch import Tensor
from torch.nn import functional as F

# Over channels and positions.


@rule("bn")
def bn(op: Any, w: Weights, x: Tensor) -> Tensor:
    y = (x - along(x, 1, w["running_mean"])) / torch.sqrt(along(x, 1, w["running_var"]) + op.eps)
    return y * along(x, 1, w["weight"]) + along(x, 1, w["bias"]) if op.affine else y


@rule("groupnorm", "instancenorm")
def groupnorm(op: Any, w: Weights, x: Tensor) -> Tensor:
    groups = op.num_groups if op.kind == "groupnorm" else x.shape[1]
    cut = x.reshape(x.shape[0], groups, -1)
    centred = cut - cut.mean(-1, keepdim=True)
    y = (centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + op.eps)).reshape(x.shape)
    return y * along(x, 1, w["weight"]) + along(x, 1, w["bias"]) if op.affine else y


@rule("lrn")
def lrn(op: Any, w: Weights, x: Tensor) -> Tensor:
    around = F.pad(x.square(), (0, 0, 0, 0, op.size // 2, op.size // 2))
    mean = sum(around[:, i : i + x.shape[1]] for i in range(op.size)) / op.size
    return x / (op.k + op.alpha * mean) ** op.beta


@rule("standardize")
def standardize(op: Any, w: Weights, x: Tensor) -> Tensor:
    if op.per != "image":
        return (x - w["mean"]) / w["std"]
    axes = tuple(range(1, x.ndim))
    var, mean = torch.var_mean(x, axes, correction=0, keepdim=True)
    return (x - mean) / var.sqrt().clamp(min=prod(x.shape[1:]) ** -0.5)


# Windows over positions.


def convolved(x: Tensor, op: Any, weight: Tensor, bias: Tensor | None) -> Tensor:
    padded = padded_by(x, [(0, 0), *((p, p) for p in op.padding)], op.padding_mode)
    conv = (F.conv1d, F.conv2d, F.conv3d)[x.ndim - 3]
    return conv(padded, weight, bias, op.stride, 0, op.dilation, op.groups)


@rule("conv")
def conv(op: Any, w: Weights, x: Tensor) -> Tensor:
    weight = weight_of(op, w)
    if op.weight_standardization:
        flat = weight.flatten(1)
        centred = flat - flat.mean(1, keepdim=True)
        weight = (centred / (centred.square().mean(1, keepdim=True) + op.eps).sqrt()).reshape(weight.shape)
    return convolved(x, op, weight, w.get("bias"))


@rule("scaled_conv")
def scaled_conv(op: Any, w: Weights, x: Tensor) -> Tensor:
    flat = w["weight"].flatten(1)
    centred = flat - flat.mean(1, keepdim=True)
    weight = op.gamma / flat.shape[1] ** 0.5 * centred / (centred.square().mean(1, keepdim=True) + op.eps).sqrt()
    return convolved(x, op, w["gain"] * weight.reshape(w["weight"].shape), w.get("bias"))


@rule("upconv")
def upconv(op: Any, w: Weights, x: Tensor) -> Tensor:
    """Zeros between the positions, then a convolution with the turned kernel."""
    axes = x.ndim - 2
    spaced = x.new_zeros(*x.shape[:2], *((n - 1) * s + 1 for n, s in zip(x.shape[2:], op.stride, strict=True)))
    spaced[(slice(None), slice(None), *(slice(None, None, s) for s in op.stride))] = x
    reach = [d * (k - 1) for k, d in zip(op.kernel_size, op.dilation, strict=True)]
    margins = [(r - p, r - p + o) for r, p, o in zip(reach, op.padding, op.output_padding, strict=True)]
    weight = w["weight"].flip(tuple(range(2, axes + 2)))
    weight = weight.unflatten(0, (op.groups, -1)).transpose(1, 2).flatten(0, 1)
    conv = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    padded = padded_by(spaced, [(0, 0), *margins], "zeros")
    return conv(padded, weight, w.get("bias"), 1, 0, op.dilation, op.groups)


@rule("maxpool")
def maxpool(op: Any, w: Weights, x: Tensor) -> Tensor:
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[x.ndim - 3]
    return pool(x, op.kernel_size, op.stride, op.padding, op.dilation, op.ceil_mode)


@rule("avgpool")
def avgpool(op: Any, w: Weights, x: Tensor) -> Tensor:
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[x.ndim - 3]
    return pool(x, op.kernel_size, op.stride, op.padding, op.ceil_mode, op.count_include_pad)


@rule("lppool")
def lppool(op: Any, w: Weights, x: Tensor) -> Tensor:
    pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[x.ndim - 3]
    mean = pool(x.pow(op.norm_type), op.kernel_size, op.stride, 0, op.ceil_mode, True)
    return (mean * prod(op.kernel_size)).pow(1 / op.norm_type)


@rule("gap")
def gap(op: Any, w: Weights, x: Tensor) -> Tensor:
    return x.flatten(2).mean(2)


@rule("gmp")
def gmp(op: Any, w: Weights, x: Tensor) -> Tensor:
    return x.flatten(2).amax(2)


@rule("adaptive_avgpool", "adaptive_maxpool")
def adaptive(op: Any, w: Weights, x: Tensor) -> Tensor:
    for axis, m in enumerate(op.output_size, start=2):
        n = x.shape[axis]
        parts = [x.narrow(axis, i * n // m, -((i + 1) * n // -m) - i * n // m) for i in range(m)]
        reduced = [p.mean(axis) if op.kind == "adaptive_avgpool" else p.amax(axis) for p in parts]
        x = torch.stack(reduced, axis)
    return x


@rule("subsample")
def subsample(op: Any, w: Weights, x: Tensor) -> Tensor:
    return x[(slice(None), slice(None), *(slice(None, None, s) for s in op.stride))]


@rule("blurpool")
def blurpool(op: Any, w: Weights, x: Tensor) -> Tensor:
    x = padded_by(x, [(0, 0), *(((k - 1) // 2, k // 2) for k in op.kernel_size)], "reflect")
    conv = (F.conv1d, F.conv2d, F.conv3d)[x.ndim - 3]
    return conv(x, w["weight"], None, op.stride, 0, 1, x.shape[1])


@rule("upsample")
def upsample(op: Any, w: Weights, x: Tensor, *like: Tensor) -> Tensor:
    names = {3: "linear", 4: "bilinear", 5: "trilinear"}
    mode = names[x.ndim] if op.mode == "bilinear" else op.mode
    given: dict[str, Any] = {"size": op.size} if op.size is not None else {"scale_factor": op.scale_factor}
    corners = op.align_corners if op.mode != "nearest" else None
    return F.interpolate(x, **given, mode=mode, align_corners=corners, antialias=op.antialias)


# Positions moved, added and left out.


def padded_by(x: Tensor, pairs: list[tuple[int, int]], mode: str) -> Tensor:
    """A margin at each axis after the batch, by picking positions."""
    if mode == "zeros":
        return F.pad(x, [n for pair in reversed(pairs) for n in pair])
    how = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode]
    for axis, pair in enumerate(pairs, start=1):
        if any(pair):
            places = np.pad(np.arange(x.shape[axis]), pair, mode=how)  # type: ignore[call-overload]
            x = x.index_select(axis, torch.from_numpy(places))
    return x


@rule("pad")
def pad(op: Any, w: Weights, x: Tensor) -> Tensor:
    if op.mode == "zeros":
        return F.pad(x, [n for pair in reversed(op.padding) for n in pair], value=op.value)
    return padded_by(x, list(op.padding), op.mode)


@rule("crop")
def crop(op: Any, w: Weights, x: Tensor, *like: Tensor) -> Tensor:
    for axis, size in enumerate(op.size, start=2):
        x = x.narrow(axis, (x.shape[axis] - size) // 2, size)
    return x


@rule("narrow")
def narrow(op: Any, w: Weights, x: Tensor) -> Tensor:
    axis = counted(x, op.axis)
    start = op.start if op.start >= 0 else x.shape[axis] + op.start
    return x.index_select(axis, torch.arange(start, start + op.length))


@rule("take")
def take(op: Any, w: Weights, x: Tensor) -> Tensor:
    axis = counted(x, op.axis)
    if isinstance(op.index, int):
        return x.select(axis, op.index)
    return x.index_select(axis, torch.tensor([i % x.shape[axis] for i in op.index]))


@rule("roll")
def roll(op: Any, w: Weights, x: Tensor) -> Tensor:
    axes = [counted(x, a) for a in op.axes] if op.axes is not None else list(range(2, x.ndim))
    shifts = [op.shifts] * len(axes) if isinstance(op.shifts, int) else list(op.shifts)
    for shift, axis in zip(shifts, axes, strict=True):
        n = x.shape[axis]
        x = x.index_select(axis, (torch.arange(n) - shift) % n)
    return x


@rule("pixel_shuffle")
def pixel_shuffle(op: Any, w: Weights, x: Tensor) -> Tensor:
    r, (n, c, h, v) = op.upscale_factor, x.shape
    cut = x.reshape(n, c // r**2, r, r, h, v)
    return cut.permute(0, 1, 4, 2, 5, 3).reshape(n, c // r**2, h * r, v * r)


@rule("pixel_unshuffle")
def pixel_unshuffle(op: Any, w: Weights, x: Tensor) -> Tensor:
    r, (n, c, h, v) = op.downscale_factor, x.shape
    cut = x.reshape(n, c, h // r, r, v // r, r)
    return cut.permute(0, 1, 3, 5, 2, 4).reshape(n, c * r**2, h // r, v // r)


@rule("channel_shuffle")
def channel_shuffle(op: Any, w: Weights, x: Tensor) -> Tensor:
    each = x.shape[1] // op.groups
    order = [i * each + j for j in range(each) for i in range(op.groups)]
    return x[:, order]


# Patches, and images read at places.


def _each(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def _places(op: Any, height: int, width: int) -> Any:
    """For each patch, the place of each of its pixels in the image with its margin, row by row."""
    (kh, kw), (dh, dw), (ph, pw), (sh, sw) = (_each(v) for v in (op.kernel_size, op.dilation, op.padding, op.stride))
    tops = range(0, height + 2 * ph - dh * (kh - 1), sh)
    lefts = range(0, width + 2 * pw - dw * (kw - 1), sw)
    return [[(t + i * dh, s + j * dw) for i in range(kh) for j in range(kw)] for t in tops for s in lefts]


@rule("unfold")
def unfold(op: Any, w: Weights, x: Tensor) -> Tensor:
    (ph, pw), (height, width) = _each(op.padding), x.shape[2:]
    padded = F.pad(x, (pw, pw, ph, ph))
    patches = [torch.stack([padded[:, :, i, j] for i, j in patch], 2) for patch in _places(op, height, width)]
    return torch.stack(patches, 3).flatten(1, 2)


@rule("fold")
def fold(op: Any, w: Weights, x: Tensor) -> Tensor:
    (kh, kw), (ph, pw), (height, width) = _each(op.kernel_size), _each(op.padding), _each(op.output_size)
    whole = x.new_zeros(x.shape[0], x.shape[1] // (kh * kw), height + 2 * ph, width + 2 * pw)
    columns = x.unflatten(1, (-1, kh * kw))
    for column, patch in enumerate(_places(op, height, width)):
        for pixel, (i, j) in enumerate(patch):
            whole[:, :, i, j] += columns[:, :, pixel, column]
    return whole[:, :, ph : ph + height, pw : pw + width]


@rule("grid_sample")
def grid_sample(op: Any, w: Weights, x: Tensor, grid: Tensor) -> Tensor:
    batch = max(x.shape[0], grid.shape[0])
    x, grid = x.expand(batch, *x.shape[1:]), grid.expand(batch, *grid.shape[1:])
    columns, rows = (_pixels(op, grid[..., i], x.shape[3 - i]) for i in (0, 1))
    if op.mode == "nearest":
        return _read(op, x, torch.round(rows).long(), torch.round(columns).long())
    total = torch.zeros(())
    for down in (0, 1):
        for right in (0, 1):
            i, j = torch.floor(rows) + down, torch.floor(columns) + right
            weight = (1 - (rows - i).abs()) * (1 - (columns - j).abs())
            total = total + weight[:, None] * _read(op, x, i.long(), j.long())
    return total


def _pixels(op: Any, places: Tensor, size: int) -> Tensor:
    """Places from -1 to 1 as numbers of pixels."""
    at = (places + 1) / 2 * (size - 1) if op.align_corners else ((places + 1) * size - 1) / 2
    if op.padding_mode == "border":
        return at.clamp(0, size - 1)
    if op.padding_mode == "reflection":
        low, span = (0.0, size - 1) if op.align_corners else (-0.5, size)
        inside = (at - low).abs() % (2 * span) if span else torch.zeros_like(at)
        return (torch.where(inside > span, 2 * span - inside, inside) + low).clamp(0, size - 1)
    return at


def _read(op: Any, x: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """The pixels at places, 0 beyond the image."""
    height, width = x.shape[2:]
    inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
    n = torch.arange(x.shape[0])[:, None, None]
    return x[n, :, i.clamp(0, height - 1), j.clamp(0, width - 1)].movedim(-1, 1) * inside[:, None]
