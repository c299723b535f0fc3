"""Tables of numbers and categories, from CSV and parquet files and DataFrames."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor

from netdsl.diagnostics.diagnostic import did_you_mean
from netdsl.inference.columns import (
    Column,
    Raw,
    as_numbers,
    as_texts,
    column_of,
    described,
    encoded,
    is_missing,
    is_number,
    listed,
    replaced,
)
from netdsl.inference.dates import is_date
from netdsl.inference.notations import check_notation
from netdsl.inference.tables import load_columns, plain
from netdsl.recipe.columns import Columns, Csv, ParquetTable
from netdsl.training.data.dataset import MOST_CLASSES, DataError, DataSet, Refitted, Split
from netdsl.training.data.division import check_grouped, group_numbers, held_rows, in_both
from netdsl.training.data.doubts import doubtful_columns
from netdsl.training.readers.registry import READERS


class Known(Struct, frozen=True, eq=False):
    """The columns of a net's training data: the columns, and the names of the classes (none for regression targets)."""

    columns: tuple[Column, ...]
    classes: tuple[str, ...]


Named = tuple[Raw, str]
"""A table and where it comes from."""


@READERS.of(Csv, ParquetTable)
def read(source: Columns, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    return read_columns(source, base)


def read_columns(source: Columns, base: Path, known: Known | None = None) -> DataSet:
    """The data set of a file with columns, for a net that is trained on it or, `known`, was on another."""
    texts = {c.name for c in known.columns if c.is_category} if known else set()
    raw = load_columns(base / source.file, source, texts)
    texts |= {name for name, column in raw.items() if column.dtype.kind != "f"}
    test = load_columns(base / source.test, source, texts) if source.test else None
    return table_of(source, raw, test, source.file, source.test, known)


def table_of(
    source: Columns, raw: Raw, test: Raw | None, where: str, other: str = "", known: Known | None = None
) -> DataSet:
    """The data set of a table by columns, and of one to test on (without it, a part of the rows)."""
    _check_names(source, raw, where)
    count = len(raw[source.targets[0]])
    groups = _groups(source, ((where, raw),) if test is None else ((where, raw), (other, test)))
    own = None if groups is None else groups[:count]
    rows, left = _rows(source, count, own, test is None, where)
    columns = known.columns if known else _columns(source, raw, rows, where)
    target, classes = _targets(source, raw, where, known.classes if known else None)
    train = Split(_inputs(raw, columns, where), target, groups=own, ordered=source.ordered)
    notes = replaced(columns, raw)
    if not known:
        notes = described(columns, raw) + doubtful_columns(columns, source.targets, raw)
    if test is None:
        parts = train.subset(rows), train.subset(left)
    else:
        parts = train, Split(_inputs(test, columns, other), _targets(source, test, other, classes)[0])
        notes += in_both(groups, count)
    task = "numbers" if target.is_floating_point() else "classes"
    rows_of = torch.cat((rows, left)) if test is None else torch.arange(count)
    again = (
        None if known else partial(_refitted, source, (raw, where), None if test is None else (test, other), rows_of)
    )
    drawn = test is None
    return DataSet(
        where, *parts, task, classes, images=False, notes=tuple(notes), columns=columns, drawn=drawn, refitted=again
    )


def _rows(source: Columns, count: int, groups: Tensor | None, drawn: bool, where: str) -> tuple[Tensor, Tensor]:
    """The rows to train on and, where they are `drawn` from the same, those to test on. Raises DataError for none."""
    if not drawn:
        return torch.arange(count), torch.arange(0)
    rows, left = held_rows(count, round(source.hold_out * count), 0, groups, source.ordered)
    if not len(rows) or not len(left):
        raise DataError("no-samples", f"{where} has {len(rows)} rows to train on and {len(left)} to test on")
    return rows.sort().values, left.sort().values


def _groups(source: Columns, tables: Sequence[tuple[str, Raw]]) -> Tensor | None:
    """The groups of the rows of some tables, one table behind the other. Raises DataError for a row without one."""
    if not source.group:
        return None
    names: list[str | None] = []
    for where, raw in tables:
        own = as_texts(raw[source.group]) if source.group in raw else []
        check_grouped(own, source.group, where, first=1)
        names += own
    return group_numbers(names)


def _refitted(
    source: Columns, table: Named, test: Named | None, rows: Tensor, chosen: Tensor, slots: tuple[Column, ...] = ()
) -> Refitted:
    """The inputs of the rows of a table and behind them those of one to test on, with means and categories of the rows
    that are `chosen` among the first. A category keeps a number for each value that it has in `slots` (without them, in
    all rows), so that the net fits whichever are chosen."""
    raw, where = table
    every = slots or _columns(source, raw, rows, where)
    own = _columns(source, raw, rows[chosen].sort().values, where)
    columns = tuple(
        replace(o, values=e.values, unseen=tuple(v for v in e.values if v not in o.values)) if e.values else o
        for o, e in zip(own, every, strict=True)
    )
    inputs = tuple(x[rows] for x in _inputs(raw, columns, where))
    if test is not None:
        inputs = tuple(map(torch.cat, zip(inputs, _inputs(test[0], columns, test[1]), strict=True)))
    return Refitted(inputs, columns, tuple(described(columns, raw)))


def _columns(source: Columns, raw: Raw, rows: Tensor, where: str) -> tuple[Column, ...]:
    """Describe the columns, but for those to predict and to leave out."""
    names = (n for n in raw if n not in (*source.ignore, *source.targets, source.group))
    return tuple(column_of(n, raw[n], rows.numpy(), where, n in source.categories, source.missing) for n in names)


def _check_names(source: Columns, raw: Raw, where: str) -> None:
    if "" in raw and "" not in source.ignore:
        message = f"column {list(raw).index('') + 1} of {where} has no name"
        hint = 'leave it out: `ignore=[""]`; pandas writes row numbers so, but for `to_csv(index=False)`'
        raise DataError("unreadable-data", message, hint)
    grouped = (source.group,) if source.group else ()
    for name in (*source.targets, *source.categories, *source.ignore, *grouped):
        if name not in raw:
            hint = did_you_mean(name, list(raw)) or f"it has {listed(raw)}"
            raise DataError("missing-column", f"{where} has no column `{name}`", hint)


def _inputs(raw: Raw, columns: Sequence[Column], where: str) -> tuple[Tensor, Tensor]:
    """The numbers and the codes of categories of all rows."""
    table = encoded(raw, columns, where)
    return torch.from_numpy(table.numbers), torch.from_numpy(table.codes)


def _targets(
    source: Columns, raw: Raw, where: str, known: tuple[str, ...] | None = None
) -> tuple[Tensor, tuple[str, ...]]:
    """Targets, and the names of their classes: whole numbers and texts are classes, other numbers are to be predicted.

    `known`: the classes of the training split, which others have to be of; empty where it has numbers.
    """
    texts = [n for n in source.targets if not _target_is_number(source, n, raw, where)]
    several = len(source.targets) > 1
    if texts and (several or known == ()):
        why = "several targets are numbers" if several else "the net was trained on numbers"
        raise DataError("data-type", f"column `{texts[0]}` of {where} holds texts: {why}")
    name = source.targets[0]
    if not several and (texts or _are_classes(as_numbers(raw[name]), known)):
        return _classes(name, raw[name], not texts, where, known)
    return _numbers(np.stack([as_numbers(raw[n]) for n in source.targets], 1), where), ()


def _are_classes(values: np.ndarray, known: tuple[str, ...] | None) -> bool:
    """Whether numbers are classes: where those known are, or all are whole and not too many."""
    if known is not None:
        return bool(known)
    return _whole(values) and (len(values) <= MOST_CLASSES or len(np.unique(values)) <= MOST_CLASSES)


def _numbers(values: np.ndarray, where: str) -> Tensor:
    if not (finite := np.isfinite(values).all(1)).all():
        row = int(np.argmin(finite)) + 1
        raise DataError("not-finite-data", f"row {row:,} of {where}: a number to predict is infinite")
    return torch.from_numpy(values.astype(np.float32))


def _target_is_number(source: Columns, name: str, raw: Raw, where: str) -> bool:
    """Whether a target holds numbers. Raises DataError where one is missing."""
    if name not in raw:
        raise DataError("missing-column", f"{where} has no column `{name}`", f"it has {listed(raw)}")
    gone = is_missing(raw[name])
    if gone.any():
        raise DataError("data-value", f"row {int(np.argmax(gone)) + 1:,} of {where} has no `{name}` to predict")
    if name in source.categories or is_number(name, raw[name], where):
        return name not in source.categories
    if is_date(name, raw[name], where):
        hint = f'predict a number, such as the days until then; if they are classes: `categories=["{name}"]`'
        raise DataError("data-type", f"the target `{name}` of {where} holds dates", hint)
    check_notation(name, raw[name], where)
    return False


def _whole(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all() and (values == np.floor(values)).all())


def _classes(
    name: str, raw: np.ndarray, numbers: bool, where: str, known: tuple[str, ...] | None
) -> tuple[Tensor, tuple[str, ...]]:
    own = as_numbers(raw) if numbers else np.array(as_texts(raw), dtype=object)
    values, found = np.unique(own, return_inverse=True)
    texts = [str(text) for text in as_texts(values)]
    place = {text: i for i, text in enumerate(known or texts)}
    number = np.array([place.get(text, -1) for text in texts], dtype=np.int64)[found]
    if (new := number < 0).any():
        row = int(np.argmax(new))
        message = f"row {row + 1:,} of {where}: `{name}` is `{texts[found[row]]}`, which has no row to train on"
        raise DataError("unknown-class", message)
    return torch.from_numpy(number), known or tuple(texts)


def frame_columns(frame: Any, what: str) -> Raw:
    """The columns of a DataFrame, by their names as texts."""
    found: Raw = {}
    _check_once([str(name) for name in frame.columns], what)
    for name in frame.columns:
        array = _undated(np.asarray(frame[name]))
        values = [_cell(v) for v in array.tolist()]
        numbers = all(v is None or isinstance(v, int | float) for v in values)
        if array.dtype.kind not in "biufOU" or not all(v is None or isinstance(v, str | int | float) for v in values):
            message = f"the values in column `{name}` of `{what}` are neither numbers nor texts"
            raise DataError("data-type", message, "convert them first, or leave the column out")
        found[str(name)] = plain(values, numbers)
    return found


def _check_once(names: Sequence[str], what: str) -> None:
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise DataError("data-type", f"`{what}` has two columns called `{twice}`", "call one of them otherwise")


def _undated(array: np.ndarray) -> np.ndarray:
    """Dates of numpy as texts, and times between two dates as days."""
    if array.dtype.kind == "m":
        return array / np.timedelta64(1, "D")
    if array.dtype.kind != "M":
        return array
    texts = np.datetime_as_string(array, unit="us").astype(object)
    texts[np.isnat(array)] = None
    return texts


def _cell(value: Any) -> Any:
    """A value of a column of objects: None for what is missing in pandas, dates and times as ISO texts."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    return value.isoformat() if isinstance(value, date | datetime | time) else value
