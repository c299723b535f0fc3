"""Data passed in Python: arrays, tables (DataFrames) and a torch Dataset, as a data set in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
from torch import Tensor

from netdsl.recipe.columns import Columns, Missing
from netdsl.training.data.dataset import DataSet
from netdsl.training.data.validation import check_sound
from netdsl.training.errors import DataError
from netdsl.training.readers.arrays import divided, split_of, task_of
from netdsl.training.readers.columns import frame_columns, table_of

FORMS = "(x, y), a DataFrame with `target=`, or a torch Dataset of (x, y)"


def as_data_set(
    data: Any,
    test: Any = None,
    target: str | None = None,
    held_out: float = 0.2,
    missing: Missing | None = None,
    group: Any = None,
    ordered: bool = False,
) -> DataSet:
    """Make a training and a test split of what was passed. Without `test`, a part of the samples is held out.

    Class names that are texts become classes in alphabetical order. `missing`: what numbers that a DataFrame lacks
    become, as in the source `csv`; without it they are an error. `group`: a column, or an array with the group of each
    sample, none of which is divided; `ordered`: samples stand in the order of time. Raises DataError.
    """
    if missing not in (None, *get_args(Missing)):
        raise DataError("bad-value", f'`missing` is "mean" or "refuse", not {missing!r}')
    if group is not None and ordered:
        raise DataError("conflicting-fields", "`group` and `ordered` both say how samples are divided")
    if is_frame(data):
        if not isinstance(group, str | None):
            raise DataError("data-type", "`group` of a DataFrame is the name of a column", "add it as a column")
        return _frames(data, test, target, held_out, missing=missing or "refuse", group=group or "", ordered=ordered)
    if missing is not None:
        raise DataError("data-type", "`missing` is about the columns of a DataFrame, and `data` is none")
    return _in_memory(data, test, target, held_out, group, ordered)


def _in_memory(data: Any, test: Any, target: str | None, held_out: float, group: Any, ordered: bool) -> DataSet:
    """Arrays or Datasets as a data set."""
    parts = [_arrays(d, target, what) for d, what in ((data, "data"), (test, "test")) if d is not None]
    parts, names = _named(parts)
    splits = [
        split_of({"x": x, "y": y}, ("x",), "y", what) for (x, y), what in zip(parts, ("data", "test"), strict=False)
    ]
    groups = None if group is None else _array(group, "`group`")
    splits[0] = divided(splits[0], groups, ordered, "group", "data")
    train, held = splits if len(splits) == 2 else splits[0].parted(round(held_out * len(splits[0])))
    if not len(train) or not len(held):
        raise DataError("no-samples", f"`data` has {len(splits[0])} samples: too few to hold some out", "give `test=`")
    task, classes = task_of(train, held)
    images = train.inputs[0].ndim == 4
    result = DataSet("data", train, held, task, names or classes, images=images, drawn=len(splits) < 2)
    check_sound(result)
    return result


def _named(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[list[tuple[np.ndarray, np.ndarray]], tuple[str, ...]]:
    """Targets that are texts as numbers of classes, and the names of these in alphabetical order."""
    if not any(y.dtype.kind in "OUS" for _, y in parts):
        return parts, ()
    found = np.unique(np.concatenate([y.astype(str) for _, y in parts]))
    return [(x, np.searchsorted(found, y.astype(str))) for x, y in parts], tuple(found.tolist())


def is_frame(data: Any) -> bool:
    return hasattr(data, "columns") and hasattr(data, "to_numpy")


def _frames(data: Any, test: Any, target: str | None, held_out: float, **about: Any) -> DataSet:
    """DataFrames by their columns, as the source `csv` reads them."""
    names = [str(name) for name in data.columns]
    if target is None or target not in names:
        have = "no `target`" if target is None else f"no column `{target}`"
        raise DataError("missing-column", f"`data` is a table with {have}", f"its columns: {', '.join(names[:12])}")
    if test is not None and not is_frame(test):
        raise DataError("data-type", "`test` is no DataFrame, and `data` is one", f"give {FORMS}")
    component = Columns(file="data", target=target, hold_out=held_out, **about)
    other = None if test is None else frame_columns(test, "test")
    found = table_of(component, frame_columns(data, "data"), other, "data", "test")
    check_sound(found)
    return found


def _arrays(data: Any, target: str | None, what: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and targets as arrays."""
    if target is not None:
        raise DataError("data-type", f"`target` is the column of a DataFrame, and `{what}` is none", f"give {FORMS}")
    if isinstance(data, tuple | list) and len(data) == 2:
        x, y = (
            _array(part, f"{name} of `{what}`") for part, name in zip(data, ("the inputs", "the targets"), strict=True)
        )
        return x, y
    if hasattr(data, "__getitem__") and hasattr(data, "__len__") and not isinstance(data, Mapping | str | Sequence):
        return _items(data, what)
    hint = "items are drawn by their number, in a new order each epoch: a Dataset with `__getitem__` and `__len__`"
    raise DataError("data-type", f"`{what}` is none of {FORMS}", hint if hasattr(data, "__iter__") else None)


def _array(part: Any, what: str) -> np.ndarray:
    """One array: of numpy, torch, a DataFrame or a list."""
    try:
        found = part.detach().cpu().numpy() if isinstance(part, Tensor) else np.asarray(part)
    except ValueError:
        raise DataError("uneven-samples", f"{what} have items of several shapes", "resize or pad them to one") from None
    if found.dtype.kind == "O" and not all(isinstance(v, str) for v in found.flat):
        raise DataError(
            "data-type", f"{what} are neither numbers nor texts", "convert them first, or resize them to one shape"
        )
    return found


def _items(data: Any, what: str) -> tuple[np.ndarray, np.ndarray]:
    """A Dataset, read once. Raises DataError with the number of an item that is wrong, or unlike the first."""
    inputs: list[np.ndarray] = []
    targets: list[Any] = []
    for i in range(len(data)):
        x, y = _item(data, i, what)
        if inputs and (x.shape != inputs[0].shape or x.dtype != inputs[0].dtype):
            first, other = (f"{list(a.shape)} of {a.dtype}" for a in (inputs[0], x))
            raise DataError(
                "uneven-samples",
                f"item {i} of `{what}` is {other}, item 0 is {first}",
                "resize or pad them to one shape",
            )
        _check_target(y, targets[0] if targets else y, f"item {i} of `{what}`")
        for values in (x, y):
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                raise DataError("not-finite-data", f"item {i} of `{what}` holds values that are not finite")
        inputs.append(x)
        targets.append(y)
    if not inputs:
        raise DataError("no-samples", f"`{what}` has no items")
    return np.stack(inputs), np.stack(targets)


KINDS = {"b": "a whole number", "i": "a whole number", "u": "a whole number", "f": "a number", "U": "a text"}


def _check_target(y: np.ndarray, first: np.ndarray, item: str) -> None:
    """Raise DataError for a target that is unlike that of the first item, or no class."""
    if y.shape != first.shape:
        raise DataError("uneven-samples", f"{item} has a target {list(y.shape)}, item 0 {list(first.shape)}")
    ours, theirs = (KINDS.get(target.dtype.kind, str(target.dtype)) for target in (y, first))
    if ours != theirs:
        raise DataError("data-type", f"the target of {item} is {ours} ({y}), that of item 0 {theirs} ({first})")
    if y.ndim == 0 and y.dtype.kind == "i" and y < 0:
        raise DataError("unknown-class", f"{item} has class {y}", "classes are counted from 0")


def _item(data: Any, i: int, what: str) -> tuple[np.ndarray, np.ndarray]:
    try:
        item = data[i]
    except Exception as error:
        raise DataError(
            "unreadable-data", f"item {i} of `{what}` cannot be read: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(item, tuple | list) or len(item) != 2:
        names = f", and has {', '.join(map(repr, item))}" if isinstance(item, Mapping) else ""
        hint = "`__getitem__` returns (x, y)"
        raise DataError("data-type", f"item {i} of `{what}` is no pair of an input and a target{names}", hint)
    x, y = (_array(part, f"the values of item {i} of `{what}`") for part in item)
    return x, y
