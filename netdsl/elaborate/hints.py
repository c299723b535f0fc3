"""Hints for values that do not fit where they stand: too few parts, a pair, a quoted number, a width of 0."""

from __future__ import annotations

import re
from typing import Any


def of_parts(value: Any, names: int, text: str) -> str | None:
    """A hint for so many names before a value that has another number of parts."""
    if not isinstance(value, tuple):
        return None
    if re.search(rf"\bchunk\(\s*{len(value)}\b", text):
        return f"`chunk({names})` gives {names} parts"
    return "a value that is not used is called `_`" if len(value) > names else None


def of_number(value: Any, text: str) -> str | None:
    """A hint for something else in the place of a whole number."""
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[0], int) and text.isidentifier():
        return f"a pair is taken apart where it is named, as in `for i, {text} in enumerate(...)`; `len({text})` counts"
    if isinstance(value, tuple):
        return f"`len({text})` is how many there are" if text.isidentifier() else None
    return f"a number is written without quotes: `{value}`" if isinstance(value, str) and value.isdigit() else None


def of_argument(value: Any, text: str) -> str | None:
    """A hint for an argument of an op that has the wrong type or lies out of range."""
    said = re.sub(r"^[A-Za-z_]\w*\s*=(?!=)\s*", "", text)
    if isinstance(value, str) and value.isdigit():
        return f"a number is written without quotes: `{text.removesuffix(said)}{value}`"
    return f"`max(1, {said})` is never 0" if value == 0 and "//" in said else None


def bracketed(kind: str, numbers: list[int]) -> str:
    """A hint for numbers that are given one by one: `reshape(-1, 4, 4)` of elsewhere counts the batch."""
    if kind == "reshape" and numbers[:1] == [-1] and -1 not in numbers[1:]:
        return f"the batch is not written: `{kind}({numbers[1:]})`"
    return f"numbers that belong together stand in brackets: `{kind}({numbers})`"
