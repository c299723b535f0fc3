"""Nets that generate, and one for volumes, in plain torch, as their papers and best-known code have them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class VAE(nn.Module):
    """The autoencoder of 64 x 64 faces of AntixK/PyTorch-VAE, its convolutions before norms without biases."""

    def __init__(self) -> None:
        super().__init__()
        widths = (32, 64, 128, 256, 512)
        downs = [
            nn.Sequential(nn.Conv2d(i, o, 3, 2, 1, bias=False), nn.BatchNorm2d(o), nn.LeakyReLU())
            for i, o in zip((3, *widths), widths, strict=False)
        ]
        self.encoder = nn.Sequential(*downs)
        self.fc_mu = nn.Linear(512 * 4, 128)
        self.fc_var = nn.Linear(512 * 4, 128)
        self.decoder_input = nn.Linear(128, 512 * 4)
        self.decoder = nn.Sequential(*(self.up(i, o) for i, o in zip(widths[:0:-1], widths[-2::-1], strict=True)))
        self.final_layer = nn.Sequential(*self.up(32, 32), nn.Conv2d(32, 3, 3, padding=1), nn.Tanh())

    @staticmethod
    def up(i: int, o: int) -> nn.Sequential:
        conv = nn.ConvTranspose2d(i, o, 3, 2, 1, output_padding=1, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(o), nn.LeakyReLU())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.encoder(x).flatten(1)
        mean = self.fc_mu(x)
        y = self.decoder_input(mean).view(-1, 512, 2, 2)
        return self.final_layer(self.decoder(y)), mean, self.fc_var(x)


class UNet3D(nn.Module):
    """Figure 2 of Cicek et al. (2016), valid convolutions and cropped skips."""

    def __init__(self) -> None:
        super().__init__()
        wide = ((3, 32, 64), (64, 64, 128), (128, 128, 256), (256, 256, 512))
        self.downs = nn.ModuleList([self.double(*w) for w in wide])
        self.ups = nn.ModuleList([nn.ConvTranspose3d(c, c, 2, 2, bias=False) for c in (512, 256, 128)])
        self.decs = nn.ModuleList([self.double(3 * c, c, c) for c in (256, 128, 64)])
        self.head = nn.Conv3d(64, 3, 1)

    @staticmethod
    def double(i: int, middle: int, o: int) -> nn.Sequential:
        first, second = nn.Conv3d(i, middle, 3), nn.Conv3d(middle, o, 3)
        norms = [nn.BatchNorm3d(c, affine=False) for c in (middle, o)]
        return nn.Sequential(first, norms[0], nn.ReLU(), second, norms[1], nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for i, down in enumerate(self.downs):
            x = down(F.max_pool3d(x, 2) if i else x)
            skips.append(x)
        for up, double, skip in zip(self.ups, self.decs, skips[-2::-1], strict=True):
            x = up(x)
            cut = [slice((a - b) // 2, (a - b) // 2 + b) for a, b in zip(skip.shape[2:], x.shape[2:], strict=True)]
            x = double(torch.cat([skip[(..., *cut)], x], 1))
        return self.head(x)


class WaveNetLayer(nn.Module):
    """The last one gives what it heard alone."""

    def __init__(self, width: int, skip: int, dilation: int, last: bool) -> None:
        super().__init__()
        self.dilation = dilation
        self.filter_conv = nn.Conv1d(width, width, 2, dilation=dilation)
        self.gate_conv = nn.Conv1d(width, width, 2, dilation=dilation)
        self.skip_conv = nn.Conv1d(width, skip, 1)
        self.residual_conv = None if last else nn.Conv1d(width, width, 1)


class WaveNet(nn.Module):
    """van den Oord et al. (2016), section 2, without conditions."""

    def __init__(self, width: int = 32, skip: int = 256, stacks: int = 3, depth: int = 10) -> None:
        super().__init__()
        self.start_conv = nn.Conv1d(256, width, 2)
        count = stacks * depth
        layers = [WaveNetLayer(width, skip, 2 ** (i % depth), i == count - 1) for i in range(count)]
        self.layers = nn.ModuleList(layers)
        self.end_conv_1 = nn.Conv1d(skip, skip, 1)
        self.end_conv_2 = nn.Conv1d(skip, 256, 1)

    def forward(self, samples: Tensor) -> Tensor:
        """samples: [N, L] numbers of levels; gives [N, L, 256]."""
        x = self.start_conv(F.pad(F.one_hot(samples, 256).transpose(1, 2).float(), (1, 0)))
        heard = []
        for layer in self.layers:
            past = F.pad(x, (layer.dilation, 0))
            y = layer.filter_conv(past).tanh() * layer.gate_conv(past).sigmoid()
            heard.append(layer.skip_conv(y))
            x = x if layer.residual_conv is None else x + layer.residual_conv(y)
        y = torch.stack(heard).sum(0)
        return self.end_conv_2(self.end_conv_1(y.relu()).relu()).transpose(1, 2)


def group_norm(c: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, c, eps=1e-6)


class ResnetBlock(nn.Module):
    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        self.norm1 = group_norm(i)
        self.conv1 = nn.Conv2d(i, o, 3, padding=1)
        self.temb_proj = nn.Linear(512, o)
        self.norm2 = group_norm(o)
        self.conv2 = nn.Conv2d(o, o, 3, padding=1)
        if i != o:
            self.nin_shortcut = nn.Conv2d(i, o, 1)

    def forward(self, x: Tensor, temb: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        y = y + self.temb_proj(F.silu(temb))[:, :, None, None]
        y = self.conv2(F.silu(self.norm2(y)))
        return (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x) + y


class AttnBlock(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.norm = group_norm(c)
        self.q = nn.Conv2d(c, c, 1)
        self.k = nn.Conv2d(c, c, 1)
        self.v = nn.Conv2d(c, c, 1)
        self.proj_out = nn.Conv2d(c, c, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        q, k, v = (f(y).flatten(2) for f in (self.q, self.k, self.v))
        weights = torch.einsum("ncl,ncm->nlm", q, k).mul(x.shape[1] ** -0.5).softmax(-1)
        return x + self.proj_out(torch.einsum("nlm,ncm->ncl", weights, v).view_as(x))


class Level(nn.Module):
    """Blocks of one size, with attention or without, and what goes to the next size."""

    def __init__(self, pairs: list[tuple[int, int]], attend: bool, name: str, step: nn.Module | None) -> None:
        super().__init__()
        self.block = nn.ModuleList([ResnetBlock(i, o) for i, o in pairs])
        self.attn = nn.ModuleList([AttnBlock(o) for _, o in pairs] if attend else [])
        if step is not None:
            holder = nn.Module()
            holder.conv = step
            setattr(self, name, holder)

    def unit(self, n: int, x: Tensor, temb: Tensor) -> Tensor:
        x = self.block[n](x, temb)
        return self.attn[n](x) if len(self.attn) else x


class Dense(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.dense = nn.ModuleList([nn.Linear(128, 512), nn.Linear(512, 512)])


class Middle(nn.Module):
    def __init__(self, c: int) -> None:
        super().__init__()
        self.block_1 = ResnetBlock(c, c)
        self.attn_1 = AttnBlock(c)
        self.block_2 = ResnetBlock(c, c)


class DDPM(nn.Module):
    """The CIFAR-10 net of Ho et al. (2020), in the names of pesser/pytorch_diffusion."""

    def __init__(self) -> None:
        super().__init__()
        c, d = 128, 256
        same, later = [(d, d)] * 2, [(2 * d, d)] * 3
        self.temb = Dense()
        self.conv_in = nn.Conv2d(3, c, 3, padding=1)
        downs = ([(c, c), (c, c)], [(c, d), (d, d)], same, same)
        halves = [*(nn.Conv2d(w, w, 3, 2) for w in (c, d, d)), None]
        levels = enumerate(zip(downs, halves, strict=True))
        self.down = nn.ModuleList([Level(pairs, i == 1, "downsample", half) for i, (pairs, half) in levels])
        self.mid = Middle(d)
        ups = ([(d + c, c), (2 * c, c), (2 * c, c)], [*later[:2], (d + c, d)], later, later)
        grown = [None, *(nn.Conv2d(d, d, 3, padding=1) for _ in range(3))]
        levels = enumerate(zip(ups, grown, strict=True))
        self.up = nn.ModuleList([Level(pairs, i == 1, "upsample", double) for i, (pairs, double) in levels])
        self.norm_out = group_norm(c)
        self.conv_out = nn.Conv2d(c, 3, 3, padding=1)

    def forward(self, x: Tensor, step: Tensor) -> Tensor:
        angles = step.float()[:, None] * torch.exp(torch.arange(64) * -(math.log(10000) / 63)).to(x.device)
        temb = self.temb.dense[0](torch.cat([angles.sin(), angles.cos()], 1))
        temb = self.temb.dense[1](F.silu(temb))
        skips = [self.conv_in(x)]
        for level in self.down:
            for n in range(2):
                skips.append(level.unit(n, skips[-1], temb))
            if hasattr(level, "downsample"):
                skips.append(level.downsample.conv(F.pad(skips[-1], (0, 1, 0, 1))))
        x = self.mid.block_2(self.mid.attn_1(self.mid.block_1(skips[-1], temb)), temb)
        for level in reversed(self.up):
            for n in range(3):
                x = level.unit(n, torch.cat([x, skips.pop()], 1), temb)
            if hasattr(level, "upsample"):
                x = level.upsample.conv(F.interpolate(x, scale_factor=2))
        return self.conv_out(F.silu(self.norm_out(x)))
