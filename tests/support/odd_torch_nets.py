"""Nets that no library has, as plain torch modules: odd forms in which people write what layers they know."""

from __future__ import annotations

import torch
from more_torch_nets import IMAGE, conv_bn, head, random
from torch import Tensor, nn
from torch.nn import functional as F


class WindowBlock(nn.Module):
    """Shifted windows as torchvision writes them: channels last, padded, rolled, cut; a table of relative positions."""

    def __init__(self, dim: int, heads: int, side: int, size: int, shift: int) -> None:
        super().__init__()
        self.heads, self.size, self.shift = heads, size, shift
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))
        self.table = nn.Parameter(torch.randn((2 * size - 1) ** 2, heads))
        place = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")).flatten(1)
        offset = place[:, :, None] - place[:, None] + size - 1
        self.register_buffer("index", (offset[0] * (2 * size - 1) + offset[1]).flatten())
        region = torch.zeros(side, side)
        for i, rows in enumerate((slice(-size), slice(-size, -shift), slice(-shift, None))):
            for j, columns in enumerate((slice(-size), slice(-size, -shift), slice(-shift, None))):
                region[rows, columns] = 3 * i + j
        cut = region.view(side // size, size, side // size, size).transpose(1, 2).reshape(-1, size * size)
        self.register_buffer("mask", (cut[:, None] != cut[:, :, None]).float() * -100.0)

    def attend(self, x: Tensor) -> Tensor:
        n, h, w, c = x.shape
        s, length = self.size, self.size**2
        x = torch.roll(x, (-self.shift, -self.shift), (1, 2)) if self.shift else x
        x = x.view(n, h // s, s, w // s, s, c).permute(0, 1, 3, 2, 4, 5).reshape(-1, length, c)
        q, k, v = self.qkv(x).reshape(x.shape[0], length, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        scores = (q * (c // self.heads) ** -0.5) @ k.transpose(-2, -1)
        scores = scores + self.table[self.index].view(length, length, -1).permute(2, 0, 1).contiguous()[None]
        if self.shift:
            count = len(self.mask)
            scores = scores.view(x.shape[0] // count, count, self.heads, length, length) + self.mask[:, None][None]
            scores = scores.view(-1, self.heads, length, length)
        x = self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(x.shape[0], length, c))
        x = x.view(n, h // s, w // s, s, s, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h, w, c)
        return torch.roll(x, (self.shift, self.shift), (1, 2)) if self.shift else x

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attend(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Windowed(nn.Module):
    """Two blocks of shifted windows, merged patches, one block whose image is a single window."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 4, 4)
        self.norm, self.merge = nn.LayerNorm(16), nn.Linear(64, 32, bias=False)
        self.low = nn.Sequential(WindowBlock(16, 2, 8, 4, 0), WindowBlock(16, 2, 8, 4, 2))
        self.high = WindowBlock(32, 4, 4, 4, 0)
        self.head = nn.Linear(32, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.low(self.norm(self.stem(x).permute(0, 2, 3, 1)))
        x = torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)
        return self.head(self.high(self.merge(x)).mean((1, 2)))


class Siamese(nn.Module):
    """One encoder for both images, which meet as a product, a distance and side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(conv_bn(3, 8, s=2), conv_bn(8, 16, s=2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        a, b = self.encoder(left), self.encoder(right)
        return torch.sigmoid(self.head(torch.cat([a * b, (a - b).abs(), a, b], 1)))


class Experts(nn.Module):
    """A dense mixture: every expert answers, a gate weighs the answers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(12, 16)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(16, 24), nn.GELU(), nn.Linear(24, 16)) for _ in range(4))
        self.gate, self.head = nn.Linear(16, 4), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        weights = self.gate(x).softmax(-1)
        answers = torch.stack([e(x) for e in self.experts], 1)
        return self.head(x + (weights.unsqueeze(-1) * answers).sum(1))


class Pooling(nn.Module):
    """A sequence read by one learnt query, beside its mean and its largest numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.proj = nn.Conv1d(4, 16, 5, padding=2)
        self.query = nn.Parameter(torch.randn(16))
        self.key = nn.Linear(16, 16)
        self.head = nn.Linear(48, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.proj(x)).transpose(1, 2)
        weights = (torch.tanh(self.key(x)) * self.query).sum(-1).softmax(-1)
        mixed = (weights.unsqueeze(-1) * x).sum(1)
        return self.head(torch.cat([mixed, x.mean(1), x.amax(1)], -1))


class Gated(nn.Module):
    """A residual block of one dimension with a gate of its own (as in language models with convolutions)."""

    def __init__(self, c: int, dilation: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(c, 2 * c, 3, padding=dilation, dilation=dilation)
        self.mix, self.scale = nn.Conv1d(c, c, 1), nn.Parameter(torch.full((c, 1), 0.5))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.scale * self.mix(F.glu(self.conv(x), 1))


class Sequence(nn.Module):
    """Gated blocks with growing dilations, an answer at each step and one for the whole."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(2, 8, 1)
        self.blocks = nn.Sequential(*(Gated(8, 2**i) for i in range(4)))
        self.step, self.whole = nn.Conv1d(8, 3, 1), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.blocks(self.stem(x))
        return self.step(x), self.whole(x.mean(-1))


class Squeezed(nn.Module):
    """Variants of squeeze and excitation: by the mean and the largest, over the channels and over the places (CBAM),
    and a one-dimensional convolution across the channels (ECA)."""

    def __init__(self, c: int) -> None:
        super().__init__()
        self.conv = conv_bn(c, c)
        self.mlp = nn.Sequential(nn.Linear(c, c // 4), nn.ReLU(), nn.Linear(c // 4, c))
        self.place, self.across = nn.Conv2d(2, 1, 7, padding=3), nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        gate = torch.sigmoid(self.mlp(y.mean((2, 3))) + self.mlp(y.amax((2, 3))))
        y = y * gate[:, :, None, None]
        y = y * torch.sigmoid(self.place(torch.cat([y.mean(1, keepdim=True), y.amax(1, keepdim=True)], 1)))
        eca = self.across(F.adaptive_avg_pool2d(y, 1).squeeze(-1).transpose(1, 2)).transpose(1, 2).unsqueeze(-1)
        return x + y * torch.sigmoid(eca)


def squeezed() -> nn.Module:
    return nn.Sequential(conv_bn(3, 16, s=2), Squeezed(16), Squeezed(16), *head(16))


class Scales(nn.Module):
    """Two resolutions that exchange what they see, a pyramid of pools, a head for each task."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.down = conv_bn(3, 8, s=2), conv_bn(8, 16, s=2)
        self.fine = nn.ModuleList(conv_bn(8, 8) for _ in range(2))
        self.coarse = nn.ModuleList(conv_bn(16, 16) for _ in range(2))
        self.up = nn.ModuleList(nn.Conv2d(16, 8, 1) for _ in range(2))
        self.across = nn.ModuleList(nn.Conv2d(8, 16, 3, 2, 1) for _ in range(2))
        self.mask, self.kind = nn.Conv2d(8, 2, 1), nn.Linear(16 * 21, 5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        fine = self.stem(x)
        coarse = self.down(fine)
        for f, c, up, to in zip(self.fine, self.coarse, self.up, self.across, strict=True):
            a, b = f(fine), c(coarse)
            fine = F.relu(a + F.interpolate(up(b), scale_factor=2, mode="bilinear", align_corners=False))
            coarse = F.relu(b + to(a))
        pooled = [F.adaptive_avg_pool2d(coarse, n).flatten(1) for n in (1, 2, 4)]
        mask = F.interpolate(self.mask(fine), scale_factor=2, mode="nearest")
        return mask, self.kind(torch.cat(pooled, 1))


class GatedMixer(nn.Module):
    """A mixer whose tokens gate each other (gMLP)."""

    def __init__(self, tokens: int, dim: int) -> None:
        super().__init__()
        self.norm, self.inner = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.up, self.down, self.across = nn.Linear(dim, 2 * dim), nn.Linear(dim, dim), nn.Linear(tokens, tokens)

    def forward(self, x: Tensor) -> Tensor:
        u, v = F.gelu(self.up(self.norm(x))).chunk(2, -1)
        v = self.across(self.inner(v).transpose(1, 2)).transpose(1, 2)
        return x + self.down(u * v)


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 12, 8, 8)
        self.blocks = nn.Sequential(*(GatedMixer(16, 12) for _ in range(3)))
        self.head = nn.Linear(12, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.patch(x).flatten(2).transpose(1, 2)).mean(1))


class Messages(nn.Module):
    """Rows of a graph's nodes, sent along edges, and summed at their ends."""

    def __init__(self) -> None:
        super().__init__()
        self.message, self.own, self.head = nn.Linear(6, 8), nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, nodes: Tensor, source: Tensor, target: Tensor) -> Tensor:
        sent = self.message(nodes).gather(1, source.unsqueeze(-1).expand(-1, -1, 8))
        zeros = nodes.new_zeros(nodes.shape[0], nodes.shape[1], 8)
        total = zeros.scatter_add(1, target.unsqueeze(-1).expand(-1, -1, 8), sent)
        return self.head(F.relu(self.own(nodes) + total))


class TiedAutoencoder(nn.Module):
    """Its decoder reads the encoder's weights the other way round."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.bias = nn.Linear(20, 6), nn.Parameter(torch.randn(20))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(torch.tanh(self.encoder(x)), self.encoder.weight.t(), self.bias)


EDGES = torch.tensor([[0, 1, 2, 3, 4, 0], [4, 3, 2, 1, 0, 1]])
ODD = {
    "windowed": (Windowed, IMAGE),
    "siamese": (Siamese, (*IMAGE, random(2, 3, 32, 32).flip(2))),
    "experts": (Experts, (random(3, 12),)),
    "pooling": (Pooling, (random(2, 4, 20),)),
    "sequence": (Sequence, (random(2, 2, 24),)),
    "squeezed": (squeezed, IMAGE),
    "scales": (Scales, IMAGE),
    "mixed": (Mixed, IMAGE),
    "messages": (Messages, (random(2, 5, 6), EDGES, EDGES.flip(1))),
    "tied": (TiedAutoencoder, (random(2, 20),)),
}
"""Makers of nets and what they are exported with."""
