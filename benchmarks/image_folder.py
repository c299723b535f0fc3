"""Images in folders, read and augmented: netdsl against torchvision's ImageFolder and DataLoader, CPU time.

    python benchmarks/image_folder.py [rounds] [image height] [workers...]

Once pixel for pixel alike, and once where netdsl decodes JPEG files at a reduced size (`reduced=true`).

Both give standardised float batches of 64 x 3 x 224 x 224 after `random_resized_crop(224) -> hflip`. The peer is what
torchvision does with its defaults, written out with Pillow: RandomResizedCrop (bilinear, antialiased),
RandomHorizontalFlip, ToTensor, Normalize, and a DataLoader's own collation. The two take turns, block by block; what
counts is the processor time of the training process and of the processes that read, without their start.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from netdsl.recipe.augmentations import Hflip, RandomResizedCrop
from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import ImageFolder
from netdsl.training.data.batches import BatchLoader
from netdsl.training.data.fit import fit
from netdsl.training.data.targets import Targets
from netdsl.training.kernels.memory import keep_memory
from netdsl.training.readers import read

IMAGES, SIZE, BATCH, BLOCK = 256, 224, 64, 4
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def make(folder: Path, height: int) -> list[str]:
    """JPEGs of 4 : 3, parts of two photographs; two classes, and one image of each to test on."""
    photos = [Image.fromarray(x) for x in load_sample_images().images]
    pick = random.Random(0)
    files = []
    for i in range(IMAGES + 2):
        part = "val" if i >= IMAGES else "train"
        file = folder / part / f"class{i % 2}" / f"{i}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        photo, wide = photos[i % 2], pick.randint(420, 560)
        left, top = pick.randint(0, photo.width - wide), pick.randint(0, photo.height - wide * 3 // 4)
        image = photo.crop((left, top, left + wide, top + wide * 3 // 4))
        image.resize((height * 4 // 3, height), Image.Resampling.BICUBIC).save(file, quality=90)
        files += [str(file)] if part == "train" else []
    return files


class Peer(Dataset[tuple[Tensor, int]]):
    """torchvision's ImageFolder with its transforms."""

    def __init__(self, files: list[str]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        with open(self.files[i], "rb") as file:
            image: Any = Image.open(file).convert("RGB")
        top, left, height, width = box(image.height, image.width)
        image = image.crop((left, top, left + width, top + height)).resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        if torch.rand(1) < 0.5:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        x = torch.from_numpy(np.array(image, np.uint8, copy=True)).view(SIZE, SIZE, 3)
        x = x.permute((2, 0, 1)).contiguous().to(torch.float32).div(255)
        mean, std = (torch.as_tensor(v, dtype=torch.float32).view(-1, 1, 1) for v in (MEAN, STD))
        return x.clone().sub_(mean).div_(std), i % 2


def box(height: int, width: int) -> tuple[int, int, int, int]:
    """RandomResizedCrop.get_params with its defaults."""
    log_ratio = torch.log(torch.tensor((3 / 4, 4 / 3)))
    for _ in range(10):
        area = height * width * torch.empty(1).uniform_(0.08, 1).item()
        ratio = torch.exp(torch.empty(1).uniform_(float(log_ratio[0]), float(log_ratio[1]))).item()
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top, left = torch.randint(0, height - h + 1, (1,)).item(), torch.randint(0, width - w + 1, (1,)).item()
            return int(top), int(left), h, w
    return 0, 0, height, width


class Orders:
    """Batches of an epoch after the other, without end."""

    def __iter__(self) -> Iterator[list[int]]:
        while True:
            yield from torch.randperm(IMAGES).view(-1, BATCH).tolist()


def peer(files: list[str], workers: int) -> Iterator[Tensor]:
    loader = DataLoader(Peer(files), batch_sampler=Orders(), num_workers=workers)  # type: ignore[arg-type]
    for x, _ in loader:
        yield x


def ours(folder: Path, workers: int, reduced: bool = False) -> Iterator[Tensor]:
    """A run's batches, standardised as a net does that begins with `standardize`."""
    augment = (RandomResizedCrop(size=SIZE), Hflip())
    recipe = Recipe(
        data=ImageFolder(folder=".", reduced=reduced), batch=BATCH, steps=10**6, augment=augment, workers=workers
    )
    shape = (3, SIZE, SIZE)
    split = fit(read(recipe.data, folder, shape, 2), shape, 2).train
    feed = BatchLoader(split, recipe, Targets(recipe, "classes", 2))
    feed.begin((step, 0, BATCH) for step in range(10**6))
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (MEAN, STD))
    for step in range(10**6):
        yield feed.batch(step).inputs[0].sub_(mean).div_(std)


class Side:
    """One of the two, and the processor time that it has taken."""

    def __init__(self, batches: Iterator[Tensor]) -> None:
        before = {p.pid for p in multiprocessing.active_children()}
        self.batches = batches
        self.block()
        self.children = [p.pid for p in multiprocessing.active_children() if p.pid not in before]

    def block(self) -> float:
        """Processor seconds of the training process for some batches; the processes that read then fill up."""
        began = time.process_time()
        for _ in range(BLOCK):
            x = next(self.batches)
            assert x.shape == (BATCH, 3, SIZE, SIZE)
        return time.process_time() - began

    def timed(self) -> float:
        """Milliseconds of processor time for an image."""
        self.settle()
        before = self.reading()
        main = self.block()
        self.settle()
        return (main + self.reading() - before) / (BLOCK * BATCH) * 1e3

    def settle(self) -> None:
        """Wait until what is read ahead is there."""
        last = -1.0
        while (now := self.reading()) != last:
            last = now
            time.sleep(0.15)

    def reading(self) -> float:
        """Processor seconds of the processes that read."""
        total = 0.0
        for pid in self.children:
            for thread in Path(f"/proc/{pid}/task").iterdir():
                total += int((thread / "schedstat").read_text().split()[0]) / 1e9
        return round(total, 2)


def main() -> None:
    rounds, height, *counts = (int(v) for v in (sys.argv[1:] + ["6", "375"][len(sys.argv) - 1 :]))
    torch.set_num_threads(1)
    keep_memory()  # as a run does
    with tempfile.TemporaryDirectory() as name:
        files = make(Path(name), height)
        size = f"{height * 4 // 3} x {height}, {os.path.getsize(files[0]) // 1024} KB"
        print(f"{IMAGES} JPEGs of {size}, torch {torch.__version__}")
        for workers in counts or [1, 2]:
            for reduced in (False, True):
                sides = Side(peer(files, workers)), Side(ours(Path(name), workers, reduced))
                pairs = [tuple(side.timed() for side in sides) for _ in range(rounds)]
                theirs, mine = (statistics.median(times) for times in zip(*pairs, strict=True))
                ratio = statistics.median(a / b for a, b in pairs)
                each = f"peer {theirs:.2f} ms, netdsl {mine:.2f} ms of CPU an image"
                print(f"{workers} workers{', reduced' * reduced}: {each}; ratio {ratio:.2f}", flush=True)


if __name__ == "__main__":
    main()
