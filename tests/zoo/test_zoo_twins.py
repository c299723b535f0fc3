"""Blocks of the zoo whose numbers are easy to get wrong, against torch written by hand from their descriptions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from zoo_tables import ROOT

from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source


def block(file: str, call: str, shape: list[int]) -> nn.Module:
    """One call of a block of the zoo as a module in evaluation mode, with weights and statistics that hide nothing."""
    name = call.partition("(")[0].partition(" ")[0]
    text = f"from {file} import {name}\n\nnet N {{\n  input x {shape}\n  {call}\n}}\n"
    net = Spec(Source(text, str(ROOT / "specs" / "n.net")), read_import).net("N")
    assert not net.diagnostics, [d.message for d in net.diagnostics]
    module = net.module(seed=0).eval()
    generator = torch.Generator().manual_seed(1)
    for tensor in module.state_dict().values():
        if tensor.dtype.is_floating_point:
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + (0.5 if tensor.ndim == 1 else -0.5))
    return module


class Weights:
    """The tensors of a state dict, taken in order by what reads them."""

    def __init__(self, module: nn.Module) -> None:
        kept = [v for k, v in module.state_dict().items() if not k.endswith("num_batches_tracked")]
        self.rest: Iterator[Tensor] = iter(kept)

    def conv(self, x: Tensor, stride: int = 1, padding: int = 0, groups: int = 1) -> Tensor:
        return F.conv2d(x, next(self.rest), stride=stride, padding=padding, groups=groups)

    def bn(self, x: Tensor, eps: float = 1e-5) -> Tensor:
        weight, bias, mean, var = (next(self.rest) for _ in range(4))
        return F.batch_norm(x, mean, var, weight, bias, eps=eps)


def same(x: Tensor, k: int, value: float = 0.0) -> Tensor:
    """TensorFlow's padding "same" for a stride of 2."""
    margins = []
    for size in (x.shape[-1], x.shape[-2]):
        total = max((-(-size // 2) - 1) * 2 + k - size, 0)
        margins += [total // 2, total - total // 2]
    return F.pad(x, margins, value=value)


def depthwise(k: int) -> Callable[[Weights, Tensor], Tensor]:
    return lambda w, x: w.conv(same(x, k), stride=2, groups=x.shape[1])


def halved(w: Weights, x: Tensor) -> Tensor:
    x = x.relu()
    odd = F.avg_pool2d(F.pad(x, (-1, 1, -1, 1)), 1, stride=2, count_include_pad=False)
    return w.bn(torch.cat([w.conv(F.avg_pool2d(x, 1, stride=2)), w.conv(odd)], 1), eps=1e-3)


def zero_padded(w: Weights, x: Tensor) -> Tensor:
    return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))


def early_bottleneck(w: Weights, x: Tensor) -> Tensor:
    y = w.bn(w.conv(x, stride=2)).relu()
    y = w.bn(w.conv(y, padding=1)).relu()
    y = w.bn(w.conv(y))
    return (y + w.bn(w.conv(x, stride=2))).relu()


def pre_activated(w: Weights, x: Tensor) -> Tensor:
    x = w.bn(x).relu()
    y = w.conv(w.bn(w.conv(x, stride=2, padding=1)).relu(), padding=1)
    return y + w.conv(x, stride=2)


TWINS: list[tuple[str, str, list[int], Callable[[Weights, Tensor], Tensor]]] = [
    *[("nasnet", f"Depthwise({k}, 2)", [4, s, s], depthwise(k)) for k in (3, 5, 7) for s in (10, 11)],
    *[("nasnet", "HalfAverage", [4, s, s], lambda w, x: F.avg_pool2d(same(x, 3), 3, 2)) for s in (10, 11)],
    *[("nasnet", "HalfMax", [4, s, s], lambda w, x: F.max_pool2d(same(x, 3, -9e9), 3, 2)) for s in (10, 11)],
    *[("nasnet", "Halve(6)", [4, s, s], halved) for s in (10, 11)],
    ("resnet_cifar", "Padded(8, 2)", [4, 10, 10], zero_padded),
    ("resnet", "Bottleneck(4, 2, early=true)", [8, 10, 10], early_bottleneck),
    ("preresnet", "Basic(6, 2)", [4, 10, 10], pre_activated),
]


@pytest.mark.parametrize(("file", "call", "shape", "twin"), TWINS, ids=[f"{t[0]} {t[1]} {t[2][1]}" for t in TWINS])
def test_block_computes_what_its_twin_does(file: str, call: str, shape: list[int], twin: Any) -> None:
    module = block(file, call, shape)
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(2))
    weights = Weights(module)
    with torch.no_grad():
        torch.testing.assert_close(module(x), twin(weights, x), rtol=1e-5, atol=1e-5)
    assert next(weights.rest, None) is None


def test_lenet_measures_distances_to_its_targets() -> None:
    module = block("lenet", "LeNet5_1998 -> it", [1, 32, 32])
    state = module.state_dict()
    (targets,) = [v for v in state.values() if v.shape == (10, 84)]
    seen: list[Tensor] = []
    (last,) = [m for m in module.modules() if isinstance(m, nn.Linear)]
    last.register_forward_hook(lambda m, x, y: seen.append(1.7159 * torch.tanh(2 / 3 * y)))
    with torch.no_grad():
        y = module(torch.randn(3, 1, 32, 32))
    torch.testing.assert_close(y, -torch.cdist(seen[0], targets).square(), rtol=1e-4, atol=1e-3)
