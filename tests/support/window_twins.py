"""torchvision's nets with attention in windows, in plain torch and with its names."""

from __future__ import annotations

from collections import OrderedDict

import torch
from image_twins import Gate
from torch import Tensor, nn
from torch.nn import functional as F


def offsets(window: int) -> Tensor:
    """For each pair of places of a window the number of their offset: the first place's minus the second's."""
    places = torch.cartesian_prod(torch.arange(window), torch.arange(window))
    apart = places[:, None] - places[None] + window - 1
    return apart[..., 0] * (2 * window - 1) + apart[..., 1]


class RelativeAttention(nn.Module):
    """Scores are divided by the root of the whole width, not by that of a head."""

    def __init__(self, dim: int, window: int = 7) -> None:
        super().__init__()
        self.heads = dim // 32
        self.to_qkv = nn.Linear(dim, 3 * dim)
        self.merge = nn.Linear(dim, dim)
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, self.heads))
        self.register_buffer("relative_position_index", offsets(window))

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, groups, places, dim]."""
        q, k, v = (y.unflatten(-1, (self.heads, 32)).transpose(2, 3) for y in self.to_qkv(x).chunk(3, -1))
        bias = self.relative_position_bias_table[self.relative_position_index.flatten()]
        bias = bias.reshape(*self.relative_position_index.shape, self.heads).permute(2, 0, 1)
        scores = torch.einsum("bghid,bghjd->bghij", q, k * x.shape[-1] ** -0.5) + bias
        y = torch.einsum("bghij,bghjd->bghid", scores.softmax(-1), v)
        return self.merge(y.transpose(2, 3).flatten(3))


class PartitionAttention(nn.Module):
    def __init__(self, dim: int, grid: bool) -> None:
        super().__init__()
        self.grid = grid
        self.attn_layer = nn.Sequential(nn.LayerNorm(dim), RelativeAttention(dim), nn.Dropout(0.0))
        self.mlp_layer = nn.Sequential(
            nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim), nn.Dropout(0.0)
        )

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        p = h // 7 if self.grid else 7
        y = x.reshape(n, c, h // p, p, w // p, p).permute(0, 2, 4, 3, 5, 1).reshape(n, -1, p * p, c)
        y = y.transpose(1, 2) if self.grid else y
        y = y + self.attn_layer(y)
        y = y + self.mlp_layer(y)
        y = y.transpose(1, 2) if self.grid else y
        return y.reshape(n, h // p, w // p, p, p, c).permute(0, 5, 1, 3, 2, 4).reshape(n, c, h, w)


def norm(c: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(c, eps=1e-3, momentum=0.01)


class SiluGate(Gate):
    def forward(self, x: Tensor) -> Tensor:
        return x * self.fc2(F.silu(self.fc1(x.mean((2, 3), keepdim=True)))).sigmoid()


class MBConv(nn.Module):
    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        pool = [nn.AvgPool2d(3, stride, 1)] if stride == 2 else []
        self.proj = nn.Sequential(*pool, nn.Conv2d(i, o, 1)) if stride == 2 or i != o else nn.Identity()
        wide = 4 * o
        depthwise = nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False)
        layers: dict[str, nn.Module] = {
            "pre_norm": norm(i),
            "conv_a": nn.Sequential(nn.Conv2d(i, wide, 1, bias=False), norm(wide), nn.GELU()),
            "conv_b": nn.Sequential(depthwise, norm(wide), nn.GELU()),
            "squeeze_excitation": SiluGate(wide, o // 4),
            "conv_c": nn.Conv2d(wide, o, 1),
        }
        self.layers = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        return self.proj(x) + self.layers(x)


class MaxViTLayer(nn.Module):
    def __init__(self, i: int, o: int, stride: int) -> None:
        super().__init__()
        layers: dict[str, nn.Module] = {
            "MBconv": MBConv(i, o, stride),
            "window_attention": PartitionAttention(o, grid=False),
            "grid_attention": PartitionAttention(o, grid=True),
        }
        self.layers = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class MaxViTBlock(nn.Module):
    def __init__(self, i: int, o: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([MaxViTLayer(o if n else i, o, 1 if n else 2) for n in range(depth)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


class MaxViT(nn.Module):
    """torchvision's maxvit_t."""

    def __init__(self) -> None:
        super().__init__()
        first = nn.Sequential(nn.Conv2d(3, 64, 3, 2, 1, bias=False), norm(64), nn.GELU())
        self.stem = nn.Sequential(first, nn.Sequential(nn.Conv2d(64, 64, 3, 1, 1)))
        widths = ((64, 64, 2), (64, 128, 2), (128, 256, 5), (256, 512, 2))
        self.blocks = nn.ModuleList([MaxViTBlock(*w) for w in widths])
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(512), nn.Linear(512, 512), nn.Tanh(),
            nn.Linear(512, 1000, bias=False),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.classifier(x)


class SwinV2Attention(nn.Module):
    """torchvision's: the bias of the keys is set to 0, scores are cosines times a temperature of at most 100."""

    def __init__(self, dim: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.heads, self.window, self.shift = heads, window, shift
        self.logit_scale = nn.Parameter(torch.empty(heads, 1, 1))
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.cpb_mlp = nn.Sequential(nn.Linear(2, 512), nn.ReLU(), nn.Linear(512, heads, bias=False))
        side = torch.arange(1.0 - window, window) / (window - 1) * 8
        table = torch.stack(torch.meshgrid(side, side, indexing="ij"), -1)[None]
        self.register_buffer("relative_coords_table", table.sign() * (table.abs() + 1).log2() / 3.0)
        self.register_buffer("relative_position_index", offsets(window).flatten())

    def bias(self) -> Tensor:
        table = self.cpb_mlp(self.relative_coords_table).view(-1, self.heads)
        places = self.window**2
        return 16 * table[self.relative_position_index].view(places, places, -1).permute(2, 0, 1).sigmoid()

    def strangers(self, side: int) -> Tensor:
        """What the scores of each window gain, [windows, 1, places, places]."""
        numbers = torch.zeros(side, side)
        cuts = (slice(0, -self.window), slice(-self.window, -self.shift), slice(-self.shift, None))
        for i, rows in enumerate(cuts):
            for j, columns in enumerate(cuts):
                numbers[rows, columns] = 3 * i + j
        part = self.cut(numbers[None, ..., None])[0, ..., 0]
        return -100.0 * (part[:, None, :, None] != part[:, None, None, :])

    def cut(self, x: Tensor) -> Tensor:
        """[N, H, W, C] to [N, windows, places, C]."""
        n, h, w, c = x.shape
        p = self.window
        return x.view(n, h // p, p, w // p, p, c).transpose(2, 3).reshape(n, -1, p * p, c)

    def forward(self, x: Tensor) -> Tensor:
        n, side, _, c = x.shape
        given = self.qkv.bias.clone()
        given[c : 2 * c] = 0
        y = self.cut(x.roll((-self.shift, -self.shift), (1, 2)))
        fused = F.linear(y, self.qkv.weight, given).unflatten(-1, (3, self.heads, -1))
        q, k, v = fused.permute(3, 0, 1, 4, 2, 5)
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        scores = scores * self.logit_scale.clamp(max=4.605170185988092).exp() + self.bias()
        if self.shift:
            scores = scores + self.strangers(side)
        y = self.proj((scores.softmax(-1) @ v).transpose(2, 3).flatten(3))
        p = self.window
        y = y.view(n, side // p, side // p, p, p, c).transpose(2, 3).reshape(n, side, side, c)
        return y.roll((self.shift, self.shift), (1, 2))


class SwinV2Block(nn.Module):
    def __init__(self, dim: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = SwinV2Attention(dim, heads, window, shift)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(0.0), nn.Linear(4 * dim, dim), nn.Dropout(0.0)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.norm1(self.attn(x))
        return x + self.norm2(self.mlp(x))


class SwinV2Merge(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * dim, 2 * dim, bias=False)
        self.norm = nn.LayerNorm(2 * dim)

    def forward(self, x: Tensor) -> Tensor:
        parts = [x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
        return self.norm(self.reduction(torch.cat(parts, -1)))


class ChannelsLast(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1)


class SwinV2(nn.Module):
    """torchvision's swin_v2_t, for images of any size that its windows tile."""

    def __init__(self, size: int = 256, dim: int = 96, depths: tuple[int, ...] = (2, 2, 6, 2), window: int = 8) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Sequential(nn.Conv2d(3, dim, 4, 4), ChannelsLast(), nn.LayerNorm(dim))]
        for i, depth in enumerate(depths):
            side, c = size // 4 // 2**i, dim * 2**i
            shifts = [window // 2 if j % 2 and side > window else 0 for j in range(depth)]
            layers.append(nn.Sequential(*(SwinV2Block(c, c // 32, window, shift) for shift in shifts)))
            if i < len(depths) - 1:
                layers.append(SwinV2Merge(c))
        self.features = nn.Sequential(*layers)
        self.norm = nn.LayerNorm(c)
        self.head = nn.Linear(c, 1000)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.features(x)).mean((1, 2)))
