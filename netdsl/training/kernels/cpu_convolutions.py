"""Convolutions of small images in the forms that a CPU computes fastest: the same weights, the same results up to
rounding.

oneDNN is tuned for large images. With few places in an image, a 1x1 convolution spends its time on rearranging its
weight, and a depthwise one with a large kernel on its weight gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

FEW_PLACES = 512
"""Places of a batch, B * H * W, up to which a matrix product is faster than a 1x1 convolution."""

SMALL_WIDTH = 16
"""Width of an image up to which the weight gradient is faster by matrix products of its rows."""

LARGE_KERNEL = 1_000_000
"""Numbers in a weight above which a convolution of few places is slower channels-last on a CPU."""


def is_exact(device: torch.device) -> bool:
    """Whether channels-last convolutions are right on a device.

    On a CPU without AVX-512, torch 2.13 (oneDNN) writes beyond the weight gradient of a channels-last convolution
    with few channels: of a 1x1 with stride 2 from 4 to 6 it is wrong by 2%, and the process may crash.
    """
    return device.type != "cpu" or "AVX512" in torch.backends.cpu.get_cpu_capability()


def uses_channels_last(layout: str, module: nn.Module) -> bool:
    """Whether a recipe's `layout` means channels-last images.

    `auto`: always on a GPU. On a CPU it pays for most nets (ResNet-20 1.3 times, ResNet-50 at 64 px 1.4), and costs
    some percent where most of the weights are in large kernels (ResNet-18 at 64 px), but for depthwise convolutions.
    """
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    if layout != "auto" or not convolutions:
        return layout == "channels_last"
    if next(module.parameters()).device.type == "cuda" or any(m.groups == m.in_channels > 1 for m in convolutions):
        return True
    sizes = [m.weight.numel() for m in convolutions if m.kernel_size != (1, 1)]
    return sum(n for n in sizes if n > LARGE_KERNEL) <= sum(p.numel() for p in module.parameters()) / 2


def takes_channels_last(layout: str, module: nn.Module) -> bool:
    """Whether a module is trained on channels-last images: where the recipe means them and they are exact."""
    return is_exact(next(module.parameters()).device) and uses_channels_last(layout, module)


def use_fast_convolutions(module: nn.Module) -> None:
    """Let the convolutions of a channels-last module choose their form by the image they get.

    Layers change their class, as torch's own parametrizations do; weights, keys and hooks stay.
    """
    for layer in module.modules():
        if type(layer) is nn.Conv2d and layer.padding_mode == "zeros":
            if is_pointwise(layer):
                layer.__class__ = Pointwise
            elif is_large_depthwise(layer):
                layer.__class__ = Depthwise


def is_pointwise(layer: nn.Conv2d) -> bool:
    """Whether a convolution is a linear map at every place."""
    return layer.kernel_size == layer.stride == (1, 1) and layer.padding == (0, 0) and layer.groups == 1


def is_large_depthwise(layer: nn.Conv2d) -> bool:
    """Whether a convolution is depthwise, keeps the image's size, and has a kernel of 7x7 or more."""
    k = layer.kernel_size[0]
    whole = layer.stride == layer.dilation == (1, 1) and layer.padding == (k // 2, k // 2)
    depthwise = layer.groups == layer.in_channels == layer.out_channels
    return depthwise and whole and layer.kernel_size == (k, k) and k >= 7 and k % 2 == 1


class Pointwise(nn.Conv2d):
    """A 1x1 convolution."""

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.numel() > FEW_PLACES * x.shape[1] or x.dtype != self.weight.dtype:
            return super().forward(x)
        y = functional.linear(x.permute(0, 2, 3, 1), self.weight.flatten(1), self.bias)
        return y.permute(0, 3, 1, 2)


class Depthwise(nn.Conv2d):
    """A depthwise convolution that keeps the image's size."""

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[3] > SMALL_WIDTH or not torch.is_grad_enabled() or x.dtype != self.weight.dtype:
            return super().forward(x)
        y: Tensor = SmallDepthwise.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return y


class SmallDepthwise(torch.autograd.Function):
    """A depthwise convolution whose weight gradient is computed by `weight_gradient`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return functional.conv2d(x, weight, bias, padding=weight.shape[2] // 2, groups=len(weight))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        back, kernel, bias = ctx.needs_input_grad
        half, one = [weight.shape[2] // 2] * 2, [1, 1]
        only_input = [True, False, False]
        return (
            torch.ops.aten.convolution_backward(
                grad, x, weight, None, one, half, one, False, [0, 0], len(weight), only_input
            )[0]
            if back
            else None,
            weight_gradient(x, grad, weight.shape[2]) if kernel else None,
            grad.sum((0, 2, 3)) if bias else None,
        )


def weight_gradient(x: Tensor, grad: Tensor, k: int) -> Tensor:
    """The gradient of a depthwise weight, [C, 1, k, k], from input and output gradient [B, C, H, W].

    For each row of the kernel, the products of all pairs of columns (one of `grad`, one of the row of `x` that it sees)
    are summed over images and rows by one matrix product per channel; a column of the kernel then sums the pairs that
    are so far apart. That is W / k times the work, at ten times the speed.
    """
    batch, channels, height, width = x.shape
    seen = x.permute(1, 2, 0, 3).contiguous()  # [C, H, B, W]
    given = grad.permute(1, 2, 0, 3).reshape(channels, height * batch, width).transpose(1, 2)
    pairs = x.new_zeros(k, channels, width, width)
    for row in range(k):
        shift = row - k // 2
        first, last = max(0, shift), height + min(0, shift)
        if first < last:
            below = seen[:, first:last].view(channels, -1, width)
            torch.bmm(given[:, :, (first - shift) * batch : (last - shift) * batch], below, out=pairs[row])
    kernel = pairs.view(k * channels, width * width) @ columns(width, k).to(x)
    return kernel.view(k, channels, 1, k).permute(1, 2, 0, 3)


def columns(width: int, k: int) -> Tensor:
    """1 where a pair of columns (p, q) is seen by column q - p + k // 2 of a kernel, [width * width, k]."""
    apart = (torch.arange(width) - torch.arange(width)[:, None]).flatten() + k // 2
    return (apart[:, None] == torch.arange(k)).to(torch.float32)
