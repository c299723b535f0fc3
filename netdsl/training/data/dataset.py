"""Data sets as values: tensors of all samples, and what their targets are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor
from torch.nn import functional

from netdsl.inference.columns import Column
from netdsl.training.data.division import held_rows
from netdsl.training.data.graphs import Graphs
from netdsl.training.data.prefetch import loaded, processes
from netdsl.training.data.resident import Resident
from netdsl.training.data.sharded import LANES
from netdsl.training.devices import sent
from netdsl.training.errors import DataError
from netdsl.training.kernels.memory import large_floats

__all__ = ["DataError", "DataSet", "Split", "as_floats"]

CHUNK = 256
"""Samples that are decoded at once at most, where their number is free."""
PIECE = 16 * 2**20
"""Bytes of stored samples that are decoded at once at most; as doubles they are eight times as many."""

INTEGERS = (torch.int8, torch.int16, torch.int32, torch.int64)
"""Types that classes and tokens are stored in."""

MOST_CLASSES = 1_000_000
"""Classes that a net may distinguish."""

Box = tuple[int, int, int, int]
"""Top, left, height and width of a part of an image, in pixels."""


class Part(NamedTuple):
    """A part of an image: `box` of it, resized to the height and width `size`, and `window` of that."""

    box: Box
    size: tuple[int, int]
    window: Box


class Cut(Struct, frozen=True, eq=False):
    """How training images are cut from the whole images of their files: `part(i, height, width)` is what the i-th of
    a batch shows, of an image of that size. What it leaves of `size` by `size` is filled with `fill`, from 0 to 255, on
    the right and below. `scaled`: of the image resized as for evaluation, not of the file's."""

    part: Callable[[int, int, int], Part]
    size: int
    interpolation: str
    scaled: bool
    fill: int = 0

    def filled(self, shown: Tensor, fill: int) -> Tensor:
        """The part that is shown, [..., H, W], with the rest of the square filled."""
        height, width = shown.shape[-2:]
        if height == width == self.size:
            return shown
        return functional.pad(shown, (0, self.size - width, 0, self.size - height), value=fill)


class Split(Struct, frozen=True, eq=False):
    """Samples and their targets, one for every row.

    `inputs`: one tensor for each input of the net, [N, ...]: images as uint8 (0 to 255) or floats, tokens as signed
    integers.
    `target`: integer classes [N], masks [N, H, W] or next tokens [N, L], or float numbers [N, F]; negative classes do
    not count. Integers may be stored in the smallest type that holds them: samples are taken as int64.
    `read`, for images that do not fit into memory: gives the inputs of some samples (`inputs` is then empty), and
    behind them their masks where `reads_target` is set (`target` is then empty but for its rows).
    `cut`, for images in files: some samples cut from their whole images, uint8, and with `cuts_target` their masks.
    `shards`: the number of samples in each file, in order, where an epoch is best read file by file, `lanes` of them
    at a time at most.
    `streams`, for windows of a text whose states are carried: how many texts they are, one after the other.
    `bytes_per_token`: of the targets of a text; 0 where that is not known.
    `graphs`: what each sample is, where they are graphs: `inputs` is then empty.
    `groups`: the number of each sample's group [N], none of which is divided between training and testing.
    `ordered`: whether samples stand in the order of time, and later ones are tested on.
    """

    inputs: tuple[Tensor, ...]
    target: Tensor
    read: Callable[[Tensor], tuple[Tensor, ...]] | None = None
    cut: Callable[[Tensor, Cut], tuple[Tensor, ...]] | None = None
    reads_target: bool = False
    cuts_target: bool = False
    shards: tuple[int, ...] = ()
    lanes: int = LANES
    streams: int = 0
    bytes_per_token: float = 0.0
    graphs: Graphs | None = None
    groups: Tensor | None = None
    ordered: bool = False

    def __len__(self) -> int:
        return len(self.target)

    def take(self, index: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """The inputs and targets of some samples; pixels become floats from 0 to 1."""
        return self.paired(self.stored(index), index, self.reads_target)

    def stored(self, index: Tensor) -> tuple[Tensor, ...]:
        """The inputs of some samples as they are stored, and behind them the targets that are read."""
        if self.graphs is not None:
            return self.graphs.batch(index)
        return self.read(index.cpu()) if self.read else tuple(x[index] for x in self.inputs)

    def paired(self, found: tuple[Tensor, ...], index: Tensor, with_target: bool) -> tuple[tuple[Tensor, ...], Tensor]:
        """The stored tensors of some samples, `with_target` behind them, as inputs and targets on the split's
        device."""
        inputs, target = self.placed(found, index, with_target)
        return tuple(map(as_floats, inputs)), target

    def placed(self, found: tuple[Tensor, ...], index: Tensor, with_target: bool) -> tuple[tuple[Tensor, ...], Tensor]:
        """`paired` with inputs as they are stored: pixels as bytes."""
        *inputs, target = sent(found if with_target else (*found, self.target[index]), self.target.device)
        return tuple(inputs), as_classes(target)

    def batches(self, parts: Sequence[Tensor], workers: int | str = 0) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
        """`take` of one list of samples after the other; images in files are decoded ahead by processes."""
        if self.read is None:
            yield from map(self.take, parts)
            return
        count = processes(workers, self.bytes * max(map(len, parts))) if len(parts) > 1 else 0
        load = partial(loaded, workers=count, pinned=self.target.device.type == "cuda")
        jobs = [i.cpu() for i in parts]
        read = self.read.in_order(jobs, load) if isinstance(self.read, Resident) else load(self.read, jobs)
        for index, found in zip(parts, read, strict=True):
            yield self.paired(found, index, self.reads_target)

    def by_sample(self, result: Any, target: Tensor) -> tuple[Any, Tensor]:
        """Outputs for some samples, and their targets, sample by sample: graphs are computed as one."""
        return (result, target) if self.graphs is None else self.graphs.by_sample(result, target)

    def example(self) -> tuple[Tensor, ...]:
        """The inputs of the first sample, [1, ...], as they are stored."""
        found = self.stored(torch.arange(1, device=self.target.device))
        return found[:-1] if self.reads_target else found

    @property
    def bytes(self) -> int:
        """Bytes of one sample's inputs, and of its target where that is read."""
        return sum(x.nbytes for x in self.stored(torch.arange(1, device=self.target.device))) if len(self) else 0

    @property
    def held(self) -> int:
        """Bytes that stay in memory, of all samples."""
        kept = self.read.kept if isinstance(self.read, Resident) else self.inputs
        return sum(x.nbytes for x in (*kept, self.target)) + (self.graphs.nbytes if self.graphs is not None else 0)

    def pieces(self, places: Tensor) -> tuple[Tensor, ...]:
        """A list of samples in parts that are decoded at once where nothing else says how many."""
        return torch.split(places, max(1, min(CHUNK, PIECE // max(1, self.bytes))))

    def kept(self, limit: int) -> Split:
        """The split whose samples in files stay in memory once they are read, where they take up to `limit` bytes."""
        if self.read is None or isinstance(self.read, Resident) or not len(self):
            return self
        first = self.stored(torch.arange(1))
        fits = sum(x.nbytes for x in first) * len(self) <= limit
        return replace(self, read=Resident(self.read, first, len(self))) if fits else self

    def to(self, device: torch.device) -> Split:
        if isinstance(self.read, Resident):
            self.read.to(device)
        graphs = self.graphs.to(device) if self.graphs is not None else None
        inputs = tuple(x.to(device) for x in self.inputs)
        return replace(self, inputs=inputs, target=self.target.to(device), graphs=graphs)

    def parted(self, count: int, seed: int = 0) -> tuple[Split, Split]:
        """The split without `count` samples, and those: drawn, the same for every run of a seed; the last ones in time;
        or, about so many, whole groups."""
        left, held = held_rows(len(self), count, seed, self.groups, self.ordered)
        return self.subset(left), self.subset(held)

    def subset(self, index: Tensor) -> Split:
        reading, cutting = (partial(_some, f, index.cpu()) if f else None for f in (self.read, self.cut))
        inputs = tuple(x[index] for x in self.inputs)
        width = self.bytes_per_token
        own = self.reads_target, self.cuts_target
        graphs = self.graphs.subset(index) if self.graphs is not None else None
        groups = None if self.groups is None else self.groups[index.to(self.groups.device)]
        return Split(
            inputs, self.target[index], reading, cutting, *own, bytes_per_token=width, graphs=graphs, groups=groups,
            ordered=self.ordered,
        )  # fmt: skip


def _some(function: Callable[..., Any], among: Tensor, index: Tensor, *more: Any) -> Any:
    return function(among[index], *more)


class Refitted(Struct, frozen=True, eq=False):
    """A table's rows once more: those of the training split, then those of the test split."""

    inputs: tuple[Tensor, ...]
    columns: tuple[Column, ...]
    notes: tuple[str, ...]


class DataSet(Struct, frozen=True, eq=False):
    """A training and a test split, and one to choose weights by (`validation`) where the data have one of their own.
    `task`: classes, labels, numbers, mask, tokens or nodes; `classes`: their names."""

    name: str
    train: Split
    test: Split
    task: str = "classes"
    classes: tuple[str, ...] = ()
    images: bool = True
    notes: tuple[str, ...] = ()
    """What was done to the data, in words for the person who trains."""
    drawn: bool = False
    """Whether the test split was drawn from the same samples."""
    columns: tuple[Column, ...] = ()
    """Of a table: what its inputs are made of."""
    refitted: Callable[..., Refitted] | None = None
    """Of a table: its inputs again, with what columns are taken from some rows alone (counted from the first of the
    training split), and with numbers for the categories that given columns have."""
    units: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """Mean and deviation of the targets, by which the loss standardises them."""
    validation: Split | None = None
    names: tuple[str, ...] = ()
    """Names that the file has for classes or labels, where its targets may be something else."""

    def called(self, count: int) -> tuple[str, ...]:
        """The names of `count` classes or labels: those of the file, else their numbers. Raises DataError where the
        file has others."""
        if self.names and len(self.names) < count:
            message = f"`class_names` of `{self.name}` are {len(self.names)}, and there are {count:,} classes"
            raise DataError("wrong-count", message)
        return self.names or numbered(count)

    def changed(self, function: Callable[[Split], Split]) -> DataSet:
        """The data set with each of its splits changed alike."""
        held = None if self.validation is None else function(self.validation)
        return replace(self, train=function(self.train), test=function(self.test), validation=held)


def spread(count: int, split: Split) -> Tensor:
    """Rows that lie evenly over a split: the first ones of sorted data would be those of one class, or of one side."""
    return evenly(count, len(split)).to(split.target.device)


def evenly(count: int, rows: int) -> Tensor:
    """So many of the numbers of some rows, or all, at equal distances."""
    return torch.arange(min(count, rows)) * rows // max(1, min(count, rows))


def as_floats(x: Tensor) -> Tensor:
    """Pixels from 0 to 1 as float32; tokens stay integers, as int64."""
    if x.dtype == torch.uint8:
        host = x.device.type == "cpu" and x.is_contiguous()
        return (large_floats(x.shape).copy_(x) if host else x.to(torch.float32)).div_(255)
    return as_classes(x)


def numbered(count: int) -> tuple[str, ...]:
    """The names of classes that have none, their numbers; none where there are too many to name."""
    return tuple(map(str, range(count))) if count <= MOST_CLASSES else ()


def as_classes(x: Tensor) -> Tensor:
    """Integers as int64, whatever type stores them; other tensors as they are."""
    return x.to(torch.int64) if x.dtype in INTEGERS else x


def smallest(x: Tensor) -> Tensor:
    """Integers in the smallest signed type that holds them. (Unsigned bytes are pixels.)"""
    if not x.numel():
        return x.to(INTEGERS[0])
    low, high = int(x.min()), int(x.max())
    return x.to(next(t for t in INTEGERS if torch.iinfo(t).min <= low and high <= torch.iinfo(t).max))
