"""Data sets as values: tensors of all samples, and what their targets are."""

from __future__ import annotations

from collections.abc import Callable

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor

from netdsl.training.errors import DataError

__all__ = ["DataError", "DataSet", "Split", "as_floats"]


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

    def take_cut(self, index: Tensor, how: Cut) -> tuple[tuple[Tensor, ...], Tensor]:
        """Like `take`, cut from whole pictures."""
        assert self.cut is not None
        target = self.target[index]
        return (as_floats(self.cut(index.cpu(), how).to(target.device)),), target

    def to(self, device: torch.device) -> Split:
        return replace(self, inputs=tuple(x.to(device) for x in self.inputs), target=self.target.to(device))

    def subset(self, index: Tensor) -> Split:
        read, cut = self.read, self.cut
        reading = (lambda i: read(index[i])) if read else None
        cutting = (lambda i, how: cut(index[i], how)) if cut else None
        return Split(tuple(x[index] for x in self.inputs), self.target[index], reading, cutting)


class DataSet(Struct, frozen=True, eq=False):
    """A training and a test split. `task`: classes, numbers, mask, tokens or nodes; `classes`: their names."""

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
