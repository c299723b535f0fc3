"""Data passed in Python: arrays, tables (DataFrames) and a torch Dataset, as a data set in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader

from netdsl.diagnostics.memory import available, said
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
    target: str | Sequence[str] | None = None,
    held_out: float = 0.2,
    missing: Missing | None = None,
    group: Any = None,
    ordered: bool = False,
    inputs: tuple[str, ...] = (),
) -> DataSet:
    """Make a training and a test split of what was passed. Without `test`, a part of the samples is held out.

    Class names that are texts become classes in alphabetical order. `missing`: what numbers that a DataFrame lacks
    become, as in the source `csv`; without it they are an error. `group`: a column, or an array with the group of each
    sample, none of which is divided; `ordered`: samples stand in the order of time; `inputs`: the names of the net's,
    where they are known. Raises DataError.
    """
    if missing not in (None, *get_args(Missing)):
        raise DataError("bad-value", f'`missing` is "mean" or "refuse", not {missing!r}')
    if group is not None and ordered:
        raise DataError("conflicting-fields", "`group` and `ordered` both say how samples are divided")
    if is_frame(data):
        if not isinstance(group, str | None):
            raise DataError("data-type", "`group` of a DataFrame is the name of a column", "add it as a column")
        return _frames(data, test, target, held_out, missing=missing or "refuse", group=group or "", ordered=ordered)
    for name, value in (("missing", missing), ("target", target)):
        if value is not None:
            message = f"`{name}` is about the columns of a DataFrame, and `data` is none"
            raise DataError("data-type", message, f"give {FORMS}")
    return _in_memory(data, test, inputs, held_out, group, ordered)


def _in_memory(data: Any, test: Any, inputs: tuple[str, ...], held_out: float, group: Any, ordered: bool) -> DataSet:
    """Arrays or Datasets as a data set."""
    parts = [_arrays(d, inputs, what) for d, what in ((data, "data"), (test, "test")) if d is not None]
    parts, names = _named(parts)
    splits = [
        split_of({**x, "y": y}, tuple(x), "y", what) for (x, y), what in zip(parts, ("data", "test"), strict=False)
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


Part = tuple[dict[str, np.ndarray], np.ndarray]
"""The array of each input, and that of the targets."""


def _named(parts: list[Part]) -> tuple[list[Part], tuple[str, ...]]:
    """Targets that are texts as numbers of classes, and the names of these in alphabetical order."""
    if not any(y.dtype.kind in "OUS" for _, y in parts):
        return parts, ()
    found = np.unique(np.concatenate([y.astype(str) for _, y in parts]))
    return [(x, np.searchsorted(found, y.astype(str))) for x, y in parts], tuple(found.tolist())


def is_frame(data: Any) -> bool:
    return hasattr(data, "columns") and hasattr(data, "to_numpy")


def _frames(data: Any, test: Any, target: str | Sequence[str] | None, held_out: float, **about: Any) -> DataSet:
    """DataFrames by their columns, as the source `csv` reads them."""
    targets = _targets(data, target)
    if test is not None and not is_frame(test):
        raise DataError("data-type", "`test` is no DataFrame, and `data` is one", f"give {FORMS}")
    component = Columns(file="data", target=targets[0] if len(targets) == 1 else targets, hold_out=held_out, **about)
    other = None if test is None else frame_columns(test, "test")
    found = table_of(component, frame_columns(data, "data"), other, "data", "test")
    check_sound(found)
    return found


def _targets(data: Any, target: str | Sequence[str] | None) -> tuple[str, ...]:
    """The columns to predict. Raises DataError for one that a DataFrame lacks."""
    names = [str(name) for name in data.columns]
    targets = (target,) if isinstance(target, str) else tuple(target or ())
    unknown = next((t for t in targets if t not in names), None)
    if unknown is not None or not targets:
        have = f"no column `{unknown}`" if targets else "no `target`"
        raise DataError("missing-column", f"`data` is a table with {have}", f"its columns: {', '.join(names[:12])}")
    return targets


def _arrays(data: Any, inputs: tuple[str, ...], what: str) -> Part:
    """Inputs and targets as arrays."""
    if isinstance(data, tuple | list) and len(data) == 2:
        each = _each_input(data[0], inputs, f"`{what}`")
        x = {name: _array(part, f"the inputs of `{what}`") for name, part in each.items()}
        return x, _array(data[1], f"the targets of `{what}`")
    if isinstance(data, DataLoader):
        raise DataError("data-type", f"`{what}` is a DataLoader", "give what it reads: `loader.dataset`")
    if isinstance(data, str | Mapping | tuple) or not (hasattr(data, "__iter__") or hasattr(data, "__getitem__")):
        raise DataError("data-type", f"`{what}` is none of {FORMS}")
    return _items(data, inputs, what)


def _each_input(x: Any, inputs: tuple[str, ...], where: str) -> dict[str, Any]:
    """The inputs of a net by name: a dict, or several in the order of the net's; of a net with one input, `x`. Raises
    DataError where they are not those of the net."""
    if isinstance(x, Mapping):
        if inputs and set(x) != set(inputs):
            message = f"{where} has the inputs {', '.join(map(str, x))}, the net {', '.join(inputs)}"
            raise DataError("unfit-input", message)
        return {name: x[name] for name in inputs or x}
    if len(inputs) < 2:
        return {"x": x}
    if not isinstance(x, tuple | list) or len(x) != len(inputs):
        hint = f"a dict of them: `({{{', '.join(f'{name!r}: ...' for name in inputs)}}}, y)`"
        raise DataError("unfit-input", f"the net has {len(inputs)} inputs, and {where} gives no array for each", hint)
    return dict(zip(inputs, x, strict=True))


def _array(part: Any, what: str) -> np.ndarray:
    """One array: of numpy, torch, a DataFrame or a list."""
    try:
        found = part.detach().cpu().numpy() if isinstance(part, Tensor) else np.asarray(part)
        if found.dtype.kind == "O":  # numbers or texts in a column of objects
            found = np.asarray(found.tolist())
    except ValueError:
        raise DataError("uneven-samples", f"{what} have items of several shapes", "resize or pad them to one") from None
    if np.ma.is_masked(part):
        raise DataError("not-finite-data", f"{what} have values that are masked", "fill them in: `x.filled(...)`")
    if found.dtype.kind not in "biufcUS":
        hint = "`x.toarray()`" if hasattr(part, "toarray") else "convert them first, or resize them to one shape"
        raise DataError("data-type", f"{what} are neither numbers nor texts", hint)
    return found


def _items(data: Any, inputs: tuple[str, ...], what: str) -> Part:
    """A Dataset, read once. Raises DataError with the number of an item that is wrong, or unlike the first."""
    rows: list[dict[str, np.ndarray]] = []
    targets: list[np.ndarray] = []
    size = 0
    for i, item in enumerate(_read(data, what)):
        x, y = _item(item, inputs, f"item {i} of `{what}`")
        rows.append(x)
        targets.append(y)
        _check_like(x, rows[0], i, what)
        _check_target(y, targets[0], f"item {i} of `{what}`")
        _check_finite((*x.values(), y), f"item {i} of `{what}`")
        size += sum(values.nbytes + OBJECT for values in (*x.values(), y))
        if i & (i + 1) == 0:
            _check_room(i + 1, size, what)
    if not rows:
        raise DataError("no-samples", f"`{what}` has no items")
    return {name: np.stack([x[name] for x in rows]) for name in rows[0]}, np.stack(targets)


OBJECT = 200
"""Bytes that an array takes beside its numbers."""


def _check_room(count: int, size: int, what: str) -> None:
    """Raise DataError where there is no room for as much again: a stream may have no end, and stacking copies."""
    there = available()
    if there is not None and size > there:
        message = f"the first {count:,} items of `{what}` take {said(size)} of memory, and {said(there)} are free"
        raise DataError("out-of-memory", message, "all are read before the first step: end the stream, or use files")


def _read(data: Any, what: str) -> Iterator[Any]:
    """The items of a Dataset in order, by their numbers where it has some."""
    numbered = hasattr(data, "__len__") and hasattr(data, "__getitem__")
    i = 0
    try:
        for i, item in enumerate(map(data.__getitem__, range(len(data))) if numbered else data):
            yield item
            i += 1
    except Exception as error:
        message = f"item {i} of `{what}` cannot be read: {type(error).__name__}: {error}"
        raise DataError("unreadable-data", message) from error


def _check_like(x: dict[str, np.ndarray], first: dict[str, np.ndarray], i: int, what: str) -> None:
    """Raise DataError for an input of another shape or type than that of the first item."""
    for a, b in ((x[name], first[name]) for name in first):
        if a.shape != b.shape or a.dtype != b.dtype:
            message = f"item {i} of `{what}` is {list(a.shape)} of {a.dtype}, item 0 is {list(b.shape)} of {b.dtype}"
            raise DataError("uneven-samples", message, "resize or pad them to one shape")


def _check_finite(each: Sequence[np.ndarray], item: str) -> None:
    if not all(np.isfinite(values).all() for values in each if values.dtype.kind == "f"):
        raise DataError("not-finite-data", f"{item} holds values that are not finite")


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


def _item(item: Any, inputs: tuple[str, ...], where: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    if not isinstance(item, tuple | list) or len(item) != 2:
        names = f", and has {', '.join(map(repr, item))}" if isinstance(item, Mapping) else ""
        raise DataError("data-type", f"{where} is no pair of an input and a target{names}", "items are (x, y)")
    x = {n: _array(part, f"the values of {where}") for n, part in _each_input(item[0], inputs, where).items()}
    return x, _array(item[1], f"the values of {where}")
