"""Images of the net's own shape that can be learnt: a fixed random pattern for each class, and noise."""

from __future__ import annotations

from pathlib import Path

import torch

from netdsl.recipe.sources import Synthetic
from netdsl.training.data.dataset import DataSet, Split
from netdsl.training.readers.registry import READERS
from netdsl.training.rng import KeyedRng


@READERS.of(Synthetic)
def read(source: Synthetic, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    classes = source.classes or outputs
    pattern = KeyedRng(source.seed, torch.arange(classes)).uniform("pattern", *shape)
    splits = []
    for name, count in (("train", source.train), ("test", source.test)):
        draws = KeyedRng(source.seed + 1, torch.arange(count))
        labels = torch.arange(count) % classes
        noise = source.noise * draws.normal(name, *shape)
        splits.append(Split(((pattern[labels] + noise).clamp(0, 1),), labels))
    return DataSet("synthetic", splits[0], splits[1], classes=tuple(map(str, range(classes))), images=len(shape) == 3)
