"""Tables of numbers and categories in CSV and parquet files."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from netdsl.diagnostics.diagnostic import first_line
from netdsl.diagnostics.memory import available, said
from netdsl.diagnostics.packages import needed_by
from netdsl.inference.columns import MISSING, Raw
from netdsl.inference.errors import DataError
from netdsl.inference.notations import with_points
from netdsl.recipe.columns import Columns, Csv

CHUNK = 2**18
"""Cells of a CSV file that are texts at the same time, where a column holds numbers."""


def load_columns(file: Path, source: Columns, texts: Collection[str] = ()) -> Raw:
    """The columns of a file of the kind that a recipe's component names. `texts`: those that stay as they are written,
    as categories, also where all their cells are numbers."""
    if not isinstance(source, Csv):
        return parquet_columns(file)
    if source.decimal == ".":
        return csv_columns(file, source.separator, {*texts, *source.categories, source.group})
    names = (*source.ignore, *source.categories)
    found = csv_columns(file, source.separator, None)
    return {n: raw if n in names else with_points(n, raw, str(file)) for n, raw in found.items()}


def csv_columns(file: Path, separator: str = "", texts: Collection[str] | None = ()) -> Raw:
    """The columns of a CSV file: numbers where all cells are, but for those in `texts` (None: all), or texts. Raises
    DataError for a line that has other cells than the first."""
    if not file.is_file():
        raise DataError(
            "missing-data", f"there is no file {file}", "say where it is: `--data 'csv(\"...\", target=...)'`"
        )
    try:
        found = _csv_columns(file, separator, texts)
        if mixed := {column.name for column in found if column.is_mixed}:
            found = _csv_columns(file, separator, {*(texts or ()), *mixed})
    except UnicodeDecodeError as error:
        message = f"{file} is not UTF-8 text: {error.reason} at byte {error.start}"
        raise DataError("unreadable-data", message, "save it as UTF-8: `iconv -f latin1 -t utf-8`") from None
    except csv.Error as error:
        raise DataError("unreadable-data", f"{file} is not a CSV file: {error}") from None
    if not found[0].parts:
        raise DataError("no-samples", f"{file} has no rows below its column names")
    return {column.name: np.concatenate(column.parts) for column in found}


class _Cells:
    """The cells of a column: numbers as long as all are (NaN where one is missing), or texts. `is_mixed`: what came
    before the first text is lost."""

    def __init__(self, name: str, as_texts: bool) -> None:
        self.name = name
        self.as_texts = as_texts
        self.is_mixed = False
        self.parts: list[np.ndarray] = []

    def add(self, cells: Sequence[str]) -> None:
        if not self.as_texts and (numbers := _numbers(cells)) is not None:
            self.parts.append(numbers)
            return
        self.is_mixed = (bool(self.parts) and not self.as_texts) or self.is_mixed
        self.as_texts = True
        self.parts.append(np.array([_text(cell) for cell in cells], dtype=object))


def _numbers(cells: Sequence[str]) -> np.ndarray | None:
    """Cells as float64, NaN where one is missing; None where one is a text."""
    try:
        return np.array(cells, dtype=np.float64)
    except ValueError:
        pass
    try:
        return np.array([np.nan if cell.strip().lower() in MISSING else cell for cell in cells], dtype=np.float64)
    except ValueError:
        return None


def _text(cell: str) -> str | None:
    text = cell.strip()
    return None if text.lower() in MISSING else text


def _csv_columns(file: Path, separator: str, texts: Collection[str] | None) -> list[_Cells]:
    with open(file, newline="", encoding="utf-8-sig") as stream:
        first = stream.readline()
        stream.seek(0)
        lines = csv.reader(stream, delimiter=separator or _separator(first), strict=True)
        names = [name.strip() for name in next(lines, [])]
        _check_header(names, file)
        found = [_Cells(name, texts is None or name in texts) for name in names]
        rows = (_row(cells, names, i, file) for i, cells in enumerate(lines, 1) if cells)
        while chunk := list(islice(rows, max(64, CHUNK // len(names)))):
            for column, own in zip(found, zip(*chunk, strict=True), strict=True):
                column.add(own)
    return found


def _separator(first: str) -> str:
    return max(",;\t|", key=first.count)


def _check_header(names: list[str], file: Path) -> None:
    twice = next((n for n, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise DataError(
            "unreadable-data", f"{file} has two columns called `{twice}`", "the first line names the columns"
        )
    numbers = [n for n in names if n.replace(".", "").lstrip("+-").isdigit()]
    if not names or len(numbers) == len(names):
        raise DataError(
            "unreadable-data", f"{file} has no column names", "its first line names the columns: `age,income`"
        )


def _row(cells: list[str], names: list[str], i: int, file: Path) -> list[str]:
    if len(cells) != len(names):
        message = f"row {i:,} of {file} has {len(cells)} cells, and there are {len(names)} columns"
        raise DataError("unreadable-data", message, "cells that hold the separator stand in double quotes")
    if "\0" in "".join(cells):
        broken = next(name for name, cell in zip(names, cells, strict=True) if "\0" in cell)
        message = f"row {i:,} of {file} holds a NUL character in column `{broken}`"
        raise DataError("unreadable-data", message, "the file is damaged, or no text; save it again")
    return cells


def parquet_columns(file: Path) -> Raw:
    """The columns of a parquet file; what is no number is a text. Raises DataError."""
    with needed_by("reading parquet files"):
        from pyarrow import parquet
    if not file.is_file():
        raise DataError(
            "missing-data", f"there is no file {file}", "say where it is: `--data 'table(\"...\", target=...)'`"
        )
    with as_parquet(file), parquet.ParquetFile(file) as opened:
        check_rows(file, opened.metadata.num_rows, opened.metadata.num_columns)
        table = opened.read()
    return {name: _of_arrow(table[name]) for name in table.column_names}


@contextmanager
def as_parquet(file: Path | str) -> Iterator[None]:
    """Reading of a parquet file: pyarrow's complaints become a DataError that names the file."""
    from pyarrow import ArrowException, ArrowMemoryError

    try:
        yield
    except ArrowMemoryError:
        raise
    except (ArrowException, OSError) as error:  # pyarrow's own are mostly OSErrors
        said_of_it = "".join(c for c in first_line(error) if c.isprintable() and c != "\ufffd")
        raise DataError("unreadable-data", f"{file} is not a parquet file: {said_of_it}") from None


def _of_arrow(column: Any) -> np.ndarray:
    """A column of pyarrow: numbers and times between two dates, in days, as float64, others as texts."""
    from pyarrow import duration, float64, int64, timestamp, types

    kind = column.type
    if types.is_integer(kind) or types.is_boolean(kind) or types.is_float32(kind) or types.is_float64(kind):
        return np.array(column.cast(float64(), safe=False).to_numpy())  # none are NaN
    if types.is_duration(kind):
        micro = column.cast(duration("us"), safe=False).cast(int64()).cast(float64(), safe=False)
        return np.array(micro.to_numpy()) / MICROSECONDS
    if types.is_timestamp(kind):
        column = column.cast(timestamp("us", kind.tz), safe=False)
    return plain(column.to_pylist(), types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind))


MICROSECONDS = 86_400e6
"""Of a day."""
VALUE = 16
"""Bytes that a value of a table takes at least while it is read: in the table, and as a number."""


def check_rows(file: Path, rows: int, columns: int) -> None:
    """Raise DataError for a table that declares more rows than fit into memory: equal ones take no room in a file."""
    needed, there = rows * columns * VALUE, available()
    if there is not None and needed > there:
        declared = f"{file} declares {rows:,} rows of {columns:,} columns, {said(needed)}"
        raise DataError("out-of-memory", f"{declared}, and {said(there)} of memory are free", "fewer rows need less")


def plain(values: list[Any], numbers: bool) -> np.ndarray:
    """Numbers as float64, others as texts; None and NaN are missing."""
    if numbers:
        return np.array([np.nan if v is None else float(v) for v in values], dtype=np.float64)
    gone = (v is None or (isinstance(v, float) and np.isnan(v)) for v in values)
    return np.array([None if g else str(v) for v, g in zip(values, gone, strict=True)], dtype=object)
