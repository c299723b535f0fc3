"""CIFAR in its binary version: records of label bytes and 3,072 pixel bytes (channel, row, column)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from netdsl.recipe.sources import Cifar10, Cifar100
from netdsl.training.data.dataset import DataError, DataSet, Split
from netdsl.training.readers.registry import READERS

PIXELS = 3 * 32 * 32


@READERS.of(Cifar10)
def read_10(source: Cifar10, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    folder = base / source.folder
    train = [folder / f"data_batch_{i}.bin" for i in range(1, 6)]
    return DataSet(
        "cifar10", _records(train, 1, 0), _records([folder / "test_batch.bin"], 1, 0), classes=_names(folder, 10)
    )


@READERS.of(Cifar100)
def read_100(source: Cifar100, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    folder = base / source.folder
    column, count = (0, 20) if source.labels == "coarse" else (1, 100)
    train, test = (_records([folder / f"{n}.bin"], 2, column) for n in ("train", "test"))
    return DataSet("cifar100", train, test, classes=_names(folder, count, source.labels))


def _records(files: list[Path], labels: int, column: int) -> Split:
    parts = []
    for file in files:
        if not file.exists():
            hint = "unpack the *binary version* of the data set, and name its folder"
            raise DataError("missing-data", f"there is no file {file}", hint)
        data = np.fromfile(file, dtype=np.uint8)
        if not len(data) or len(data) % (PIXELS + labels):
            raise DataError(
                "unreadable-data",
                f"{file} is not made of records of {PIXELS + labels} bytes",
                "is this the binary version?",
            )
        parts.append(data.reshape(-1, PIXELS + labels))
    rows = torch.from_numpy(np.concatenate(parts))
    return Split((rows[:, labels:].reshape(-1, 3, 32, 32).contiguous(),), rows[:, column].to(torch.int64))


def _names(folder: Path, count: int, kind: str = "") -> tuple[str, ...]:
    """The names of the classes where their file is there, else their numbers."""
    for name in ("batches.meta.txt", f"{kind}_label_names.txt"):
        file = folder / name
        if file.is_file():
            found = tuple(line for line in file.read_text("utf-8", "replace").split("\n") if line)
            if len(found) == count:
                return found
    return tuple(map(str, range(count)))
