"""A text as windows of characters; the target is the next character at every place."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from netdsl.recipe.sources import Text
from netdsl.training.data.dataset import DataError, DataSet, Split
from netdsl.training.readers.registry import READERS


@READERS.of(Text)
def read(word: Text, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    file = base / word.path
    if not file.is_file():
        raise DataError(f"there is no file {file}", "say where it is: `--data 'text(\"...\")'`")
    try:
        text = file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text: {error.reason} at byte {error.start}") from None
    letters = tuple(sorted(set(text)))
    codes = {c: i for i, c in enumerate(letters)}
    tokens = torch.tensor([codes[c] for c in text], dtype=torch.int64)
    cut = len(tokens) - round(word.test * len(tokens))
    parts = [_windows(tokens[:cut], word.length), _windows(tokens[cut:], word.length)]
    if min(map(len, parts)) == 0:
        raise DataError(f"{file} is too short for windows of {word.length} characters in both splits")
    return DataSet(word.path, parts[0], parts[1], task="tokens", classes=letters, pictures=False)


def _windows(tokens: Tensor, length: int) -> Split:
    """Windows that do not overlap: every character is predicted once."""
    count = max(0, (len(tokens) - 1) // length)
    inputs = tokens[: count * length].reshape(count, length)
    return Split((inputs,), tokens[1 : count * length + 1].reshape(count, length))
