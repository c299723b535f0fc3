"""Blocks of the modern zoo as PyTorch modules written by hand from their papers and reference code.

Parameters are registered in the order in which the block uses them, so that weights can be copied one by one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GRN(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(c))
        self.bias = nn.Parameter(torch.empty(c))

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, H, W, C]."""
        norm = x.norm(p=2, dim=(1, 2), keepdim=True)
        norm = norm / (norm.mean(dim=-1, keepdim=True) + 1e-6)
        return x + self.bias + self.weight * (x * norm)


class ConvNeXtBlock(nn.Module):
    def __init__(self, c: int, v2: bool = False) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(c, c, 7, padding=3, groups=c)
        self.norm = nn.LayerNorm(c, eps=1e-6)
        self.up = nn.Linear(c, 4 * c)
        self.grn = GRN(4 * c) if v2 else nn.Identity()
        self.down = nn.Linear(4 * c, c)
        self.gamma = None if v2 else nn.Parameter(torch.empty(c))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.down(self.grn(F.gelu(self.up(y))))
        y = y if self.gamma is None else self.gamma * y
        return x + y.permute(0, 3, 1, 2)

    def ordered(self) -> list[Tensor]:
        """The scale comes last."""
        own = [p for n, p in self.named_parameters() if n != "gamma"]
        return own if self.gamma is None else [*own, self.gamma]


class SwinBlock(nn.Module):
    """Liu et al. (2021), with the mask built by slices and one loop over windows, as the paper's figure 4 says."""

    def __init__(self, c: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.norm1 = nn.LayerNorm(c)
        self.table = nn.Embedding((2 * window - 1) ** 2, heads)
        self.qkv = nn.Linear(c, 3 * c)
        self.proj = nn.Linear(c, c)
        self.norm2 = nn.LayerNorm(c)
        self.up = nn.Linear(c, 4 * c)
        self.down = nn.Linear(4 * c, c)

    def regions(self, height: int, width: int) -> Tensor:
        numbers = torch.zeros(height, width)
        cuts = (slice(0, -self.window), slice(-self.window, -self.shift), slice(-self.shift, None))
        for i, rows in enumerate(cuts):
            for j, columns in enumerate(cuts):
                numbers[rows, columns] = 3 * i + j
        return numbers

    def bias(self, p: int, q: int) -> Tensor:
        """What position q of a window adds to the scores of position p, for each head."""
        w = self.window
        rows, columns = p // w - q // w + w - 1, p % w - q % w + w - 1
        return self.table.weight[rows * (2 * w - 1) + columns]

    def attend(self, x: Tensor, region: Tensor | None) -> Tensor:
        """Attention inside one window: x [N, L, C]."""
        n, length, c = x.shape
        q, k, v = self.qkv(x).reshape(n, length, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1) * (c // self.heads) ** -0.5
        bias = torch.stack([torch.stack([self.bias(i, j) for j in range(length)]) for i in range(length)])
        scores = scores + bias.permute(2, 0, 1)
        if region is not None:
            scores = scores + -100.0 * (region[:, None] != region[None, :])
        return self.proj((scores.softmax(-1) @ v).transpose(1, 2).reshape(n, length, c))

    def forward(self, x: Tensor) -> Tensor:
        _, _, height, width = x.shape
        w, s = self.window, self.shift
        x = x.permute(0, 2, 3, 1)
        y = torch.roll(self.norm1(x), (-s, -s), (1, 2))
        out = torch.zeros_like(y)
        numbers = self.regions(height, width) if s else None
        for top in range(0, height, w):
            for left in range(0, width, w):
                here = (slice(top, top + w), slice(left, left + w))
                region = numbers[here].flatten() if numbers is not None else None
                seen = self.attend(y[:, here[0], here[1]].flatten(1, 2), region)
                out[:, here[0], here[1]] = seen.reshape(len(x), w, w, -1)
        x = x + torch.roll(out, (s, s), (1, 2))
        x = x + self.down(F.gelu(self.up(self.norm2(x))))
        return x.permute(0, 3, 1, 2)


class SwinMerge(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4 * c)
        self.reduction = nn.Linear(4 * c, 2 * c, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        x0, x1, x2, x3 = x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]
        return self.reduction(self.norm(torch.cat([x0, x1, x2, x3], -1))).permute(0, 3, 1, 2)


class ViTLayer(nn.Module):
    def __init__(self, d: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(d, eps=1e-6)
        self.attention = nn.MultiheadAttention(d, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(d, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(d, 4 * d), nn.GELU(), nn.Linear(4 * d, d))

    def forward(self, x: Tensor) -> Tensor:
        y = self.ln_1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class MixerLayer(nn.Module):
    def __init__(self, length: int, d: int, tokens: int, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(d, eps=1e-6)
        self.tokens = nn.Sequential(nn.Linear(length, tokens), nn.GELU(), nn.Linear(tokens, length))
        self.norm2 = nn.LayerNorm(d, eps=1e-6)
        self.channels = nn.Sequential(nn.Linear(d, channels), nn.GELU(), nn.Linear(channels, d))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norm1(x).transpose(1, 2)).transpose(1, 2)
        return x + self.channels(self.norm2(x))


class StdConv(nn.Conv2d):
    """Weights standardised as a batch norm of the filters, as the reference code does."""

    def __init__(self, *args: Any, eps: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.eps = eps

    def standard(self, gain: Tensor | None = None) -> Tensor:
        flat = self.weight.reshape(1, self.out_channels, -1)
        return F.batch_norm(flat, None, None, gain, training=True, momentum=0.0, eps=self.eps).reshape_as(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.standard(), self.bias)


class ScaledConv(StdConv):
    def __init__(self, *args: Any, gamma: float, **kwargs: Any) -> None:
        super().__init__(*args, eps=1e-5, **kwargs)
        self.gain = nn.Parameter(torch.empty(self.out_channels, 1, 1, 1))
        self.scale = gamma * self.weight[0].numel() ** -0.5

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.standard((self.gain * self.scale).view(-1)), self.bias)


class SameConv(ScaledConv):
    """Padded as TensorFlow does."""

    def forward(self, x: Tensor) -> Tensor:
        k, s = self.kernel_size[0], self.stride[0]
        margins: list[int] = []
        for size in (x.shape[-1], x.shape[-2]):
            total = max((-(-size // s) - 1) * s + k - size, 0)
            margins += [total // 2, total - total // 2]
        return super().forward(F.pad(x, margins))


class NFBlock(nn.Module):
    """The normalizer-free bottleneck; `act` includes what the activation is rescaled by."""

    def __init__(
        self, cin: int, c: int, mid: int, stride: int, beta: float, groups: int,
        conv: Callable[..., nn.Module], act: Callable[[Tensor], Tensor], threes: int, gate: bool, skip: bool,
    ) -> None:  # fmt: skip
        super().__init__()
        self.stride, self.beta, self.act = stride, beta, act
        self.skipinit = nn.Parameter(torch.empty(())) if skip else None
        self.downsample = conv(cin, c, 1) if cin != c or stride > 1 else None
        convs = [conv(cin, mid, 1)]
        convs += [conv(mid, mid, 3, stride=stride if i == 0 else 1, groups=groups) for i in range(threes)]
        self.convs = nn.ModuleList([*convs, conv(mid, c, 1)])
        self.gate = nn.Sequential(nn.Linear(c, c // 2), nn.ReLU(), nn.Linear(c // 2, c)) if gate else None

    def forward(self, x: Tensor) -> Tensor:
        out = self.act(x) * self.beta
        shortcut = x
        if self.downsample is not None:
            pooled = F.avg_pool2d(out, 2, 2, ceil_mode=True, count_include_pad=False) if self.stride > 1 else out
            shortcut = self.downsample(pooled)
        for i, conv in enumerate(self.convs):
            out = conv(self.act(out) if i else out)
        if self.gate is not None:
            out = 2.0 * torch.sigmoid(self.gate(out.mean((2, 3))))[:, :, None, None] * out
        if self.skipinit is not None:
            out = out * self.skipinit
        return out * 0.2 + shortcut


class BiTBlock(nn.Module):
    def __init__(self, cin: int, c: int, stride: int) -> None:
        super().__init__()

        def conv(i: int, o: int, k: int, s: int = 1) -> nn.Module:
            return StdConv(i, o, k, s, k // 2, bias=False, eps=1e-8)

        self.norm1 = nn.GroupNorm(32, cin)
        self.downsample = conv(cin, 4 * c, 1, stride) if stride > 1 or cin != 4 * c else None
        self.conv1 = conv(cin, c, 1)
        self.norm2 = nn.GroupNorm(32, c)
        self.conv2 = conv(c, c, 3, stride)
        self.norm3 = nn.GroupNorm(32, c)
        self.conv3 = conv(c, 4 * c, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.norm1(x).relu()
        shortcut = x if self.downsample is None else self.downsample(first)
        y = self.conv2(self.norm2(self.conv1(first)).relu())
        return self.conv3(self.norm3(y).relu()) + shortcut


class HourglassUnit(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        h = c // 2
        self.body = nn.Sequential(
            nn.BatchNorm2d(c), nn.ReLU(), nn.Conv2d(c, h, 1),
            nn.BatchNorm2d(h), nn.ReLU(), nn.Conv2d(h, h, 3, padding=1),
            nn.BatchNorm2d(h), nn.ReLU(), nn.Conv2d(h, c, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Hourglass(nn.Module):
    def __init__(self, depth: int, c: int) -> None:
        super().__init__()
        self.low1 = HourglassUnit(c)
        self.low2 = Hourglass(depth - 1, c) if depth > 1 else HourglassUnit(c)
        self.low3 = HourglassUnit(c)
        self.up1 = HourglassUnit(c)

    def forward(self, x: Tensor) -> Tensor:
        low = self.low3(self.low2(self.low1(F.max_pool2d(x, 2))))
        return self.up1(x) + F.interpolate(low, scale_factor=2)


class UNet2015(nn.Module):
    """Figure 1 of Ronneberger et al. (2015), at another width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [width * 2**i for i in range(5)]

        def double(i: int, o: int) -> nn.Module:
            return nn.Sequential(nn.Conv2d(i, o, 3), nn.ReLU(), nn.Conv2d(o, o, 3), nn.ReLU())

        self.downs = nn.ModuleList([double(i, o) for i, o in zip([1, *widths[:-1]], widths, strict=True)])
        pairs = [(nn.ConvTranspose2d(2 * w, w, 2, 2), double(2 * w, w)) for w in reversed(widths[:-1])]
        self.ups = nn.ModuleList([m for pair in pairs for m in pair])
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for i, down in enumerate(self.downs):
            x = down(F.max_pool2d(x, 2) if i else x)
            skips.append(x)
        for up, double, skip in zip(self.ups[::2], self.ups[1::2], reversed(skips[:-1]), strict=True):
            x = up(x)
            top, left = ((a - b) // 2 for a, b in zip(skip.shape[2:], x.shape[2:], strict=True))
            x = double(torch.cat([skip[:, :, top : top + x.shape[2], left : left + x.shape[3]], x], 1))
        return self.head(x)


class ODEFunction(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(32, c)
        self.conv1 = nn.Conv2d(c + 1, c, 3, padding=1)
        self.norm2 = nn.GroupNorm(32, c)
        self.conv2 = nn.Conv2d(c + 1, c, 3, padding=1)
        self.norm3 = nn.GroupNorm(32, c)

    def forward(self, t: float, x: Tensor) -> Tensor:
        def timed(y: Tensor) -> Tensor:
            return torch.cat([torch.full_like(y[:, :1], t), y], 1)

        y = self.conv1(timed(self.norm1(x).relu()))
        return self.norm3(self.conv2(timed(self.norm2(y).relu())))


class ODENet(nn.Module):
    def __init__(self, method: str, steps: int) -> None:
        super().__init__()
        self.method, self.steps = method, steps
        self.down = nn.Sequential(
            nn.Conv2d(1, 64, 3), nn.GroupNorm(32, 64), nn.ReLU(), nn.Conv2d(64, 64, 4, 2, 1),
            nn.GroupNorm(32, 64), nn.ReLU(), nn.Conv2d(64, 64, 4, 2, 1),
        )  # fmt: skip
        self.f = ODEFunction(64)
        self.norm = nn.GroupNorm(32, 64)
        self.head = nn.Linear(64, 10)

    def step(self, t: float, h: float, x: Tensor) -> Tensor:
        f = self.f
        if self.method == "euler":
            return x + h * f(t, x)
        k1 = f(t, x)
        k2 = f(t + h / 2, x + h / 2 * k1)
        k3 = f(t + h / 2, x + h / 2 * k2)
        return x + h / 6 * (k1 + 2 * k2 + 2 * k3 + f(t + h, x + h * k3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.down(x)
        for i in range(self.steps):
            x = self.step(i / self.steps, 1 / self.steps, x)
        return self.head(self.norm(x).relu().mean((2, 3)))


class GCN(nn.Module):
    def __init__(self, f: int, h: int, c: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(f, h), nn.Linear(h, c)

    def forward(self, x: Tensor, a: Tensor) -> Tensor:
        d = torch.diag_embed(a.sum(-1) ** -0.5)
        links = d @ a @ d
        h = (links @ (x @ self.first.weight.T) + self.first.bias).relu()
        return links @ (h @ self.second.weight.T) + self.second.bias


class GATLayer(nn.Module):
    def __init__(self, f: int, heads: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(heads * dim, f))
        self.source = nn.Parameter(torch.empty(heads, dim))
        self.target = nn.Parameter(torch.empty(heads, dim))
        self.bias = nn.Parameter(torch.empty(heads * dim))

    def forward(self, x: Tensor, a: Tensor) -> Tensor:
        """Node by node, as the paper's equations 3 and 5 say, for one graph: x [N, F], a [N, N]."""
        h = (x @ self.weight.T).unflatten(-1, self.source.shape)
        rows = []
        for i in range(len(x)):
            near = a[i].nonzero().flatten()
            score = (h[i] * self.target).sum(-1) + (h[near] * self.source).sum(-1)
            alpha = F.leaky_relu(score, 0.2).softmax(0)
            rows.append((alpha[:, :, None] * h[near]).sum(0).flatten())
        return torch.stack(rows) + self.bias


class SAGELayer(nn.Module):
    def __init__(self, f: int, c: int) -> None:
        super().__init__()
        self.own = nn.Linear(f, c)
        self.near = nn.Linear(f, c, bias=False)

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        """One graph: x [N, F], edges [2, E]."""
        means = [x[edges[0, edges[1] == i]].mean(0) if (edges[1] == i).any() else 0 * x[0] for i in range(len(x))]
        return self.own(x) + self.near(torch.stack(means))
