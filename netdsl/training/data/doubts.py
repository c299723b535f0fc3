"""Notes on data that can be learnt and are hardly meant: said before training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from torch import Tensor

from netdsl.inference.columns import Column
from netdsl.training.data.dataset import DataSet, Split

LOOKED_AT = 2**28
"""Bytes of samples beyond which they are not compared one by one."""

AT_ONCE = 4096
"""Samples whose bytes are held at once."""


def doubts(data: DataSet) -> list[str]:
    """Notes on a data set: targets that do not vary, pixels to 255, samples that are tested on and trained on."""
    found = [_constant(data)]
    if data.train.inputs and data.train.read is None:
        found += [_pixels(data), _both(data)]
    return [note for note in found if note is not None]


def _constant(data: DataSet) -> str | None:
    target = data.train.target
    if data.task != "numbers" or len(target) < 2 or not bool((target == target[:1]).all()):
        return None
    return f"every target to train on is {', '.join(f'{v:g}' for v in target[0].flatten()[:3].tolist())}"


def _pixels(data: DataSet) -> str | None:
    first = data.train.inputs[0]
    if not data.images or not first.is_floating_point() or float(first.min()) < 0:
        return None
    highest = float(first.max())
    if not 100 < highest <= 255:
        return None
    return f"values of images go up to {highest:g}: those of files, and of uint8, are 0 to 1"


def _both(data: DataSet) -> str | None:
    if data.drawn or sum(x.nbytes for x in data.train.inputs) > LOOKED_AT:
        return None
    both = _shared(data.train, data.test)
    if both <= len(data.test) / 2:
        return None
    return f"{both:,} of {len(data.test):,} samples to test on are among those to train on"


def _shared(train: Split, test: Split) -> int:
    """How many samples of a test split are in the training split too."""
    known = set(_hashes(train))
    return sum(found in known for found in _hashes(test))


def _hashes(split: Split) -> Iterator[int]:
    for begin in range(0, len(split), AT_ONCE):
        yield from map(hash, zip(*(_bytes(x[begin : begin + AT_ONCE]) for x in split.inputs), strict=True))


def _bytes(samples: Tensor) -> list[bytes]:
    """The bytes of each sample."""
    rows = np.ascontiguousarray(samples.cpu().numpy()).reshape(len(samples), -1)
    return rows.view(f"V{rows.shape[1] * rows.itemsize}").ravel().tolist()


def doubtful_columns(columns: Sequence[Column], targets: Sequence[str], raw: Mapping[str, np.ndarray]) -> list[str]:
    """Notes on columns of numbers that are a target, that count the rows, or that do not vary."""
    numbers = [c.name for c in columns if not c.is_category and not c.is_dated]
    found = (_doubtful(name, raw[name], {t: raw[t] for t in targets}) for name in numbers)
    return [note for note in found if note is not None]


def _doubtful(name: str, column: np.ndarray, targets: Mapping[str, np.ndarray]) -> str | None:
    target = next((t for t, values in targets.items() if np.array_equal(column, values)), None)
    if target is not None:
        return f'`{name}` is `{target}`, which is to be predicted, in every row: `ignore=["{name}"]`'
    if column.dtype.kind == "f" and len(column) > 9 and bool((np.diff(column) == 1).all()):
        return f'`{name}` counts the rows: `ignore=["{name}"]` unless it means something'
    return f"`{name}` is {column[0]:g} in every row" if len(column) > 1 and bool((column == column[0]).all()) else None
