"""MNIST's idx files: a big-endian header (0, 0, type, rank, sizes), then the bytes."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import torch
from torch import Tensor

from netdsl.recipe.sources import FashionMnist, Mnist
from netdsl.training.data.dataset import DataError, DataSet, Split
from netdsl.training.readers.registry import READERS

LIMIT = 1 << 31
"""The most bytes that are read of a file."""
CLOTHES = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot")


@READERS.of(Mnist, FashionMnist)
def read(source: Mnist | FashionMnist, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    folder = base / source.folder
    splits = [_split(folder, stem) for stem in ("train", "t10k")]
    fashion = isinstance(source, FashionMnist)
    names = CLOTHES if fashion else tuple("0123456789")
    return DataSet("fashion_mnist" if fashion else "mnist", splits[0], splits[1], classes=names)


def _split(folder: Path, stem: str) -> Split:
    pixels, labels = _array(folder, f"{stem}-images", 3), _array(folder, f"{stem}-labels", 1)
    if len(pixels) != len(labels):
        raise DataError("unpaired-samples", f"{folder} has {len(pixels)} images and {len(labels)} labels of `{stem}`")
    return Split((pixels[:, None],), labels.to(torch.int64))


def _array(folder: Path, stem: str, rank: int) -> Tensor:
    names = [f"{stem}{sep}idx{rank}-ubyte{end}" for sep in ("-", ".") for end in ("", ".gz")]
    file = next((folder / n for n in names if (folder / n).is_file()), None)
    if file is None:
        raise DataError("missing-data", f"there is no file {folder / names[0]} (or .gz)")
    try:
        with gzip.open(file) if file.suffix == ".gz" else open(file, "rb") as found:
            return _read(cast(BinaryIO, found), file, rank)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError("unreadable-data", f"{file} is not a whole gzip file: {error}") from None


def _read(found: BinaryIO, file: Path, rank: int) -> Tensor:
    """The bytes that an opened file declares, and no more of it. Raises DataError where there are others."""
    header = found.read(4 + 4 * rank)
    if len(header) < 4 + 4 * rank or header[:4] != bytes((0, 0, 8, rank)):
        raise DataError("unreadable-data", f"{file} is not an idx file of {rank} axes of bytes")
    sizes = struct.unpack(f">{rank}I", header[4:])
    size = math.prod(sizes)
    data = found.read(min(size, LIMIT) + 1)
    if len(data) != size:
        declared = f"{' x '.join(f'{n:,}' for n in sizes)} bytes"
        held = "more" if len(data) > size else f"{len(data):,}"
        raise DataError("unreadable-data", f"{file} declares {declared}, and holds {held}")
    return torch.from_numpy(np.frombuffer(data, np.uint8).reshape(sizes).copy())
