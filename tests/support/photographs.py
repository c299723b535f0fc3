"""Folders of small images of noise, in the layout of `imagefolder`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image


def write_photographs(
    folder: Path, classes: Iterable[str], count: int, shape: tuple[int, ...], seed: int = 0, suffix: str = "png"
) -> None:
    """`count` images [H, W, 3] or [H, W] of each class, to train (`train/CLASS`) and to test on (`val/CLASS`)."""
    rng = np.random.default_rng(seed)
    names = list(classes)
    for split in ("train", "val"):
        for name in names:
            (folder / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{i}.{suffix}")
