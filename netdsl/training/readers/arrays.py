"""Arrays of one numpy file: inputs such as `x`, `y`, and `x_test`, `y_test`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor

from netdsl.inference.arrays import load_arrays
from netdsl.recipe.sources import Npz
from netdsl.training.data.dataset import DataError, DataSet, Split, numbered, smallest
from netdsl.training.data.division import check_grouped, group_numbers
from netdsl.training.readers.registry import READERS


@READERS.of(Npz)
def read(source: Npz, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    file = base / source.path
    arrays = load_arrays(file)
    for name in (*source.inputs, "y", *([source.group] if source.group else [])):
        if name not in arrays:
            raise DataError("missing-column", f"{file} has no array `{name}`", f"it has {', '.join(arrays) or 'none'}")
    train, test = _splits(source, arrays, file)
    task, classes = task_of(train, test)
    names = names_in(arrays, file)
    found = DataSet(
        source.path, train, test, task, classes, images=train.inputs[0].ndim == 4, drawn="y_test" not in arrays,
        names=names,
    )  # fmt: skip
    return replace(found, classes=found.called(len(classes))) if classes else found


def names_in(arrays: dict[str, Any], file: Path) -> tuple[str, ...]:
    """The texts in an array `class_names`, where the file has it. Raises DataError for what are none."""
    names = arrays.get("class_names", np.array([], str))
    if names.dtype.kind != "U" or names.ndim != 1:
        have = f"{list(names.shape)} of {names.dtype}"
        raise DataError("wrong-count", f"{file}: `class_names` is {have}, not a text for each class")
    return tuple(names.tolist())


def _splits(source: Npz, arrays: dict[str, Any], file: Path) -> tuple[Split, Split]:
    """The training split, and the file's test split or one that is held out."""
    train = split_of(arrays, source.inputs, "y", file)
    train = divided(train, arrays[source.group] if source.group else None, source.ordered, source.group, file)
    tests = [f"{name}_test" for name in (*source.inputs, "y")]
    missing = [name for name in tests if name not in arrays]
    if missing and len(missing) < len(tests):
        there = next(name for name in tests if name in arrays)
        raise DataError("missing-column", f"{file} has `{there}` and no `{missing[0]}`")
    if not missing:
        test = split_of(arrays, tests[:-1], "y_test", file)
    else:
        train, test = train.parted(round(source.test * len(train)))
    if not len(train) or not len(test):
        hint = "give `x_test` and `y_test`, or another `test`: the fraction that is held out"
        raise DataError("no-samples", f"{file} has {len(train)} rows to train on and {len(test)} to test on", hint)
    return train, test


def divided(split: Split, groups: Any, ordered: bool, name: str, where: Path | str) -> Split:
    """The split whose samples are divided by their groups, an array [N], or in time. Raises DataError."""
    if groups is None:
        return replace(split, ordered=ordered)
    if groups.shape != (len(split),):
        message = f"{where}: `{name}` is {list(groups.shape)}, and there are {len(split)} samples"
        raise DataError("unpaired-samples", message, "one name or number for each sample")
    names = groups.tolist()
    check_grouped(names, name, str(where))
    return replace(split, groups=group_numbers(names))


def task_of(train: Split, test: Split) -> tuple[str, tuple[str, ...]]:
    """The kind of targets, and the names of their classes; none where there are too many to name."""
    if train.target.is_floating_point():
        return "numbers", ()
    count = int(max(train.target.max(), test.target.max())) + 1
    return "mask" if train.target.ndim > 1 else "classes", numbered(count)


def split_of(arrays: dict[str, Any], names: Sequence[str], y: str, file: Path | str) -> Split:
    """Arrays by name as a split; `file`: where they come from, for what is said. Raises DataError."""
    inputs, target = [_tensor(arrays[n], n, file, pixels=True) for n in names], _tensor(arrays[y], y, file)
    for name, x in zip(names, inputs, strict=True):
        if len(x) != len(target) or not len(target):
            raise DataError("unpaired-samples", f"{file}: `{name}` has {len(x)} rows, `{y}` {len(target)}")
    if not target.is_floating_point():
        target = _classes(target, inputs[0], y, file)
        target = smallest(target) if target.ndim == 3 else target
    elif target.ndim == 1:
        target = target[:, None]
    # grey images, whose one channel has no axis
    inputs = [x[:, None] if x.dtype == torch.uint8 and x.ndim == 3 else x for x in inputs]
    return Split(tuple(inputs), target)


def _classes(target: Tensor, inputs: Tensor, name: str, file: Path | str) -> Tensor:
    """Classes [N] or masks [N, H, W]; several whole numbers for a row are regression targets, labels or classes of
    places, and so are those of images."""
    if target.ndim == 2 and target.shape[1] == 1:
        return target[:, 0]
    if target.ndim == 2 or target.ndim > 3:
        return target.to(torch.float32)
    if target.ndim == 1 or (target.ndim == 3 and target.shape[1:] == inputs.shape[-2:]):
        return target
    hint = "classes are one whole number for a row (`y.argmax(1)` of one-hot rows), masks [N, height, width]"
    raise DataError("uneven-samples", f"{file}: `{name}` is {list(target.shape)} and `x` is {list(inputs.shape)}", hint)


def _tensor(array: Any, name: str, file: Path | str, pixels: bool = False) -> Tensor:
    if array.ndim == 0 or array.dtype.kind not in "biuf":
        raise DataError("data-type", f"{file}: `{name}` is not an array of numbers")
    if array.dtype.kind == "f" and not (good := np.isfinite(array)).all():
        row = int(np.argmin(good.reshape(len(array), -1).all(1)))
        raise DataError(
            "not-finite-data", f"{file}: `{name}` has values that are not finite, first in row {row} (counted from 0)"
        )
    if array.dtype == np.uint8 and pixels:
        return torch.from_numpy(array)
    return torch.from_numpy(array.astype(np.float32 if array.dtype.kind == "f" else np.int64))
