"""Foreign state dicts: small twins of torchvision's and timm's layouts, written by hand, give the same outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from weight_twins import TorchvisionNet, randomised

import netdsl
from netdsl.backends.torch.module import load_state
from netdsl.cli.main import main
from netdsl.elaborate.given import Expression
from netdsl.weights.slots import slots


class TorchvisionBottleneck(nn.Module):
    """The block of torchvision's resnet.py: the shortcut is registered last."""

    def __init__(self, width: int, c: int, stride: int, project: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, c, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c)
        self.conv2 = nn.Conv2d(c, c, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c)
        self.conv3 = nn.Conv2d(c, 4 * c, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * c)
        self.downsample = (
            nn.Sequential(nn.Conv2d(width, 4 * c, 1, stride, bias=False), nn.BatchNorm2d(4 * c)) if project else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


class TorchvisionResNet(TorchvisionNet):
    def __init__(self, depths: list[int], classes: int) -> None:
        width, stages = 64, []
        for i, depth in enumerate(depths):
            blocks = []
            for j in range(depth):
                blocks.append(TorchvisionBottleneck(width, 64 * 2**i, 2 if i and not j else 1, j == 0))
                width = 256 * 2**i
            stages.append(blocks)
        super().__init__(stages, (64, width), classes)


class TorchvisionNorm(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class TorchvisionCNBlock(nn.Module):
    """The block of torchvision's convnext.py: linears over channels-last, the layer scale registered first."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layer_scale = nn.Parameter(torch.ones(dim, 1, 1))
        self.block = nn.Sequential(
            nn.Conv2d(dim, dim, 7, padding=3, groups=dim),
            nn.Identity(),
            nn.LayerNorm(dim, eps=1e-6),
            nn.Linear(dim, 4 * dim),
            nn.GELU(),
            nn.Linear(4 * dim, dim),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.block[0](x).permute(0, 2, 3, 1)
        y = self.block[5](F.gelu(self.block[3](self.block[2](y))))
        return x + self.layer_scale * y.permute(0, 3, 1, 2)


class TorchvisionConvNeXt(nn.Module):
    def __init__(self, depths: list[int], widths: list[int], classes: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Sequential(nn.Conv2d(3, widths[0], 4, 4), TorchvisionNorm(widths[0], eps=1e-6))]
        for i, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            if i:
                layers.append(
                    nn.Sequential(TorchvisionNorm(widths[i - 1], eps=1e-6), nn.Conv2d(widths[i - 1], width, 2, 2))
                )
            layers.append(nn.Sequential(*[TorchvisionCNBlock(width) for _ in range(depth)]))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            TorchvisionNorm(widths[-1], eps=1e-6), nn.Flatten(1), nn.Linear(widths[-1], classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3), keepdim=True))


TWINS = [
    (TorchvisionResNet([2, 1, 2], 7), "ResNet", {"unit": "Bottleneck", "depths": [2, 1, 2], "classes": 7}, "resnet"),
    (
        TorchvisionConvNeXt([2, 1, 2], [16, 24, 40], 7),
        "ConvNeXt",
        {"depths": [2, 1, 2], "widths": [16, 24, 40], "classes": 7},
        "convnext",
    ),
]


@pytest.mark.parametrize(("twin", "name", "arguments", "spec"), TWINS, ids=[t[3] for t in TWINS])
def test_the_mapped_net_computes_the_same(
    twin: nn.Module, name: str, arguments: dict[str, Any], spec: str, tmp_path: Path
) -> None:
    torch.save(randomised(twin).state_dict(), tmp_path / "foreign.pth")
    target = f"specs/{spec}.net:{name}"
    given = [w for k, v in arguments.items() for w in ("-p", f"{k}={v}")]
    out = tmp_path / "own.safetensors"
    assert main(["weights", target, str(tmp_path / "foreign.pth"), "-o", str(out), *given]) == 0
    from safetensors.numpy import load_file

    spec_path = f"specs/{spec}.net"
    plain = {k: Expression(v) if isinstance(v, str) else v for k, v in arguments.items()}
    module = netdsl.load(spec_path, net=name, **plain).module().eval()
    load_state(module, load_file(out))
    x = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected = twin(x)
        assert (module(x) - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_every_tensor_of_a_net_has_a_slot() -> None:
    net = netdsl.load("specs/resnet.net", net="ResNet18")
    state = net.module().state_dict()
    assert {s.key: s.shape for s in slots(net.program.main)} == {k: tuple(v.shape) for k, v in state.items()}
    assert [s.key for s in slots(net.program.main)] == list(state)
