"""Small nets as plain torch modules, built as torchvision builds its own: what people export from PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvBN(nn.Sequential):
    def __init__(self, i: int, o: int, k: int = 3, s: int = 1, g: int = 1, act: type[nn.Module] = nn.ReLU) -> None:
        super().__init__(nn.Conv2d(i, o, k, s, k // 2, groups=g, bias=False), nn.BatchNorm2d(o), act())


class Basic(nn.Module):
    def __init__(self, i: int, o: int, s: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, o, 3, s, 1, bias=False), nn.BatchNorm2d(o)
        self.conv2, self.bn2 = nn.Conv2d(o, o, 3, 1, 1, bias=False), nn.BatchNorm2d(o)
        down = nn.Sequential(nn.Conv2d(i, o, 1, s, bias=False), nn.BatchNorm2d(o))
        self.downsample = down if s > 1 or i != o else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)), inplace=False)
        y = self.bn2(self.conv2(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def resnet() -> nn.Module:
    layers = [nn.Sequential(Basic(i, o, s), Basic(o, o)) for i, o, s in ((8, 8, 1), (8, 16, 2), (16, 32, 2))]
    return nn.Sequential(ConvBN(3, 8), nn.MaxPool2d(3, 2, 1), *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(32, 5))  # fmt: skip


def vgg() -> nn.Module:
    layers: list[nn.Module] = []
    i = 3
    for o, n in ((8, 1), (16, 2), (32, 2)):
        for _ in range(n):
            layers += [nn.Conv2d(i, o, 3, padding=1), nn.ReLU(inplace=True)]
            i = o
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512, 20), nn.ReLU(), nn.Dropout(), nn.Linear(20, 5))


class Dense(nn.Module):
    def __init__(self, i: int, growth: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(i), nn.Conv2d(i, 4 * growth, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(4 * growth), nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, features: list[Tensor]) -> Tensor:
        x = self.conv1(F.relu(self.norm1(torch.cat(features, 1))))
        return self.conv2(F.relu(self.norm2(x)))


class DenseNet(nn.Module):
    """As torchvision's: every layer joins all values before it anew."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvBN(3, 8)
        self.one = nn.ModuleList(Dense(8 + 4 * i, 4) for i in range(4))
        self.transition = nn.Sequential(
            nn.BatchNorm2d(24), nn.ReLU(), nn.Conv2d(24, 12, 1, bias=False), nn.AvgPool2d(2)
        )
        self.two = nn.ModuleList(Dense(12 + 4 * i, 4) for i in range(4))
        self.head = nn.Linear(28, 5)

    def run(self, layers: nn.ModuleList, x: Tensor) -> Tensor:
        features = [x]
        for layer in layers:
            features.append(layer(features))
        return torch.cat(features, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.transition(self.run(self.one, self.stem(x)))
        x = F.adaptive_avg_pool2d(F.relu(self.run(self.two, x)), (1, 1))
        return self.head(torch.flatten(x, 1))


class Inception(nn.Module):
    def __init__(self, i: int, a: int, b: int, c: int, d: int) -> None:
        super().__init__()
        self.branch1 = ConvBN(i, a, 1)
        self.branch2 = nn.Sequential(ConvBN(i, b // 2, 1), ConvBN(b // 2, b, 3))
        self.branch3 = nn.Sequential(ConvBN(i, c // 2, 1), ConvBN(c // 2, c, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), ConvBN(i, d, 1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


def googlenet() -> nn.Module:
    return nn.Sequential(ConvBN(3, 8, 7, 2), nn.MaxPool2d(3, 2, ceil_mode=True), Inception(8, 4, 8, 4, 4),
                         Inception(20, 8, 8, 4, 4), nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Dropout(0.2),
                         nn.Linear(24, 5))  # fmt: skip


class SE(nn.Module):
    def __init__(self, c: int, gate: type[nn.Module]) -> None:
        super().__init__()
        self.avgpool, self.fc1, self.fc2, self.gate = (
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(c, 4, 1),
            nn.Conv2d(4, c, 1),
            gate(),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(self.fc2(F.relu(self.fc1(self.avgpool(x)))))


class Inverted(nn.Module):
    def __init__(self, i: int, o: int, k: int, s: int, act: type[nn.Module], gate: type[nn.Module]) -> None:
        super().__init__()
        self.block = nn.Sequential(ConvBN(i, 4 * i, 1, act=act), ConvBN(4 * i, 4 * i, k, s, 4 * i, act),
                                   SE(4 * i, gate),
                                   nn.Conv2d(4 * i, o, 1, bias=False), nn.BatchNorm2d(o))  # fmt: skip
        self.residual = s == 1 and i == o

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x) if self.residual else self.block(x)


def mobilenet(act: type[nn.Module] = nn.Hardswish, gate: type[nn.Module] = nn.Hardsigmoid) -> nn.Module:
    rows = ((8, 8, 3, 1), (8, 12, 3, 2), (12, 12, 3, 1), (12, 16, 5, 2), (16, 16, 5, 1))
    return nn.Sequential(ConvBN(3, 8, s=2, act=act), *(Inverted(*r, act, gate) for r in rows),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5))  # fmt: skip


def efficientnet() -> nn.Module:
    return mobilenet(nn.SiLU, nn.Sigmoid)


class Shuffle(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(ConvBN(c, c, 1), nn.Conv2d(c, c, 3, padding=1, groups=c, bias=False),
                                    nn.BatchNorm2d(c), ConvBN(c, c, 1))  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        a, b = x.chunk(2, dim=1)
        y = torch.cat((a, self.branch(b)), dim=1)
        n, c, h, w = y.shape
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


def shufflenet() -> nn.Module:
    return nn.Sequential(
        ConvBN(3, 16, s=2), Shuffle(8), Shuffle(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5)
    )


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = self.double(3, 8), self.double(8, 16)
        self.middle = self.double(16, 32)
        self.up2, self.up1 = nn.ConvTranspose2d(32, 16, 2, 2), nn.ConvTranspose2d(16, 8, 2, 2)
        self.right2, self.right1, self.head = self.double(32, 16), self.double(16, 8), nn.Conv2d(8, 2, 1)

    @staticmethod
    def double(i: int, o: int) -> nn.Sequential:
        return nn.Sequential(ConvBN(i, o), ConvBN(o, o))

    def forward(self, x: Tensor) -> Tensor:
        a = self.down1(x)
        b = self.down2(F.max_pool2d(a, 2))
        x = self.up2(self.middle(F.max_pool2d(b, 2)))
        x = self.up1(self.right2(torch.cat([b, x], 1)))
        return self.head(self.right1(torch.cat([a, x], 1)))


class NeXt(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.dw, self.norm = nn.Conv2d(c, c, 7, padding=3, groups=c), nn.LayerNorm(c, eps=1e-6)
        self.up, self.down, self.gamma = nn.Linear(c, 4 * c), nn.Linear(4 * c, c), nn.Parameter(torch.rand(c))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dw(x).permute(0, 2, 3, 1))
        y = self.gamma * self.down(F.gelu(self.up(y)))
        return x + y.permute(0, 3, 1, 2)


def convnext() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 4, 4), NeXt(8), NeXt(8), nn.Conv2d(8, 16, 2, 2), NeXt(16), NeXt(16),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(16), nn.Linear(16, 5))  # fmt: skip


class Encoder(nn.Module):
    """The attention of timm: one projection, cut into heads."""

    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.heads = nn.LayerNorm(d), nn.LayerNorm(d), heads
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

    def attend(self, x: Tensor) -> Tensor:
        n, length, d = x.shape
        q, k, v = self.qkv(x).reshape(n, length, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        y = ((q * (d // self.heads) ** -0.5) @ k.transpose(-2, -1)).softmax(dim=-1) @ v
        return self.proj(y.transpose(1, 2).reshape(n, length, d))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    def __init__(self, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.patches, self.token = nn.Conv2d(3, 16, 8, 8), nn.Parameter(torch.rand(1, 1, 16))
        self.position, self.blocks = nn.Parameter(torch.rand(1, 17, 16)), nn.Sequential(*blocks)
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat((self.token.expand(x.shape[0], -1, -1), x), dim=1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])


class TorchEncoder(nn.Module):
    """The attention of torchvision: nn.MultiheadAttention."""

    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.attention = nn.MultiheadAttention(d, heads, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.norm2(x))


class Tagger(nn.Module):
    def __init__(self, cell: type[nn.RNNBase], both: bool) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.rnn = cell(8, 6, batch_first=True, bidirectional=both)
        self.head = nn.Linear(12 if both else 6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.embed(x))[0])


class FPN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = ConvBN(3, 8, s=2), ConvBN(8, 16, s=2), ConvBN(16, 32, s=2)
        self.in1, self.in2, self.in3 = (nn.Conv2d(c, 8, 1) for c in (8, 16, 32))
        self.out1, self.out2 = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a = self.one(x)
        b = self.two(a)
        c = self.in3(self.three(b))
        b = self.in2(b) + F.interpolate(c, scale_factor=2.0)
        a = self.in1(a) + F.interpolate(b, scale_factor=2.0)
        return self.out1(a), self.out2(b)


IMAGE = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
TOKENS = torch.arange(14).reshape(2, 7)

NETS = {
    "resnet": (resnet, IMAGE),
    "vgg": (vgg, IMAGE),
    "densenet": (DenseNet, IMAGE),
    "googlenet": (googlenet, IMAGE),
    "mobilenet": (mobilenet, IMAGE),
    "efficientnet": (efficientnet, IMAGE),
    "shufflenet": (shufflenet, IMAGE),
    "unet": (UNet, IMAGE),
    "convnext": (convnext, IMAGE),
    "vit_timm": (lambda: ViT([Encoder(16, 2) for _ in range(3)]), IMAGE),
    "vit_torchvision": (lambda: ViT([TorchEncoder(16, 2) for _ in range(3)]), IMAGE),
    "fpn": (FPN, IMAGE),
    "lstm": (lambda: Tagger(nn.LSTM, True), TOKENS),
    "gru": (lambda: Tagger(nn.GRU, False), TOKENS),
}
"""Makers of nets and what they are exported with."""


def built(name: str) -> tuple[nn.Module, Tensor]:
    """A net at rest, and an input."""
    make, x = NETS[name]
    return at_rest(make), x


def at_rest(make: Callable[[], nn.Module]) -> nn.Module:
    """A net in evaluation mode, whose norms have statistics and weights that are not the initial ones."""
    torch.manual_seed(0)
    net = make()
    for module in net.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.2, 0.2)
    return net.eval()
