"""Six nets of torchvision, written by hand in its structure and with its names, as others export them."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.plain_nets import ConvNeXt, Permute


def unit(
    i: int, o: int, kernel: int = 3, stride: int = 1, groups: int = 1, act: type[nn.Module] | None = nn.ReLU,
    eps: float = 1e-5,
) -> nn.Sequential:  # fmt: skip
    """torchvision's Conv2dNormActivation."""
    layers = [nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(o, eps=eps)]
    return nn.Sequential(*layers, *([act()] if act is not None else []))


class Bottleneck(nn.Module):
    def __init__(self, i: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(i, width, 1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, stride, 1, bias=False), nn.BatchNorm2d(width)
        self.conv3, self.bn3 = nn.Conv2d(width, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = unit(i, 4 * width, 1, stride, act=None) if stride > 1 or i != 4 * width else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class ResNet50(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        i = 64
        for stage, depth in enumerate((3, 4, 6, 3)):
            width, blocks = 64 * 2**stage, []
            for j in range(depth):
                blocks.append(Bottleneck(i, width, 2 if stage and not j else 1))
                i = 4 * width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(2048, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


class SqueezeExcitation(nn.Module):
    def __init__(self, c: int, squeezed: int, act: type[nn.Module], gate: type[nn.Module]) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1, self.fc2 = nn.Conv2d(c, squeezed, 1), nn.Conv2d(squeezed, c, 1)
        self.activation, self.scale_activation = act(), gate()

    def forward(self, x: Tensor) -> Tensor:
        return self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x))))) * x


def eight(value: float) -> int:
    """The nearest multiple of 8 that is at least nine tenths of a width."""
    found = max(8, int(value + 4) // 8 * 8)
    return found + 8 if found < 0.9 * value else found


class InvertedResidual(nn.Module):
    """MobileNet v3's block."""

    def __init__(self, i: int, kernel: int, hidden: int, o: int, gated: bool, hard: bool, stride: int) -> None:
        super().__init__()
        act, eps = nn.Hardswish if hard else nn.ReLU, 1e-3
        layers = [unit(i, hidden, 1, act=act, eps=eps)] if hidden != i else []
        layers.append(unit(hidden, hidden, kernel, stride, hidden, act, eps))
        layers += [SqueezeExcitation(hidden, eight(hidden / 4), nn.ReLU, nn.Hardsigmoid)] if gated else []
        self.block = nn.Sequential(*layers, unit(hidden, o, 1, act=None, eps=eps))
        self.same = stride == 1 and i == o

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) + x if self.same else self.block(x)


MOBILE = (
    (3, 16, 16, 0, 0, 1), (3, 64, 24, 0, 0, 2), (3, 72, 24, 0, 0, 1), (5, 72, 40, 1, 0, 2), (5, 120, 40, 1, 0, 1),
    (5, 120, 40, 1, 0, 1), (3, 240, 80, 0, 1, 2), (3, 200, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1), (3, 184, 80, 0, 1, 1),
    (3, 480, 112, 1, 1, 1), (3, 672, 112, 1, 1, 1), (5, 672, 160, 1, 1, 2), (5, 960, 160, 1, 1, 1),
    (5, 960, 160, 1, 1, 1),
)  # fmt: skip
"""Kernel, hidden width, width, gate, hard swish, stride of each block of MobileNet v3 large."""


class MobileNetV3Large(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [unit(3, 16, 3, 2, act=nn.Hardswish, eps=1e-3)]
        i = 16
        for kernel, hidden, o, gated, hard, stride in MOBILE:
            layers.append(InvertedResidual(i, kernel, hidden, o, bool(gated), bool(hard), stride))
            i = o
        self.features = nn.Sequential(*layers, unit(160, 960, 1, act=nn.Hardswish, eps=1e-3))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Linear(960, 1280), nn.Hardswish(), nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class MBConv(nn.Module):
    """EfficientNet's block."""

    def __init__(self, i: int, o: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden, squeezed = i * expand, max(1, i // 4)
        layers = [unit(i, hidden, 1, act=nn.SiLU)] if expand > 1 else []
        layers.append(unit(hidden, hidden, kernel, stride, hidden, nn.SiLU))
        layers.append(SqueezeExcitation(hidden, squeezed, nn.SiLU, nn.Sigmoid))
        self.block = nn.Sequential(*layers, unit(hidden, o, 1, act=None))
        self.same = stride == 1 and i == o

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x) + x if self.same else self.block(x)


class EfficientNetB0(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        stages: list[nn.Module] = [unit(3, 32, 3, 2, act=nn.SiLU)]
        i = 32
        for expand, kernel, stride, o, depth in (
            (1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3), (6, 5, 1, 112, 3),
            (6, 5, 2, 192, 4), (6, 3, 1, 320, 1),
        ):  # fmt: skip
            stages.append(
                nn.Sequential(*(MBConv(o if j else i, o, kernel, 1 if j else stride, expand) for j in range(depth)))
            )
            i = o
        self.features = nn.Sequential(*stages, unit(320, 1280, 1, act=nn.SiLU))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 1000))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


class EncoderBlock(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(dim, eps=1e-6)
        self.self_attention = nn.MultiheadAttention(dim, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(0.0), nn.Linear(4 * dim, dim), nn.Dropout(0.0)
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln_1(x)
        x = self.self_attention(y, y, y, need_weights=False)[0] + x
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    def __init__(self, length: int, dim: int, depth: int, heads: int) -> None:
        super().__init__()
        self.pos_embedding = nn.Parameter(torch.randn(1, length, dim) * 0.02)
        self.layers = nn.Sequential(OrderedDict((f"encoder_layer_{i}", EncoderBlock(dim, heads)) for i in range(depth)))
        self.ln = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.ln(self.layers(x + self.pos_embedding))


class ViTB16(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(1, 1, 768))
        self.conv_proj = nn.Conv2d(3, 768, 16, 16)
        self.encoder = Encoder(197, 768, 12, 12)
        self.heads = nn.Sequential(OrderedDict(head=nn.Linear(768, 1000)))

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[0]
        x = self.conv_proj(x).reshape(n, 768, 196).permute(0, 2, 1)
        x = self.encoder(torch.cat([self.class_token.expand(n, -1, -1), x], dim=1))
        return self.heads(x[:, 0])


class ShiftedWindowAttention(nn.Module):
    def __init__(self, dim: int, heads: int, shift: int, window: int = 7) -> None:
        super().__init__()
        self.window, self.shift, self.heads = window, shift, heads
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.relative_position_bias_table = nn.Parameter(torch.randn((2 * window - 1) ** 2, heads) * 0.02)
        grid = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
        apart = grid[:, :, None] - grid[:, None] + window - 1
        self.register_buffer("relative_position_index", (apart[0] * (2 * window - 1) + apart[1]).flatten())

    def forward(self, x: Tensor) -> Tensor:
        b, height, width, c = x.shape
        w, shift = self.window, self.shift if self.window < height else 0
        if shift:
            x = torch.roll(x, (-shift, -shift), (1, 2))
        rows, columns = height // w, width // w
        x = x.view(b, rows, w, columns, w, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, w * w, c)
        q, k, v = self.qkv(x).reshape(-1, w * w, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        attention = (q * (c // self.heads) ** -0.5).matmul(k.transpose(-2, -1))
        bias = self.relative_position_bias_table[self.relative_position_index].view(w * w, w * w, -1)
        attention = attention + bias.permute(2, 0, 1).unsqueeze(0)
        if shift:
            mask = self.mask(height, width, shift, x)
            count = rows * columns
            attention = attention.view(-1, count, self.heads, w * w, w * w) + mask.unsqueeze(1).unsqueeze(0)
            attention = attention.view(-1, self.heads, w * w, w * w)
        x = functional.softmax(attention, dim=-1).matmul(v).transpose(1, 2).reshape(-1, w * w, c)
        x = self.proj(x).view(-1, rows, columns, w, w, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, height, width, c)
        return torch.roll(x, (shift, shift), (1, 2)) if shift else x

    def mask(self, height: int, width: int, shift: int, x: Tensor) -> Tensor:
        w, regions, count = self.window, x.new_zeros((height, width)), 0
        for rows in ((0, -w), (-w, -shift), (-shift, None)):
            for columns in ((0, -w), (-w, -shift), (-shift, None)):
                regions[slice(*rows), slice(*columns)] = count
                count += 1
        regions = regions.view(height // w, w, width // w, w).permute(0, 2, 1, 3).reshape(-1, w * w)
        apart = regions.unsqueeze(1) - regions.unsqueeze(2)
        return apart.masked_fill(apart != 0, -100.0).masked_fill(apart == 0, 0.0)


class SwinBlock(nn.Module):
    def __init__(self, dim: int, heads: int, shift: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.attn = ShiftedWindowAttention(dim, heads, shift)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(0.0), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchMerging(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduction, self.norm = nn.Linear(4 * dim, 2 * dim, bias=False), nn.LayerNorm(4 * dim)

    def forward(self, x: Tensor) -> Tensor:
        parts = [x[..., i::2, j::2, :] for j in (0, 1) for i in (0, 1)]
        return self.reduction(self.norm(torch.cat(parts, -1)))


class SwinT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Sequential(nn.Conv2d(3, 96, 4, 4), Permute([0, 2, 3, 1]), nn.LayerNorm(96))]
        for stage, depth in enumerate((2, 2, 6, 2)):
            dim = 96 * 2**stage
            layers += [PatchMerging(dim // 2)] if stage else []
            layers.append(nn.Sequential(*(SwinBlock(dim, 3 * 2**stage, 3 * (j % 2)) for j in range(depth))))
        self.features, self.norm, self.head = nn.Sequential(*layers), nn.LayerNorm(768), nn.Linear(768, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.features(x)).permute(0, 3, 1, 2)
        return self.head(torch.flatten(functional.adaptive_avg_pool2d(x, 1), 1))


NETS = {
    "ResNet50": ("resnet", ResNet50), "MobileNetV3_Large": ("mobilenet_v3", MobileNetV3Large),
    "EfficientNet_B0": ("efficientnet", EfficientNetB0), "ConvNeXt_T": ("convnext", ConvNeXt),
    "Swin_T": ("swin", SwinT), "ViT_B16": ("vit", ViTB16),
}  # fmt: skip
"""By the name of the zoo's net: its spec, and the module."""
