"""A text as windows of tokens: characters, bytes or a tokenizer's; the target is the next token at every place."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from netdsl.inference.vocabulary import BYTES, Tokenizer
from netdsl.recipe.sources import Text
from netdsl.training.data.dataset import DataError, DataSet, Split, smallest
from netdsl.training.readers.registry import READERS

PIECE = 2**20
"""Bytes of a text that are decoded at once."""
CODE_POINTS = 0x110000
BytesOf = Callable[[int, int], float]
"""How many bytes of a text the tokens first..last stand for."""


@READERS.of(Text)
def read(source: Text, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    return read_text(source, base)


def read_text(source: Text, base: Path, known: tuple[str, ...] = (), tokenizer: Path | None = None) -> DataSet:
    """A text's windows. `known`: the characters that a trained net knows; `tokenizer`: its own file. Raises
    DataError."""
    file = base / source.path
    if not file.is_file():
        raise DataError("missing-data", f"there is no file {file}", "say where it is: `--data 'text(\"...\")'`")
    bytes_of: BytesOf
    if source.tokenizer:
        tokens, classes, bytes_of = _of_tokenizer(file, Tokenizer(tokenizer or base / source.tokenizer))
    elif source.tokens == "bytes":
        tokens, classes = torch.from_numpy(np.fromfile(file, dtype=np.uint8).astype(np.int16)), BYTES
        bytes_of = _one_each
    else:
        tokens, classes = _of_characters(file, known)
        bytes_of = partial(_counted, tokens, torch.tensor([len(c.encode()) for c in classes], dtype=torch.float64))
    cut = len(tokens) - round(source.test * len(tokens))
    parts = [_windows(tokens, a, b, bytes_of, source.length) for a, b in ((0, cut), (cut, len(tokens)))]
    if min(map(len, parts)) == 0:
        unit = "tokens" if source.tokenizer else source.tokens
        raise DataError("no-samples", f"{file} is too short for windows of {source.length} {unit} in both splits")
    return DataSet(source.path, parts[0], parts[1], task="tokens", classes=classes, images=False)


def _one_each(first: int, last: int) -> float:
    return float(last - first)


def _counted(tokens: Tensor, widths: Tensor, first: int, last: int) -> float:
    """The bytes of some tokens from those of each kind, by how often it occurs."""
    counts = [torch.bincount(part, minlength=len(widths)) for part in tokens[first:last].split(PIECE)]  # type: ignore[no-untyped-call]
    return float(torch.stack(counts).sum(0).double() @ widths)


def _of_tokenizer(file: Path, tokenizer: Tokenizer) -> tuple[Tensor, tuple[str, ...], BytesOf]:
    """The tokens of a text, which is encoded as a whole, those that there are, and how many bytes they stand for."""
    points = np.concatenate(list(_pieces(file)))
    tokens, ends = tokenizer.encoded(points.tobytes().decode("utf-32-le"))
    widths = np.ones(len(points), dtype=np.uint8)  # of each character in UTF-8
    for least in (0x80, 0x800, 0x10000):
        widths += points >= least

    def bytes_of(first: int, last: int) -> float:
        return float(widths[ends[first - 1] if first else 0 : ends[last - 1]].sum(dtype=np.int64))

    return smallest(torch.tensor(tokens, dtype=torch.int64)), tokenizer.names, bytes_of


def _of_characters(file: Path, known: tuple[str, ...]) -> tuple[Tensor, tuple[str, ...]]:
    """The characters of a text as numbers, and which there are. Raises DataError for one that is not `known`."""
    letters, count = _letters(file)
    new = sorted(set(letters) - set(known)) if known else []
    if new:
        listed = ", ".join(map(repr, new[:5])) + (" ..." if len(new) > 5 else "")
        raise DataError("unknown-class", f"{file} has characters that the net was not trained on: {listed}")
    classes = known or letters
    return _tokens(file, classes, count), classes


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
                hint = "`tokens=bytes` reads any file"
                raise DataError(
                    "unreadable-data", f"{file} is not UTF-8 text: {error.reason} at byte {where}", hint
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


def _windows(tokens: Tensor, first: int, end: int, bytes_of: BytesOf, length: int) -> Split:
    """The tokens first..end in windows that do not overlap: every token is predicted once."""
    count = max(0, (end - first - 1) // length)
    last = first + count * length
    inputs, target = (tokens[first + i : last + i].reshape(count, length) for i in (0, 1))
    each = bytes_of(first + 1, last + 1) / (last - first) if count else 0.0
    return Split((inputs,), target, bytes_per_token=each)
