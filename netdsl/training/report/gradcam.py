"""Grad-CAM: where in an image a net looks for a class (Selvaraju et al. 2017, equations 1 and 2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from netdsl.training.evaluate import first_output


def last_maps(module: nn.Module, forward: Callable[[], Any]) -> nn.Module | None:
    """The last convolution of a pass that still gives maps of more than one position; None where there is none."""
    found: list[nn.Module] = []

    def note(layer: nn.Module, inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
            found.append(layer)

    hooks = [m.register_forward_hook(note) for m in module.modules() if isinstance(m, nn.Conv2d)]
    try:
        with torch.no_grad():
            forward()
    finally:
        for hook in hooks:
            hook.remove()
    return found[-1] if found else None


def grad_cam(module: nn.Module, layer: nn.Module, images: Tensor, targets: Sequence[int]) -> Tensor:
    """The maps [N, H, W] of images [N, C, H, W], from 0 to 1, each for its target: relu(sum_k a_k A_k), where A are the
    maps of a layer, a_k is the mean gradient of the class's logit by A_k, resized to the image and divided by the
    largest value. Of a layer that is called several times it is the last call."""
    maps = torch.empty(0)

    def leaf(layer: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        """The maps as a leaf of the graph: weights before it may be frozen."""
        nonlocal maps
        maps = output.detach().requires_grad_()
        return maps

    hook = layer.register_forward_hook(leaf)
    try:
        with torch.enable_grad():
            logits = first_output(module(images))[range(len(targets)), list(targets)].sum()
            (gradient,) = torch.autograd.grad(logits, maps, allow_unused=True, materialize_grads=True)
    finally:
        hook.remove()
    weights = gradient.mean((2, 3), keepdim=True)
    found = (weights * maps).sum(1, keepdim=True).detach().relu()
    found = functional.interpolate(found, images.shape[2:], mode="bilinear", align_corners=False)[:, 0]
    return found / found.amax((1, 2), keepdim=True).clamp(min=torch.finfo(found.dtype).tiny)


def overlay(image: Tensor, heat: Tensor) -> Tensor:
    """An image [C, H, W] in grey with a map [H, W] over it: from blue over yellow to red."""
    grey = image[:3].mean(0).expand(3, -1, -1) * 0.6
    stops = image.new_tensor([[0.10, 0.15, 0.45], [0.95, 0.85, 0.20], [0.85, 0.10, 0.10]])
    place = heat.clamp(0, 1) * 2
    low = place.floor().long().clamp(max=1)
    part = (place - low)[..., None]
    color = (stops[low] * (1 - part) + stops[low + 1] * part).permute(2, 0, 1)
    return grey * (1 - 0.6 * heat) + color * 0.6 * heat
