"""Initial weights of the published recipes: deviations by the formulas of the code that made the published weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from published import net_of, recipe
from torch import Tensor, nn

from netdsl.planning.initialization import NetParameters
from netdsl.training.initialize import Start, initialize

Rule = Callable[[str, nn.Module, str, Tensor], float | None]
"""(path, layer, name, tensor) -> the deviation that the tensor should have; None: left to the default of the layer."""


def begun(name: str) -> nn.Module:
    """The net of a recipe with the recipe's initial weights."""
    net = net_of(name)
    module = net.module(seed=3)
    initialize(recipe(name).init, Start(module, NetParameters.of(net.checked), Path()), 0)
    return module


def fan_out(w: Tensor) -> float:
    """kaiming_normal_(mode="fan_out", nonlinearity="relu"): sqrt(2 / (out * kernel))."""
    return math.sqrt(2 / (w.shape[0] * w[0, 0].numel()))


def default(w: Tensor) -> float:
    """torch's own: uniform within 1 / sqrt(fan_in)."""
    return 1 / math.sqrt(3 * w[0].numel())


def glorot(w: Tensor) -> float:
    return math.sqrt(2 / (w.shape[0] + w.shape[1]))


def resnet(path: str, layer: nn.Module, own: str, w: Tensor) -> float | None:
    return fan_out(w) if isinstance(layer, nn.Conv2d) else default(w) if own == "weight" else None


def mobile(path: str, layer: nn.Module, own: str, w: Tensor) -> float | None:
    """torchvision's MobileNets: the squeeze and excitation's layers are convolutions there."""
    return 0.0 if own == "bias" else 0.01 if "head" in path and w.ndim == 2 else fan_out(w if w.ndim == 4 else conv(w))


def efficient(path: str, layer: nn.Module, own: str, w: Tensor) -> float | None:
    if own == "bias":
        return 0.0
    return 1000**-0.5 / math.sqrt(3) if "head" in path and w.ndim == 2 else fan_out(w if w.ndim == 4 else conv(w))


def conv(w: Tensor) -> Tensor:
    return w[:, :, None, None]


def truncated(path: str, layer: nn.Module, own: str, w: Tensor) -> float | None:
    return None if own == "gamma" else 0.0 if own.endswith("bias") else 0.02


def swin(path: str, layer: nn.Module, own: str, w: Tensor) -> float | None:
    """torchvision leaves the convolution of the patches to torch."""
    return (
        default(w)
        if path == "stem.0.weight"
        else None
        if path == "stem.0.bias"
        else 0.0
        if own.endswith("bias")
        else 0.02
    )


def vit(path: str, layer: nn.Module, own: str, w: Tensor) -> float | None:
    if own.endswith("bias") or own == "class_token" or path.startswith("head"):
        return 0.0
    if path.startswith("patches"):
        return math.sqrt(1 / 768)
    if own == "positions":
        return 0.02
    return default(w) if "out_proj" in path else glorot(w)


def deit(path: str, layer: nn.Module, own: str, w: Tensor) -> float | None:
    if w.ndim == 4 or path == "patches.patchify.bias":
        return default(w) if w.ndim == 4 else None
    return 0.0 if own.endswith("bias") else 0.02


def alexnet(path: str, layer: nn.Module, own: str, w: Tensor) -> float | None:
    return 0.0 if own == "bias" else 0.01


RULES: dict[str, Rule] = {
    "resnet:Torchvision90": resnet, "resnet:Torchvision600": resnet, "resnet:A1": resnet,
    "mobilenet_v2:Torchvision300": mobile, "mobilenet_v3:Torchvision600": mobile,
    "efficientnet:ImageNet350_B0": efficient, "efficientnet_v2:Torchvision600": efficient,
    "efficientnet_v2:ImageNet350": efficient,
    "convnext:ImageNet300": truncated, "convnext:Torchvision600": truncated, "swin:Torchvision300": swin,
    "vit:Torchvision300": vit, "vit:DeiT300": deit, "alexnet:ImageNet90": alexnet,
    "resnet_cifar:CIFAR10": lambda path, layer, own, w: 0.0 if own == "bias" else math.sqrt(2 / w[0].numel()),
    "char_rnn:TinyShakespeare": lambda path, layer, own, w: 0.08 / math.sqrt(3),
    "mobilenet_v1:ImageNet100": lambda path, layer, own, w: 0.0 if own == "bias" else 0.09,
}  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_deviations_are_those_of_the_code(name: str) -> None:
    module, tried = begun(name), 0
    for path, layer in module.named_modules():
        for own, w in layer.named_parameters(recurse=False):
            if "Norm" in type(layer).__name__ or w.numel() < 64:
                continue
            expected = RULES[name](f"{path}.{own}", layer, own, w.detach())
            if expected is not None:
                tried += 1
                room = 5 * expected / math.sqrt(2 * w.numel()) + 1e-6
                assert float(w.detach().std()) == pytest.approx(expected, abs=room), f"{path}.{own}"
    assert tried > 5


def test_every_block_of_strikes_back_starts_as_the_identity() -> None:
    """timm and mmpretrain: the gain of a branch's last norm is 0, all others are 1."""
    gains = {n: float(p.detach().mean()) for n, p in begun("resnet:A1").named_parameters() if n.endswith("bn.weight")}
    last = {n for n in gains if "conv_bn3" in n}
    assert len(last) == 16
    assert gains == {n: 0.0 if n in last else 1.0 for n in gains}


def test_alexnets_biases_are_1_where_the_paper_says() -> None:
    """Ones in the second, fourth and fifth convolution and in the hidden full layers; zeros elsewhere."""
    found = {n: p.detach() for n, p in begun("alexnet:ImageNet90").named_parameters() if n.endswith("bias")}
    values: list[Any] = [b.unique().tolist() for b in found.values()]
    assert values == [[0], [1], [0], [1], [1], [1], [1], [0]]


def test_airbench_starts_from_copies() -> None:
    """Output i of a convolution copies input i; the outputs beyond are torch's own; the first layer is orthogonal."""
    module = begun("airbench:CIFAR10")
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
            w, inputs = layer.weight.detach(), layer.in_channels
            same = min(len(w), inputs)
            assert torch.equal(w[:same], nn.init.dirac_(torch.empty(same, inputs, 3, 3)))
            if len(w) > inputs:
                assert float(w[inputs:].std()) == pytest.approx(default(w), rel=0.05)
    rows = module.get_parameter("whiten.weight").detach().flatten(1)
    assert torch.allclose(rows.T @ rows, torch.eye(12), atol=1e-5)
