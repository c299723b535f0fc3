"""Readers of data sets, one file for each kind. Nothing read from disk can run code (no pickle)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from netdsl.recipe import sources as words
from netdsl.training.data.dataset import DataError, DataSet
from netdsl.training.data.validation import check_sound

Reader = Callable[..., DataSet]


def read(word: Any, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    """The data set a recipe names. `base`: the folder paths are relative to; `shape`, `outputs`: what the net takes
    and gives.

    Raises DataError for what is missing or malformed.
    """
    from netdsl.training.readers import arrays, cifar, digits, graph, idx, synthetic, tables, text
    from netdsl.training.readers import folders as folder

    readers: dict[type, Reader] = {
        words.Digits: digits.read, words.Clutter: digits.read_clutter, words.Cifar10: cifar.read_10,
        words.Cifar100: cifar.read_100, words.Mnist: idx.read, words.FashionMnist: idx.read,
        words.ImageFolder: folder.read, words.MaskFolder: folder.read_masks, words.Npz: arrays.read,
        words.Text: text.read, words.Graph: graph.read, words.Synthetic: synthetic.read,
        words.Parquet: tables.read_parquet, words.Hub: tables.read_hub,
    }  # fmt: skip
    try:
        found = readers[type(word)](word, base, shape, outputs)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise DataError(f"cannot read the data: {where}{error.strerror or error}") from None
    check_sound(found)
    return found
