"""A text as windows of characters; the target is the next character at every place."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from netdsl.recipe.sources import Text
from netdsl.training.data.dataset import DataError, DataSet, Split
from netdsl.training.readers.registry import READERS

PIECE = 2**20
"""Bytes of a text that are decoded at once."""
CODE_POINTS = 0x110000


@READERS.of(Text)
def read(source: Text, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    file = base / source.path
    if not file.is_file():
        raise DataError("missing-data", f"there is no file {file}", "say where it is: `--data 'text(\"...\")'`")
    letters, count = _letters(file)
    tokens = _tokens(file, letters, count)
    cut = len(tokens) - round(source.test * len(tokens))
    parts = [_windows(tokens[:cut], source.length), _windows(tokens[cut:], source.length)]
    if min(map(len, parts)) == 0:
        raise DataError("no-samples", f"{file} is too short for windows of {source.length} characters in both splits")
    return DataSet(source.path, parts[0], parts[1], task="tokens", classes=letters, images=False)


def _pieces(file: Path) -> Iterator[Any]:
    """The code points of a text, piece by piece. Raises DataError for what is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    at = 0
    with open(file, "rb") as stream:
        while True:
            data = stream.read(PIECE)
            waiting = len(decoder.getstate()[0])
            try:
                text = decoder.decode(data, final=not data)
            except UnicodeDecodeError as error:
                where = at - waiting + error.start
                raise DataError(
                    "unreadable-data", f"{file} is not UTF-8 text: {error.reason} at byte {where}"
                ) from None
            yield np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
            at += len(data)
            if not data:
                return


def _letters(file: Path) -> tuple[tuple[str, ...], int]:
    """The different characters of a text, in the order of their code points, and the number of all."""
    seen, count = np.zeros(CODE_POINTS, dtype=bool), 0
    for points in _pieces(file):
        seen[points] = True
        count += len(points)
    return tuple(map(chr, np.flatnonzero(seen).tolist())), count


def _tokens(file: Path, letters: tuple[str, ...], count: int) -> Tensor:
    """Each character of a text as its number among `letters`, by table, in the smallest type that holds them."""
    dtype = next(t for t in (np.int8, np.int16, np.int32) if len(letters) <= np.iinfo(t).max + 1)
    table = np.zeros(CODE_POINTS, dtype=dtype)
    table[[ord(c) for c in letters]] = np.arange(len(letters), dtype=dtype)
    tokens = np.empty(count, dtype=dtype)
    at = 0
    for points in _pieces(file):
        tokens[at : at + len(points)] = table[points]
        at += len(points)
    return torch.from_numpy(tokens)


def _windows(tokens: Tensor, length: int) -> Split:
    """Windows that do not overlap: every character is predicted once."""
    count = max(0, (len(tokens) - 1) // length)
    inputs = tokens[: count * length].reshape(count, length)
    return Split((inputs,), tokens[1 : count * length + 1].reshape(count, length))
