"""Columns of a table as arrays: numbers, and categories with a number for each of their values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Set
from typing import Any, Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from netdsl.inference.dates import days, is_date, is_time
from netdsl.inference.errors import DataError
from netdsl.inference.notations import check_notation, or_names
from netdsl.render.numbers import plural

Raw = dict[str, np.ndarray]
"""Columns by name: numbers as float64 (NaN where one is missing), or texts as objects (None)."""

MISSING = frozenset(
    ("", "na", "n/a", "#n/a", "<na>", "nan", "-nan", "null", "none", "?")
)  # fmt: skip
MANY, FEW, SENTENCE = 1000, 20, 3
"""Values of a column of texts above which it is hardly a category; where most have so many words, above few."""


class Column(Struct, frozen=True):
    """One column: a number with the value that stands for missing ones, a date or a time of day as days since the first
    of the training split (`origin`, in days since 1970 or midnight), or a category with its values in order. The number
    0 of a category stands for what is missing, or was not in the training split; `unseen` are values of the data set
    that were not, and have a number that no row has."""

    name: str
    kind: Literal["number", "date", "time", "category"]
    fill: float = 0.0
    values: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    origin: float = 0.0

    @property
    def is_category(self) -> bool:
        return self.kind == "category"

    @property
    def is_dated(self) -> bool:
        return self.kind in ("date", "time")

    @property
    def levels(self) -> int:
        """How many numbers a category takes."""
        return len(self.values) + 1

    def found(self, raw: np.ndarray) -> np.ndarray:
        """The column's numbers, float64 [N], NaN where one is missing."""
        return days(raw) - self.origin if self.is_dated else as_numbers(raw)

    def filled(self, raw: np.ndarray) -> list[str]:
        """A note on numbers that are missing."""
        gone = int(np.isnan(self.found(raw)).sum())
        return [f"`{self.name}`: {gone:,} missing, filled with the mean {self.fill:g}"] if gone else []

    def replaced(self, raw: np.ndarray) -> list[str]:
        """A note on what is replaced: numbers that are missing, values of a category that were not trained on."""
        if not self.is_category:
            return self.filled(raw)
        known = {*self.values} - {*self.unseen}
        count = Counter(text for text in as_texts(raw) if text is not None and text not in known)
        if not count:
            return []
        rows = plural(count.total(), "row") + (" has a value" if count.total() == 1 else " have values")
        return [f"`{self.name}`: {rows} that no training row has, taken for missing: {listed([*count][:5])}"]

    def numbers(self, raw: np.ndarray) -> np.ndarray:
        """The column's numbers, float32 [N]."""
        found = self.found(raw)
        return np.where(np.isnan(found), self.fill, found).astype(np.float32)

    def codes(self, raw: np.ndarray) -> np.ndarray:
        """A category's numbers, int64 [N]."""
        known = {value: i for i, value in enumerate(self.values, 1) if value not in self.unseen}
        codes = [known.get(text, 0) if text is not None else 0 for text in as_texts(raw)]
        return np.array(codes, dtype=np.int64)

    def check(self, raw: np.ndarray, where: str) -> None:
        """Raise DataError where a column of another table holds something else than in training."""
        if self.kind == "number" and not is_number(self.name, raw, where):
            raise DataError("data-type", f"column `{self.name}` of {where} holds texts, and numbers in training")
        if self.is_dated and not is_missing(raw).all() and _dated(self.name, raw, where) != self.kind:
            message = f"column `{self.name}` of {where} holds no {self.kind}s, and {self.kind}s in training"
            raise DataError("data-type", message)


def _dated(name: str, raw: np.ndarray, where: str) -> Literal["date", "time"] | None:
    """The kind of a column of dates or of times of day, None of any other. Raises DataError as `is_date`."""
    if raw.dtype.kind == "f" or not is_date(name, raw, where):
        return None
    return "time" if is_time(raw) else "date"


def column_of(name: str, raw: np.ndarray, rows: np.ndarray, where: str, category: bool, missing: str) -> Column:
    """Describe a column: its kind by all its values, its mean or its categories by those in `rows`, the training split.

    Raises DataError for one that mixes both kinds, has no values, or hardly two that are the same.
    """
    own = raw[rows]
    if not category and is_number(name, raw, where):
        return _number(name, as_numbers(raw), as_numbers(own), where, missing)
    if not category and (kind := _dated(name, raw, where)):
        found = days(raw)
        origin = float(np.nanmin(found[rows], initial=np.inf))
        since = found - (origin if np.isfinite(origin) else 0.0)
        return replace(_number(name, since, since[rows], where, missing), kind=kind, origin=origin)
    if not category:
        check_notation(name, raw, where)
    _check_names(name, set(as_texts(raw)) - {None}, len(raw), where, category)
    values = sorted({text for text in as_texts(own) if text is not None}, key=_order)
    return Column(name, "category", values=tuple(values))


def _check_names(name: str, values: Set[str | None], rows: int, where: str, category: bool) -> None:
    """Raise DataError for a column whose texts are no names of categories: of all its rows hardly two are the same, and
    there are many, or most are sentences and nobody says that it is a `category`."""
    sentences = not category and 2 * sum(len((text or "").split()) >= SENTENCE for text in values) > len(values) > FEW
    if 2 * len(values) > rows and (len(values) > MANY or sentences):
        message = f"column `{name}` of {where} has {len(values):,} different texts in {rows:,} rows"
        words = "; a net reads words as numbers, from an `npz` file" if sentences else ""
        raise DataError("data-type", message, f'leave it out: `ignore=["{name}"]`{words}')


def _order(text: str) -> tuple[float, str]:
    """Numbers in their order, then texts."""
    try:
        return float(text), text
    except ValueError:
        return float("inf"), text


def _number(name: str, values: np.ndarray, own: np.ndarray, where: str, missing: str) -> Column:
    gone = np.isnan(values)
    if np.isinf(values).any():
        raise DataError("not-finite-data", f"row {_row(np.isinf(values))} of {where}: column `{name}` is infinite")
    if gone.any() and missing == "refuse":
        hint = 'fill it in, or take the mean of the column: `missing=mean` (in Python `missing="mean"`)'
        raise DataError("data-value", f"row {_row(gone)} of {where}: column `{name}` has no value", hint)
    if np.isnan(own).all():
        raise DataError("data-value", f"column `{name}` of {where} has no values", f'leave it out: `ignore=["{name}"]`')
    return Column(name, "number", float(f"{np.nanmean(own):.7g}"))


def _row(wrong: np.ndarray) -> str:
    """The first row of some, as people count the rows below the names of the columns."""
    return f"{int(np.argmax(wrong)) + 1:,}"


def is_number(name: str, raw: np.ndarray, where: str) -> bool:
    """Whether a column holds numbers. Raises DataError where most of its values are numbers and some are not."""
    if raw.dtype.kind == "f":
        return True
    parsed = [_parsed(text) for text in raw]
    texts = [i for i, (value, text) in enumerate(zip(parsed, raw, strict=True)) if value is None and text is not None]
    there = sum(text is not None for text in raw)
    if not texts:
        return True
    if 2 * len(texts) >= there:
        return False
    first = texts[0]
    hint = f"{or_names(name)}; a missing value is an empty cell, `NA` or `nan`"
    raise DataError("data-type", f"row {first + 1:,} of {where}: `{name}` is `{raw[first]}`, and a number above", hint)


def _parsed(text: Any) -> float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return None


def as_numbers(raw: np.ndarray) -> np.ndarray:
    """float64, NaN where a value is missing or is none."""
    if raw.dtype.kind == "f":
        return raw
    try:
        return np.array([np.nan if text is None else text for text in raw], dtype=np.float64)
    except ValueError:
        found = (_parsed(text) for text in raw)
        return np.array([np.nan if value is None else value for value in found], dtype=np.float64)


def is_missing(raw: np.ndarray) -> np.ndarray:
    """Where a value is missing, bool [N]."""
    return np.isnan(raw) if raw.dtype.kind == "f" else np.fromiter((v is None for v in raw), bool, len(raw))


def as_texts(raw: np.ndarray) -> list[str | None]:
    """Texts, None where a value is missing; whole numbers without a point."""
    if raw.dtype.kind != "f":
        return list(raw)
    return [None if np.isnan(v) else str(int(v)) if v.is_integer() else str(v) for v in raw.tolist()]


class Encoded(Struct, frozen=True, eq=False):
    """Columns as arrays: numbers [N, F] and the codes of each category [N, K], with the columns that they are of."""

    numbers: np.ndarray
    codes: np.ndarray
    columns: tuple[Column, ...]

    @property
    def of_numbers(self) -> list[Column]:
        return [c for c in self.columns if not c.is_category]

    @property
    def of_categories(self) -> list[Column]:
        return [c for c in self.columns if c.is_category]

    def code(self, name: str) -> np.ndarray:
        """The codes of one category."""
        return self.codes[:, [c.name for c in self.of_categories].index(name)]


def encoded(raw: Raw, columns: Sequence[Column], where: str) -> Encoded:
    """The columns of a table as arrays. Raises DataError for one that is missing, or holds something else."""
    for column in columns:
        if column.name not in raw:
            hint = f"it has {listed(raw)}"
            raise DataError("missing-column", f"{where} has no column `{column.name}`", hint)
        column.check(raw[column.name], where)
    rows = len(next(iter(raw.values()))) if raw else 0
    numbers = [c.numbers(raw[c.name]) for c in columns if not c.is_category]
    codes = [c.codes(raw[c.name]) for c in columns if c.is_category]
    return Encoded(
        np.stack(numbers, 1) if numbers else np.empty((rows, 0), np.float32),
        np.stack(codes, 1) if codes else np.empty((rows, 0), np.int64),
        tuple(columns),
    )


def listed(names: Collection[str], most: int = 12) -> str:
    """Names for a message."""
    return ", ".join(f"`{n}`" for n in list(names)[:most]) + (", ..." if len(names) > most else "")


class Input(Struct, frozen=True):
    """An input of a net, as far as a table has to know; `size`: how many values it takes, None where that is open."""

    name: str
    integer: bool
    size: int | None = None


def for_inputs(table: Encoded, inputs: Sequence[Input], where: str) -> tuple[np.ndarray, ...]:
    """A table as a net takes it: one array for each of its inputs.

    An input of integers that is called as a category gets that one, [N, 1]; another one all others, each value with a
    number of its own. Without it they are one-hot behind the numbers. Raises DataError for what no input takes.
    """
    roles = _roles(table, inputs, where)
    found = {name: table.code(name)[:, None] for name in roles.named}
    if roles.shared is not None:
        found[roles.shared.name] = _disjoint(table, roles.rest)
    if roles.vector is not None:
        found[roles.vector.name] = _vector(table, roles)
    _check_read(roles, table, where)
    for given in inputs:
        _check_size(given, found[given.name], table, where)
    return tuple(found[i.name] for i in inputs)


class _Roles(Struct, frozen=True, eq=False):
    """The columns that inputs take: one category each, `named` after it; the `rest` of them; the vector of all
    numbers."""

    named: tuple[str, ...]
    rest: tuple[Column, ...]
    shared: Input | None
    vector: Input | None


def _roles(table: Encoded, inputs: Sequence[Input], where: str) -> _Roles:
    known = {c.name for c in table.of_categories}
    named = tuple(i.name for i in inputs if i.integer and i.name in known)
    rest = tuple(c for c in table.of_categories if c.name not in named)
    shared = _only([i for i in inputs if i.integer and i.name not in named], "categories", where)
    vector = _only([i for i in inputs if not i.integer], "numbers", where)
    return _Roles(named, rest, shared, vector)


def _only(inputs: list[Input], kind: str, where: str) -> Input | None:
    """The one input for some columns. Raises DataError for several."""
    if len(inputs) > 1:
        names = " and ".join(f"`{i.name}`" for i in inputs)
        hint = "one input takes all numbers; one of integers all categories, or the one that it is called as"
        raise DataError("unfit-input", f"{names} both take {kind}, and {where} does not tell them apart", hint)
    return inputs[0] if inputs else None


def _check_read(roles: _Roles, table: Encoded, where: str) -> None:
    """Raise DataError for columns that no input takes."""
    if roles.vector is not None:
        return
    unread = table.of_numbers or ([] if roles.shared is not None else roles.rest)
    if unread:
        quoted = ", ".join(f'"{c.name}"' for c in unread)
        message = f"the net has no input for {listed([c.name for c in unread])} of {where}"
        raise DataError("unfit-input", message, f"leave them out: `ignore=[{quoted}]`")


def _vector(table: Encoded, roles: _Roles) -> np.ndarray:
    """The numbers, and behind them a column for each value of the categories that have no input of their own."""
    if roles.shared is not None:
        return table.numbers
    hot = (np.eye(c.levels, dtype=np.float32)[table.code(c.name)] for c in roles.rest)
    return np.concatenate((table.numbers, *hot), 1)


def _check_size(given: Input, values: np.ndarray, table: Encoded, where: str) -> None:
    count = values.shape[1]
    if given.size is None or given.size == count:
        return
    of = [c.name for c in (table.of_categories if given.integer else table.of_numbers)]
    hot = count - len(of) if not given.integer else 0
    one, many = ("category", "categories") if given.integer else ("number", "numbers")
    kind = (one if len(of) == 1 else many) + (f" and {hot} one-hot" if hot > 0 else "")
    message = f"`{given.name}` takes {given.size}, and a row of {where} has {len(of)} {kind}: {listed(of)}"
    raise DataError("unfit-input", message, f"declare `input {given.name} [{count}]`, or bind the net's argument")


def _disjoint(table: Encoded, rest: Sequence[Column]) -> np.ndarray:
    """Codes of several categories, each behind those before it, [N, K]."""
    starts = np.cumsum([0, *(c.levels for c in rest)])[:-1]
    codes = [table.code(c.name) + int(start) for c, start in zip(rest, starts, strict=True)]
    return np.stack(codes, 1) if codes else np.empty((len(table.codes), 0), np.int64)


def described(columns: Sequence[Column], raw: Mapping[str, np.ndarray]) -> list[str]:
    """Notes about the columns that are read."""
    numbers = [c for c in columns if not c.is_category]
    categories = [c for c in columns if c.is_category]
    said = [f"{len(numbers)} columns of numbers" + _counted(categories)]
    if dates := [c.name for c in numbers if c.is_dated]:
        said.append(f"{listed(dates)}: dates, counted in days from the first one to train on")
    return [*said, *replaced(columns, raw)]


def replaced(columns: Sequence[Column], raw: Mapping[str, np.ndarray]) -> list[str]:
    """Notes about values of a table that the net sees as others."""
    return [note for c in columns for note in c.replaced(raw[c.name])]


def _counted(categories: Sequence[Column], most: int = 6) -> str:
    """Categories and how many values each has, for a note; nothing where there are none."""
    if not categories:
        return ""
    counts = ", ".join(f"`{c.name}` {c.levels - 1}" for c in categories[:most])
    return f", {len(categories)} categories ({counts}{', ...' * (len(categories) > most)})"
