"""The digits of scikit-learn, and digits in clutter with masks made from them."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from netdsl.recipe.sources import Clutter, Digits
from netdsl.training.data.constant import constant
from netdsl.training.data.dataset import DataSet, Split
from netdsl.training.readers.registry import READERS
from netdsl.training.rng import KeyedRng, permutation

NAMES = tuple("0123456789")


@cache
def _load() -> tuple[Tensor, Tensor]:
    """The images [N, 1, 8, 8] uint8 and their classes, read once and changed by nobody, from the file of scikit-learn:
    importing the package takes longer than a hundred steps. Raises ModuleNotFoundError without it."""
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")
    table = np.loadtxt(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    images = table[:, :-1].reshape(-1, 1, 8, 8)
    pixels = torch.from_numpy(np.round(images * (255 / 16)).astype(np.uint8))
    return pixels, torch.from_numpy(table[:, -1].astype(np.int64))


@READERS.of(Digits)
def read(source: Digits, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    """1,797 images [1, 8, 8], larger by the margin; the held-out part of every class is the same in every run."""
    return _digits(source.test, source.margin)


@lru_cache(maxsize=2)
def _digits(held_out: float, margin: int) -> DataSet:
    """Both splits, whose tensors nobody changes: what is made of them is kept as long as they are."""
    pixels, labels = _load()
    pixels = torch.nn.functional.pad(pixels, (margin,) * 4)
    order = permutation(0, len(labels))
    rank = torch.empty(len(labels), dtype=torch.int64)
    share = torch.empty(len(labels))
    for c in range(10):
        members = order[labels[order] == c]
        rank[members] = torch.arange(len(members))
        share[members] = (rank[members].float() + 0.5) / len(members)
    test = share < held_out
    splits = [Split((constant(pixels[m]),), labels[m]) for m in (~test, test)]
    return DataSet("digits", splits[0], splits[1], classes=NAMES)


@READERS.of(Clutter)
def read_clutter(source: Clutter, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    """Images [1, S, S] with a digit of twice its size among strokes of others; the mask is 1 on its pixels."""
    splits = [
        _cluttered(True, source.train, source.size, source.seed * 2),
        _cluttered(False, source.test, source.size, source.seed * 2 + 1),
    ]
    return DataSet("clutter", splits[0], splits[1], task="mask", classes=("clutter", "digit"))


@lru_cache(maxsize=4)
def _cluttered(train: bool, count: int, size: int, seed: int) -> Split:
    """Each image: one whole digit at 16 x 16, twelve 4 x 4 scraps of other digits' strokes, and noise; the digits are
    those to train with, or the others."""
    pixels, _ = _load()
    half = len(pixels) * 4 // 5
    pixels = pixels[:half] if train else pixels[half:]
    draws = KeyedRng(seed + 1, torch.arange(count))
    large = torch.nn.functional.interpolate(pixels.float() / 255, scale_factor=2, mode="bilinear", align_corners=False)
    which = draws.integers("digit", len(pixels))
    corner = draws.integers("corner", size - 15, 2)
    image = 0.15 * draws.uniform("noise", size, size)
    mask = torch.zeros(count, size, size, dtype=torch.int8)
    scrap, source = draws.integers("scrap", len(pixels), 12), draws.integers("source", 9, 12, 2)
    target = draws.integers("target", size - 3, 12, 2)
    for i in range(count):
        for k in range(12):
            (y, x), (v, u) = target[i, k].tolist(), source[i, k].tolist()
            piece = large[scrap[i, k], 0, v + 2 : v + 6, u + 2 : u + 6]
            image[i, y : y + 4, x : x + 4] = torch.maximum(image[i, y : y + 4, x : x + 4], 0.8 * piece)
        (y, x), digit = corner[i].tolist(), large[which[i], 0]
        here = image[i, y : y + 16, x : x + 16]
        image[i, y : y + 16, x : x + 16] = torch.where(digit > 0.3, digit, here)
        mask[i, y : y + 16, x : x + 16] = digit > 0.3
    return Split(((image.clamp(0, 1) * 255).to(torch.uint8)[:, None],), mask)
