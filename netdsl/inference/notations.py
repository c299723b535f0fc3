"""Numbers in a table that are written otherwise than as `1234.5`."""

from __future__ import annotations

import re
from itertools import islice

import numpy as np

from netdsl.inference.errors import DataError

EXAMINED = 100
"""Values of a column that are looked at."""
NUMBER = re.compile(r"[$€£¥]?\s?[+-]?\d[\d.,']*(?:[eE][+-]?\d+)?\s?[%$€£¥]?")
MARKS = re.compile(r"[$€£¥%,']")
COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")
"""A number with a decimal comma."""


THOUSANDS = re.compile(r"[+-]?\d{1,3}(\.\d{3})+")


def or_names(name: str) -> str:
    """The end of a hint: a column whose texts are names is one of categories."""
    return f'if they are names: `categories=["{name}"]` (in Python: `.astype(str)`)'


def with_points(name: str, raw: np.ndarray, where: str) -> np.ndarray:
    """A column of texts with a point in place of each decimal comma. Raises DataError where all its points may stand
    between thousands: `1.234` would be read as a number a thousand times smaller."""
    pointed = [text for text in raw if text is not None and "." in text]
    if pointed and all(THOUSANDS.fullmatch(text) for text in pointed):
        message = f"column `{name}` of {where} holds `{pointed[0]}`, and `decimal` is a comma"
        raise DataError("data-type", message, f"write numbers without points between thousands; {or_names(name)}")
    cells = [c.replace(",", ".") if c is not None and COMMA.fullmatch(c) else c for c in raw]
    return np.array(cells, dtype=object)


def check_notation(name: str, raw: np.ndarray, where: str) -> None:
    """Raise DataError for a column of texts most of which are numbers with a decimal comma, thousands, a currency or a
    percent sign: as categories they would tell nothing."""
    some = list(islice((text for text in raw if text is not None), EXAMINED))
    numbers = [text for text in some if NUMBER.fullmatch(text)]
    marked = [text for text in numbers if MARKS.search(text)]
    if not marked or 2 * len(numbers) <= len(some):
        return
    comma = all(COMMA.fullmatch(text) for text in marked)
    mend = '`csv(..., decimal=",")`' if comma else "write them as 1234.5"
    raise DataError(
        "data-type", f"column `{name}` of {where} holds numbers written as `{marked[0]}`", f"{mend}; {or_names(name)}"
    )
