"""Nets over a ResNet in plain torch: DETR as in the fifty lines of its paper, a feature pyramid as torchvision's."""

from __future__ import annotations

import torch
from image_twins import ResNetTrunk
from torch import Tensor, nn
from torch.nn import functional as F


class DETR(nn.Module):
    """The demonstration in the appendix of Carion et al. (2020), for any batch."""

    def __init__(self, dim: int = 256, heads: int = 8, depth: int = 6, hidden: int = 2048) -> None:
        super().__init__()
        self.backbone = ResNetTrunk()
        self.conv = nn.Conv2d(2048, dim, 1)
        self.transformer = nn.Transformer(dim, heads, depth, depth, hidden, batch_first=True)
        self.linear_class = nn.Linear(dim, 92)
        self.linear_bbox = nn.Linear(dim, 4)
        self.query_pos = nn.Parameter(torch.empty(100, dim))
        self.row_embed = nn.Parameter(torch.empty(50, dim // 2))
        self.col_embed = nn.Parameter(torch.empty(50, dim // 2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.conv(self.backbone(x)[-1])
        n, _, rows, columns = h.shape
        places = torch.cat(
            [
                self.col_embed[:columns].unsqueeze(0).repeat(rows, 1, 1),
                self.row_embed[:rows].unsqueeze(1).repeat(1, columns, 1),
            ],
            -1,
        )
        source = places.flatten(0, 1) + 0.1 * h.flatten(2).transpose(1, 2)
        h = self.transformer(source, self.query_pos.expand(n, -1, -1))
        return self.linear_class(h), self.linear_bbox(h).sigmoid()


class FeaturePyramid(nn.Module):
    """torchvision's FeaturePyramidNetwork."""

    def __init__(self, widths: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.inner_blocks = nn.ModuleList([nn.Sequential(nn.Conv2d(c, width, 1)) for c in widths])
        self.layer_blocks = nn.ModuleList([nn.Sequential(nn.Conv2d(width, width, 3, padding=1)) for _ in widths])

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        x = self.inner_blocks[-1](maps[-1])
        found = [self.layer_blocks[-1](x)]
        for inner, layer, side in list(zip(self.inner_blocks, self.layer_blocks, maps, strict=True))[-2::-1]:
            lateral = inner(side)
            x = lateral + F.interpolate(x, size=lateral.shape[-2:])
            found.insert(0, layer(x))
        return found


class FPN(nn.Module):
    """torchvision's backbone with a pyramid on a ResNet-50."""

    def __init__(self) -> None:
        super().__init__()
        self.body = ResNetTrunk()
        self.fpn = FeaturePyramid((256, 512, 1024, 2048), 256)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.fpn(self.body(x)))
