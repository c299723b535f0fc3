"""Further small nets as plain torch modules, in the structure of torchvision's and of PyTorch's own examples."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv_bn(i: int, o: int, k: int = 3, s: int = 1, g: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(i, o, k, s, k // 2, groups=g, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True))


def head(c: int, classes: int = 5) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, classes)]


def alexnet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, 2, 2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d((2, 2)),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(64, 20),
        nn.ReLU(),
        nn.Linear(20, 5),
    )


class Fire(nn.Module):
    def __init__(self, i: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze, self.e1, self.e3 = (
            nn.Conv2d(i, squeeze, 1),
            nn.Conv2d(squeeze, expand, 1),
            nn.Conv2d(squeeze, expand, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.e1(x)), F.relu(self.e3(x))], 1)


def squeezenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        Fire(8, 4, 8),
        Fire(16, 4, 8),
        nn.Dropout(),
        nn.Conv2d(16, 5, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d((1, 1)),
        nn.Flatten(),
    )


class Bottleneck(nn.Module):
    def __init__(self, i: int, width: int, o: int, s: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv_bn(i, width, 1), conv_bn(width, width, 3, s, groups)
        self.conv3, self.bn3 = nn.Conv2d(width, o, 1, bias=False), nn.BatchNorm2d(o)
        self.downsample = (
            nn.Sequential(nn.Conv2d(i, o, 1, s, bias=False), nn.BatchNorm2d(o)) if s > 1 or i != o else None
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn3(self.conv3(self.conv2(self.conv1(x))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def resnext() -> nn.Module:
    rows = ((8, 8, 16, 1), (16, 8, 16, 1), (16, 16, 32, 2), (32, 16, 32, 1))
    return nn.Sequential(conv_bn(3, 8, 7, 2), *(Bottleneck(*r, groups=4) for r in rows), *head(32))


class Linked(nn.Module):
    """MobileNet v2's block."""

    def __init__(self, i: int, o: int, s: int) -> None:
        super().__init__()
        hidden = 6 * i
        self.conv = nn.Sequential(
            nn.Conv2d(i, hidden, 1, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, hidden, 3, s, 1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU6(),
            nn.Conv2d(hidden, o, 1, bias=False),
            nn.BatchNorm2d(o),
        )
        self.linked = s == 1 and i == o

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.linked else self.conv(x)


def mobilenet_v2() -> nn.Module:
    return nn.Sequential(conv_bn(3, 8, s=2), Linked(8, 8, 1), Linked(8, 12, 2), Linked(12, 12, 1), *head(12))


class FCN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.classes = nn.Sequential(conv_bn(3, 8, s=2), conv_bn(8, 16, s=2)), nn.Conv2d(16, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(self.classes(self.body(x)), size=x.shape[-2:], mode="bilinear", align_corners=False)


class ASPP(nn.Module):
    """The head of DeepLab v3: holes of several widths, and the mean of the image."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, o, 3, padding=d, dilation=d, bias=False), nn.BatchNorm2d(o), nn.ReLU())
            for d in (2, 4)
        )
        self.one, self.pool, self.project = (
            conv_bn(i, o, 1),
            nn.Sequential(nn.AdaptiveAvgPool2d(1), conv_bn(i, o, 1)),
            conv_bn(4 * o, o, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        mean = F.interpolate(self.pool(x), size=x.shape[-2:], mode="bilinear", align_corners=False)
        return self.project(torch.cat([self.one(x), *(c(x) for c in self.convs), mean], 1))


def deeplab() -> nn.Module:
    return nn.Sequential(conv_bn(3, 8, s=2), ASPP(8, 8), nn.Conv2d(8, 4, 1))


def generator() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (16, 1, 1)),
        nn.ConvTranspose2d(16, 16, 4, 1, 0, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.ConvTranspose2d(16, 8, 4, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 3, 4, 2, 1),
        nn.Tanh(),
    )


def discriminator() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(8, 16, 4, 2, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.LeakyReLU(0.2),
        nn.Conv2d(16, 1, 8),
        nn.Flatten(),
        nn.Sigmoid(),
    )


def espcn() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.Tanh(), nn.Conv2d(8, 12, 3, padding=1), nn.PixelShuffle(2))


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(3072, 32), nn.ReLU())
        self.mean, self.log_var = nn.Linear(32, 4), nn.Linear(32, 4)
        self.decoder = nn.Sequential(
            nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 3072), nn.Sigmoid(), nn.Unflatten(1, (3, 32, 32))
        )

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h = self.encoder(x)
        mean = self.mean(h)
        return self.decoder(mean), mean, self.log_var(h)


class Mixer(nn.Module):
    def __init__(self, tokens: int, d: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.tokens = nn.Sequential(nn.Linear(tokens, 8), nn.GELU(), nn.Linear(8, tokens))
        self.channels = nn.Sequential(nn.Linear(d, 32), nn.GELU(), nn.Linear(32, d))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm2(x))


class MixerNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(3, 12, 8, 8), nn.Sequential(Mixer(16, 12), Mixer(16, 12))
        self.norm, self.head = nn.LayerNorm(12), nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.blocks(self.stem(x).flatten(2).transpose(1, 2))).mean(1))


class GPTLayer(nn.Module):
    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2, self.heads = nn.LayerNorm(d), nn.LayerNorm(d), heads
        self.c_attn, self.c_proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(approximate="tanh"), nn.Linear(4 * d, d))

    def forward(self, x: Tensor) -> Tensor:
        n, length, d = x.shape
        q, k, v = (
            t.view(n, length, self.heads, d // self.heads).transpose(1, 2)
            for t in self.c_attn(self.ln_1(x)).split(d, 2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(y.transpose(1, 2).contiguous().view(n, length, d))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """As nanoGPT: two embeddings, blocks, a norm, scores."""

    def __init__(self) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(20, 16), nn.Embedding(12, 16)
        self.h, self.ln_f = nn.Sequential(*(GPTLayer(16, 2) for _ in range(3))), nn.LayerNorm(16)
        self.lm_head = nn.Linear(16, 20, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
        return self.lm_head(self.ln_f(self.h(x)))


class Transformer(nn.Module):
    """PyTorch's own layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, norm_first=True, activation="gelu")
        self.encoder, self.head = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x)))


class TCN(nn.Module):
    """Causal convolutions over a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(4, 8, 1)
        self.convs = nn.ModuleList(nn.Conv1d(8, 8, 3, dilation=d) for d in (1, 2, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for i, conv in enumerate(self.convs):
            x = x + F.relu(conv(F.pad(x, (2 * 2**i, 0))))
        return x.mean(-1)


def resnet3d() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(2, 4, 3, (1, 2, 2), 1, bias=False),
        nn.BatchNorm3d(4),
        nn.ReLU(),
        nn.MaxPool3d(2),
        nn.AdaptiveAvgPool3d(1),
        nn.Flatten(),
        nn.Linear(4, 3),
    )


class PointNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.points = nn.Sequential(
            nn.Conv1d(3, 8, 1), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 16, 1), nn.BatchNorm1d(16)
        )
        self.head = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(self.head(torch.max(self.points(x), 2)[0]), dim=1)


class TwoTowers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.image, self.table = (
            nn.Sequential(conv_bn(3, 8, s=2), *head(8, 6)),
            nn.Sequential(nn.Linear(5, 6), nn.Tanh()),
        )

    def forward(self, image: Tensor, row: Tensor) -> Tensor:
        a, b = F.normalize(self.image(image), dim=-1), F.normalize(self.table(row), dim=-1)
        return (a * b).sum(-1, keepdim=True)


def random(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


IMAGE, TOKENS = (random(2, 3, 32, 32),), (torch.arange(14).reshape(2, 7),)

MORE = {
    "alexnet": (alexnet, IMAGE),
    "squeezenet": (squeezenet, IMAGE),
    "resnext": (resnext, IMAGE),
    "mobilenet_v2": (mobilenet_v2, IMAGE),
    "fcn": (FCN, IMAGE),
    "deeplab": (deeplab, IMAGE),
    "dcgan_generator": (generator, (random(2, 16),)),
    "dcgan_discriminator": (discriminator, IMAGE),
    "espcn": (espcn, IMAGE),
    "autoencoder": (Autoencoder, IMAGE),
    "mixer": (MixerNet, IMAGE),
    "gpt": (GPT, TOKENS),
    "transformer": (Transformer, TOKENS),
    "tcn": (TCN, (random(2, 4, 20),)),
    "resnet3d": (resnet3d, (random(2, 2, 8, 16, 16),)),
    "pointnet": (PointNet, (random(2, 3, 30),)),
    "two_towers": (TwoTowers, (*IMAGE, random(2, 5))),
}
"""Makers of nets and what they are exported with."""
