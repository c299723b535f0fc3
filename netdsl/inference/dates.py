"""Columns of dates and of times of day, as days."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, time
from itertools import islice

import numpy as np

from netdsl.inference.errors import DataError
from netdsl.inference.notations import or_names

DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d.*)?")
TIME = re.compile(r"\d\d:\d\d(:\d\d([.,]\d+)?)?")
LOCAL = re.compile(r"\d{1,2}[./]\d{1,2}[./](\d{4}|\d\d)|\d{1,2}-\d{1,2}-\d{4}|\d{4}[./]\d{1,2}[./]\d{1,2}")
"""A date whose day and month could be either."""

EXAMINED = 100
"""Values that tell whether a column is worth parsing."""
DAY = 86_400.0
"""Seconds."""


def is_date(name: str, raw: np.ndarray, where: str) -> bool:
    """Whether a column of texts holds dates or times as ISO 8601 writes them. Raises DataError where most of its values
    do and some do not, or where they are dates whose day and month cannot be told."""
    some = list(islice((text for text in raw if text is not None), EXAMINED))
    if _most(LOCAL, some):
        message = f"column `{name}` of {where} holds dates such as `{some[0]}`, whose day and month cannot be told"
        raise DataError("data-type", message, f"write them as 2024-12-31, or leave them out: {_left_out(name)}")
    if not _most(DATE, some) and not _most(TIME, some):
        return False
    found = days(raw)
    wrong = [i for i, text in enumerate(raw) if text is not None and np.isnan(found[i])]
    if not wrong:
        return True
    if 2 * len(wrong) >= sum(text is not None for text in raw):
        return False
    row = wrong[0]
    hint = f"a missing value is an empty cell, `NA` or `nan`; {or_names(name)}"
    raise DataError("data-type", f"row {row + 1:,} of {where}: `{name}` is `{raw[row]}`, and a date above", hint)


def days(raw: np.ndarray) -> np.ndarray:
    """Days since 1970-01-01 (UTC where no zone is said), of times those since midnight, as float64; NaN where a value
    is missing or neither."""
    if raw.dtype.kind == "f":  # all are missing
        return np.full(len(raw), np.nan)
    parse = _time if is_time(raw) else _date
    return np.array([np.nan if text is None else parse(text) for text in raw], dtype=np.float64)


def is_time(raw: np.ndarray) -> bool:
    """Whether a column of dates or times holds times of day, by its first value."""
    return TIME.fullmatch(next((text for text in raw if text is not None), "")) is not None


def _most(pattern: re.Pattern[str], texts: list[str]) -> bool:
    return bool(texts) and 2 * sum(pattern.fullmatch(text) is not None for text in texts) > len(texts)


def _parsed(pattern: re.Pattern[str], text: str, parse: Callable[[str], float]) -> float:
    try:
        return parse(text) if pattern.fullmatch(text) else np.nan
    except ValueError:  # a day or an hour that there is not
        return np.nan


def _date(text: str) -> float:
    def parse(text: str) -> float:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() / DAY

    return _parsed(DATE, text, parse)


def _time(text: str) -> float:
    def parse(text: str) -> float:
        found = time.fromisoformat(text)
        return (found.hour * 3600 + found.minute * 60 + found.second + found.microsecond / 1e6) / DAY

    return _parsed(TIME, text, parse)


def _left_out(name: str) -> str:
    return f'`ignore=["{name}"]`, or `categories=["{name}"]`'
