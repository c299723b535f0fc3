"""Data sets as values: tensors of all samples, and what their targets are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor

from netdsl.training.data.prefetch import loaded, processes
from netdsl.training.errors import DataError
from netdsl.training.rng import permutation

__all__ = ["DataError", "DataSet", "Split", "as_floats"]

CHUNK = 256
"""Samples that are decoded at once at most, where their number is free."""
PIECE = 16 * 2**20
"""Bytes of stored samples that are decoded at once at most; as doubles they are eight times as many."""

Box = tuple[int, int, int, int]
"""Top, left, height and width of a part of a picture, in pixels."""


class Cut(Struct, frozen=True, eq=False):
    """How training pictures are cut from the whole pictures of their files: `box(i, height, width)` is what the i-th of
    a batch shows, resized to `size`. `scaled`: of the picture resized as for evaluation, not of the file's."""

    box: Callable[[int, int, int], Box]
    size: int
    interpolation: str
    scaled: bool


class Split(Struct, frozen=True, eq=False):
    """Samples and their targets, one for every row.

    `inputs`: one tensor for each input of the net, [N, ...]: pictures as uint8 (0 to 255) or floats, tokens as int64.
    `target`: int64 classes [N], masks [N, H, W] or next tokens [N, L], or float numbers [N, F]; negative classes do
    not count.
    `read`, for pictures that do not fit into memory: gives the inputs of some samples (`inputs` is then empty).
    `cut`, for pictures in files: some samples cut from their whole pictures, uint8.
    """

    inputs: tuple[Tensor, ...]
    target: Tensor
    read: Callable[[Tensor], tuple[Tensor, ...]] | None = None
    cut: Callable[[Tensor, Cut], Tensor] | None = None

    def __len__(self) -> int:
        return len(self.target)

    def take(self, index: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """The inputs and targets of some samples; pixels become floats from 0 to 1."""
        inputs = self.read(index.cpu()) if self.read else tuple(x[index] for x in self.inputs)
        target = self.target[index]
        return tuple(as_floats(x.to(target.device)) for x in inputs), target

    def batches(self, parts: Sequence[Tensor], workers: int | str = 0) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
        """`take` of one list of samples after the other; pictures in files are decoded ahead by processes."""
        if self.read is None:
            yield from map(self.take, parts)
            return
        count = processes(workers, self.bytes * max(map(len, parts))) if len(parts) > 1 else 0
        pinned = self.target.device.type == "cuda"
        for index, found in zip(parts, loaded(self.read, [i.cpu() for i in parts], count, pinned), strict=True):
            target = self.target[index]
            yield tuple(as_floats(x.to(target.device, non_blocking=True)) for x in found), target

    def example(self) -> tuple[Tensor, ...]:
        """The inputs of the first sample, [1, ...], as they are stored."""
        return self.read(torch.arange(1)) if self.read else tuple(x[:1] for x in self.inputs)

    @property
    def bytes(self) -> int:
        """Bytes of one sample's inputs."""
        return sum(x.nbytes for x in self.example()) if len(self) else 0

    def pieces(self, places: Tensor) -> tuple[Tensor, ...]:
        """A list of samples in parts that are decoded at once where nothing else says how many."""
        return torch.split(places, max(1, min(CHUNK, PIECE // max(1, self.bytes))))

    def kept(self, limit: int, workers: int | str = 0) -> Split:
        """The split with pictures in files decoded once and kept in memory, where they take up to `limit` bytes."""
        if self.read is None or self.bytes * len(self) > limit:
            return self
        parts = self.pieces(torch.arange(len(self)))
        count = processes(workers, self.bytes * len(parts[0]))
        found = [torch.cat(x) for x in zip(*loaded(self.read, parts, count), strict=True)]
        return replace(self, inputs=tuple(found), read=None)

    def to(self, device: torch.device) -> Split:
        return replace(self, inputs=tuple(x.to(device) for x in self.inputs), target=self.target.to(device))

    def parted(self, count: int, seed: int = 0) -> tuple[Split, Split]:
        """The split without `count` random samples, and those: the same for every run of a seed."""
        order = permutation(seed, len(self))
        return self.subset(order[count:]), self.subset(order[:count])

    def subset(self, index: Tensor) -> Split:
        reading, cutting = (partial(_some, f, index.cpu()) if f else None for f in (self.read, self.cut))
        return Split(tuple(x[index] for x in self.inputs), self.target[index], reading, cutting)


def _some(function: Callable[..., Any], among: Tensor, index: Tensor, *more: Any) -> Any:
    return function(among[index], *more)


class DataSet(Struct, frozen=True, eq=False):
    """A training and a test split. `task`: classes, labels, numbers, mask, tokens or nodes; `classes`: their names."""

    name: str
    train: Split
    test: Split
    task: str = "classes"
    classes: tuple[str, ...] = ()
    pictures: bool = True
    notes: tuple[str, ...] = ()
    """What was done to the data, in words for the person who trains."""


def as_floats(x: Tensor) -> Tensor:
    """Pixels from 0 to 1 as float32; tokens stay whole numbers."""
    if x.dtype == torch.uint8:
        return x.to(torch.float32) / 255
    return x
