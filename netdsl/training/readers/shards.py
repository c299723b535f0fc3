"""Data in shards: tar files in webdataset's layout, and parquet files read by row groups.

What every process holds of a sample is where it lies and its class: names and images stay in the files.
"""

from __future__ import annotations

import os
import tarfile
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from glob import glob
from io import BytesIO
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
import torch
from msgspec import Struct
from msgspec.structs import replace

from netdsl.diagnostics.packages import needed_by
from netdsl.inference.images import ENDINGS, Least, filled, open_image
from netdsl.inference.tables import as_parquet, check_rows
from netdsl.recipe.sources import Shards
from netdsl.training.data.dataset import DataError, DataSet, Split, numbered, smallest
from netdsl.training.data.sharded import LANES
from netdsl.training.distributed.process_group import divided
from netdsl.training.readers.images import Images, View
from netdsl.training.readers.registry import READERS


class Shard(Protocol):
    """A file of samples, or a part of one."""

    @property
    def labels(self) -> Any:
        """The class of each sample: an array of numbers, or of names."""
        ...

    def image(self, i: int) -> bytes:
        """The encoded image of the i-th sample."""
        ...


@READERS.of(Shards)
def read(source: Shards, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    train, test = (_shards(source, base, pattern) for pattern in (source.files, source.test))
    names, numbers = _classes(source, *(np.concatenate([s.labels for s in shards]) for shards in (train, test)))
    first = Opened(tuple(train), shape[0])
    if 0 in shape[1:3] and not source.crop:
        shape = filled(shape, first(0))
    view = View.of(source, shape)
    splits = [_split(shards, n, view) for shards, n in zip((train, test), numbers, strict=True)]
    return DataSet(source.files, splits[0], splits[1], classes=names)


def _shards(source: Shards, base: Path, pattern: str) -> list[Shard]:
    files = sorted(glob(str(base / pattern), recursive=True))
    if not files:
        raise DataError("missing-data", f"there is no file {base / pattern}", "paths are relative to the spec")
    found: list[Shard] = []
    for file, own in zip(files, divided(files, partial(_indexed, source)), strict=True):
        if not sum(len(shard.labels) for shard in own):
            raise DataError(
                "no-samples", f"{file} has no samples", "a sample is `NAME.jpg` and `NAME.cls`, one behind the other"
            )
        found += own
    return found


def _indexed(source: Shards, file: str) -> list[Shard]:
    return _row_groups(source, file) if file.endswith(".parquet") else [_tar(source, file)]


def _classes(source: Shards, train: Any, test: Any) -> tuple[tuple[str, ...], tuple[Any, Any]]:
    """The names of the classes, and the samples' classes as their numbers. Raises DataError for one that only the test
    split has."""
    if train.dtype.kind in "iu" and test.dtype.kind in "iu":
        return numbered(int(train.max()) + 1), (train, test)
    train, test = train.astype(str), test.astype(str)
    names = np.unique(train)
    if len(new := np.setdiff1d(test, names)):
        raise DataError("unknown-class", f"class `{new[0]}` of {source.test} is not in {source.files}")
    return tuple(names.tolist()), (np.searchsorted(names, train), np.searchsorted(names, test))


def _split(shards: list[Shard], numbers: Any, view: View) -> Split:
    counts = tuple(len(shard.labels) for shard in shards)
    images = Images(Opened(tuple(shards), view.channels), view)
    return replace(images.split(smallest(torch.from_numpy(numbers))), shards=counts, lanes=_lanes(shards))


def _lanes(shards: list[Shard]) -> int:
    """How many shards may be read at the same time: of row groups, which are decoded whole, as many as are kept."""
    largest = max((s.size for s in shards if isinstance(s, RowGroup)), default=0)
    return max(1, min(LANES, KEPT // max(1, largest)))


def _array(labels: list[Any]) -> Any:
    """Classes as numbers where all are, else as names."""
    numbers = all(isinstance(v, int) or v.isdecimal() for v in labels)
    return np.array(
        [int(v) for v in labels] if numbers else [str(v) for v in labels], dtype=None if labels else np.int64
    )


class Opened:
    """The images of all shards by number."""

    def __init__(self, shards: tuple[Shard, ...], channels: int) -> None:
        self.shards, self.channels = shards, channels
        self.ends = np.cumsum([len(s.labels) for s in shards])

    def __call__(self, i: int, least: Least | None = None) -> Any:
        which = int(np.searchsorted(self.ends, i, side="right"))
        shard = self.shards[which]
        inside = i - (int(self.ends[which - 1]) if which else 0)
        return open_image(BytesIO(shard.image(inside)), self.channels, f"sample {inside} of {shard}", least)


class Tar(Struct, frozen=True, eq=False):
    """An uncompressed tar file in webdataset's layout. `places`: where each image begins, and its bytes."""

    file: str
    places: Any
    labels: Any

    def __str__(self) -> str:
        return self.file

    def image(self, i: int) -> bytes:
        begin, size = self.places[i].tolist()
        with open(self.file, "rb") as file:
            return os.pread(file.fileno(), size, begin)


def _tar(source: Shards, file: str) -> Tar:
    """The index of a tar file. Raises DataError for what is none, and for a sample without an image or a class."""
    places: list[tuple[int, int]] = []
    labels: list[str] = []
    try:
        with tarfile.open(file, "r:") as archive:
            for name, members in groupby(_members(archive), lambda m: _parts(m.name)[0]):
                image, label = _sample(source, f"{file}: the sample `{name}`", list(members))
                places.append((image.offset_data, image.size))
                labels.append(_label(archive, label))
    except (tarfile.TarError, EOFError, ValueError) as error:  # a size of 2**80 is more than `seek` takes
        raise DataError("unreadable-data", f"{file} is not a tar file as it should be, uncompressed: {error}") from None
    at = np.array(places, dtype=np.int64).reshape(-1, 2)
    if len(at) and int(at.sum(1).max()) > os.path.getsize(file):
        raise DataError(
            "unreadable-data", f"{file} is cut off: it has {os.path.getsize(file):,} bytes, its samples need more"
        )
    return Tar(file, at, _array(labels))


def _sample(source: Shards, where: str, members: list[tarfile.TarInfo]) -> tuple[tarfile.TarInfo, tarfile.TarInfo]:
    """The image and the class among the files of a sample. Raises DataError where one is missing."""
    each = {_parts(m.name)[1]: m for m in members}
    image = source.image or next(filter(_is_image, each), "")
    label = source.label or "cls"
    for ending, lacks in ((image, "image"), (label, f"`.{label}`")):
        if ending not in each:
            raise DataError("unpaired-samples", f"{where} has no {lacks}; it has {', '.join(each)}")
    return each[image], each[label]


def _members(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The files of an archive, one by one: it would keep them all."""
    while (member := archive.next()) is not None:
        archive.members = []  # type: ignore[attr-defined]
        if member.isfile():
            yield member


def _parts(name: str) -> tuple[str, str]:
    """A sample's name and the rest: webdataset cuts at the first dot of the file's name."""
    folder, _, own = name.rpartition("/")
    stem, _, rest = own.partition(".")
    return (f"{folder}/{stem}" if folder else stem), rest.lower()


def _is_image(ending: str) -> bool:
    return f".{ending}" in ENDINGS


def _label(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = archive.extractfile(member)
    return file.read(1024).decode("utf-8", "replace").strip() if file else ""


class RowGroup(Struct, frozen=True, eq=False):
    """A row group of a parquet file, decoded at once where one of its images is asked for. `size`: its images in bytes;
    `stamp`: when the file was last written, in nanoseconds."""

    file: str
    number: int
    column: str
    labels: Any
    size: int
    stamp: int

    def __str__(self) -> str:
        return f"row group {self.number} of {self.file}"

    def image(self, i: int) -> bytes:
        cell = DECODED.of(self)[i].as_py()
        data = cell.get("bytes") if isinstance(cell, dict) else cell
        if not isinstance(data, bytes):
            raise DataError("data-type", f"sample {i} of {self} has no image's bytes in column `{self.column}`")
        return data


def _row_groups(source: Shards, file: str) -> list[Shard]:
    """The row groups of a parquet file. Raises DataError."""
    image, label = source.image or "image", source.label or "label"
    groups = _class_columns(file, image, label)
    for group, _ in groups:
        if wrong := [v for v in group if not isinstance(v, int | str)]:
            raise DataError("data-type", f"{file} has {wrong[0]!r} and not a class in column `{label}`")
    stamp = os.stat(file).st_mtime_ns
    return [RowGroup(file, i, image, _array(g), size, stamp) for i, (g, size) in enumerate(groups) if g]


def _class_columns(file: str, image: str, label: str) -> list[tuple[list[Any], int]]:
    """The classes of each row group of a parquet file, and the bytes of its images: nothing else is read. Raises
    DataError."""
    with needed_by("reading parquet files"):
        from pyarrow import parquet
    with as_parquet(file), parquet.ParquetFile(file) as table:
        _check_columns(file, table.schema_arrow.names, (image, label))
        check_rows(Path(file), table.metadata.num_rows, 1)
        return [
            (table.read_row_group(i, [label])[label].to_pylist(), _size(table.metadata.row_group(i), image))
            for i in range(table.num_row_groups)
        ]


def _size(group: Any, column: str) -> int:
    """The bytes of a column of a row group, with those that it is made of, as pyarrow describes it."""
    parts = (group.column(i) for i in range(group.num_columns))
    return sum(p.total_uncompressed_size for p in parts if p.path_in_schema.split(".")[0] == column)


def _check_columns(file: str, there: list[str], wanted: tuple[str, ...]) -> None:
    for column in wanted:
        if column not in there:
            raise DataError(
                "missing-column", f"{file} has no column `{column}`; it has {', '.join(f'`{n}`' for n in there)}"
            )


KEPT = 2**28
"""Bytes of images of decoded row groups that a process keeps."""


class Decoded:
    """The images of the row groups that were asked for last, in `KEPT` bytes; one more where that is all."""

    def __init__(self) -> None:
        self.columns = OrderedDict[tuple[str, int, int, str], Any]()
        self.lock = Lock()

    def of(self, group: RowGroup) -> Any:
        """The column of a row group's images. Raises DataError for a file that was written since it was listed."""
        key = (group.file, group.stamp, group.number, group.column)
        with self.lock:
            if key not in self.columns:
                self.columns[key] = _column(group)
            self.columns.move_to_end(key)
            while len(self.columns) > 1 and sum(c.nbytes for c in self.columns.values()) > KEPT:
                self.columns.popitem(last=False)
            return self.columns[key]


DECODED = Decoded()


def _column(group: RowGroup) -> Any:
    from pyarrow import parquet

    with as_parquet(group.file), parquet.ParquetFile(group.file) as table:
        if os.stat(group.file).st_mtime_ns != group.stamp:
            raise DataError("unreadable-data", f"{group.file} was written while it is read", "begin again")
        return table.read_row_group(group.number, [group.column])[group.column]
