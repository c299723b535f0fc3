"""Images of great complexity made by formulas, the same everywhere: a mixing set that needs no download."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from netdsl.training.augment.pixels import grey
from netdsl.training.rng import KeyedRng

COUNT = 96
SIDE = 128
ESCAPE = 48
"""Iterations after which a point counts as inside."""


@lru_cache(maxsize=2)
def fractals(channels: int) -> Tensor:
    """Julia sets and cloudy textures in random colours, uint8 [COUNT, channels, SIDE, SIDE]."""
    draws = KeyedRng(0, torch.arange(COUNT))
    halves = (KeyedRng(0, half) for half in draws.samples.chunk(2))
    height = torch.cat([make(half) for make, half in zip((_julia, _clouds), halves, strict=True)])
    phase, speed = draws.uniform("phase", 3, 1, 1), draws.between("speed", 0.6, 1.6, 3, 1, 1)
    colours = 0.5 + 0.5 * torch.cos(2 * math.pi * (height[:, None] * speed + phase))
    images = colours if channels == 3 else grey(colours)
    return (images * 255).round().to(torch.uint8)


def _julia(draws: KeyedRng) -> Tensor:
    """How soon z -> z^2 + c leaves a disk, smoothly (float32 [B, SIDE, SIDE]); c just outside of the Mandelbrot
    set's main cardioid."""
    turn = 2 * math.pi * draws.uniform("c")
    point = torch.polar(torch.full_like(turn, 0.5), turn) - torch.polar(torch.full_like(turn, 0.25), 2 * turn)
    c = (point * draws.between("outside", 1.01, 1.12)).view(-1, 1, 1)
    axis = torch.linspace(-1, 1, SIDE)
    plane = torch.complex(axis.expand(SIDE, -1), axis[:, None].expand(-1, SIDE))
    size = draws.between("zoom", 0.4, 1.3)
    z = plane * torch.polar(size, 2 * math.pi * draws.uniform("view")).view(-1, 1, 1)
    z = z + torch.polar(0.6 * draws.uniform("away"), 2 * math.pi * draws.uniform("where")).view(-1, 1, 1)
    steps = torch.full(z.shape, float(ESCAPE))
    for n in range(ESCAPE):
        z = z * z + c
        size = z.abs()
        outside = (size > 16) & (steps == ESCAPE)
        steps = torch.where(outside, n + 1 - torch.log2(torch.log2(size.clamp(min=16))), steps)
        z = torch.where(size > 16, torch.zeros_like(z), z)
    return torch.log2(1 + steps.clamp(min=0))


def _clouds(draws: KeyedRng) -> Tensor:
    """Random grids from coarse to fine, each half as strong as the one before, float32 [B, SIDE, SIDE]."""
    total = torch.zeros(len(draws), 1, SIDE, SIDE)
    for octave in range(2, 8):
        grid = draws.normal(f"octave{octave}", 1, 2**octave, 2**octave)
        smooth = functional.interpolate(grid, size=(SIDE, SIDE), mode="bicubic", align_corners=False)
        total = total + smooth * 0.55 ** (octave - 2)
    return 0.3 * total[:, 0]
