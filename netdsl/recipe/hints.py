"""Hints for values that a field or an argument does not take: what was meant, or where its range ends."""

from __future__ import annotations

import re
from collections.abc import Collection, Container
from typing import Any

import msgspec

from netdsl.diagnostics.diagnostic import did_you_mean
from netdsl.recipe.aliases import meant
from netdsl.recipe.annotations import Kind

USUAL = {
    "decay": 0.999, "label_smoothing": 0.1, "momentum": 0.9, "weight_decay": 0.01, "validation": 0.1, "p": 0.5,
    "hold_out": 0.2, "clip": 1, "limit": 1, "lr": 0.001, "alpha": 0.2,
}  # fmt: skip
"""What numbers usually are that somebody only switches on."""

_NUMBER = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")


def hint(kind: Kind, value: Any, path: str = "") -> str | None:
    """Suggest what to write for a value that `kind`, of what stands at `path`, does not take; None where that is not
    known."""
    if isinstance(value, bool) and bool not in kind.plain and {int, float} & set(kind.plain):
        return _switch(path, value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return _other(kind, value)
    if int not in kind.plain and float not in kind.plain:
        return _no_number(kind, value)
    return _meant(kind, value) or _end(kind.limits, value, path)


def share(path: str, value: Any) -> str | None:
    """A hint for the share that is to be tested on, in the place of the file with the test split."""
    if path == "data.test" and isinstance(value, float) and 0 < value < 1:
        return f"`test` names a file; `hold_out={value:g}` holds out a part of the rows"
    return None


def _switch(path: str, value: bool) -> str:
    """Suggest what to write for a switch in the place of a number."""
    if not value:
        return "what is not done is left out"
    usual = USUAL.get(path.rpartition(".")[2])
    return "a number says how much" + (f", such as `{usual:g}`" if usual is not None else "")


def _other(kind: Kind, value: Any) -> str | None:
    """Suggest what to write for what is no number."""
    if isinstance(value, str) and value in kind.choices:
        return f"write `{value}`, without quotes"
    if isinstance(value, str) and _NUMBER.fullmatch(value) and takes(kind, number := _plain(float(value))):
        return f"write `{number}`, without quotes"
    if isinstance(value, tuple) and len(value) == 1 and takes(kind, value[0]):
        return f"write `{value[0]}`, without brackets"
    word = meant(value, kind.choices) or did_you_mean(value, kind.choices) if isinstance(value, str) else None
    return word or _wanted(kind)


def _plain(value: float) -> float:
    """A number as it is written: whole ones without a fraction."""
    return int(value) if value.is_integer() else value


def _no_number(kind: Kind, value: float) -> str | None:
    """Suggest what to write for a number where none is taken."""
    if bool in kind.plain and value in (0, 1):
        return f"write `{str(bool(value)).lower()}`"
    return f'a text is written in quotes: `"{value:g}"`' if str in kind.plain else _wanted(kind)


def _wanted(kind: Kind) -> str | None:
    """An example of what is written for a kind."""
    if kind.choices:
        return f"it can be {', '.join(f'`{c}`' for c in kind.choices)}"
    if bool in kind.plain:
        return "it is `true` or `false`"
    if len(kind.each) > 1:
        return f"a list of {len(kind.each)} is written `[..., ...]`"
    return "a number is written without quotes and brackets" if {int, float} & set(kind.plain) else None


def takes(kind: Kind, value: Any) -> bool:
    """Whether a value is one of a kind."""
    try:
        msgspec.convert(value, kind.annotation)
    except msgspec.ValidationError:
        return False
    return True


def _meant(kind: Kind, value: float) -> str | None:
    """The number of which this one is a slip: with a sign, with a fraction, or in percent."""
    if int in kind.plain and float not in kind.plain and not float(value).is_integer():
        whole = round(value)
        return f"it is a whole number, such as {whole}" if takes(kind, whole) else None
    if isinstance(value, float) and value.is_integer() and takes(kind, int(value)):
        return f"write `{int(value)}`"
    if value < 0 and takes(kind, -value):
        return f"write `{-value:g}`"
    if is_percent(kind, value):
        return f"write `{value / 100:g}`: {value:g} percent"
    return None


def is_percent(kind: Kind, value: float) -> bool:
    """Whether a number stands for a share of a hundred where one of 1 is meant."""
    largest = kind.limits.get("le", kind.limits.get("lt"))
    return largest == 1 and 2 <= value <= 100 and takes(kind, value / 100)


def _end(limits: dict[str, float], value: float, path: str) -> str | None:
    """The end of the range that a number lies beyond."""
    if value > limits.get("le", value):
        return f"{limits['le']:g} is the largest"
    if value >= limits.get("lt", value + 1):
        return f"it is below {limits['lt']:g}, such as {USUAL.get(path.rpartition('.')[2], 0.9 * limits['lt']):g}"
    if value < limits.get("ge", value):
        return f"{limits['ge']:g} is the smallest"
    if value <= limits.get("gt", value - 1):
        return f"any number above {limits['gt']:g}, however small"
    return None


def quoted(name: str, known: Collection[str], text: str) -> str | None:
    """A hint for the name of a component in quotes, or that of what one reads."""
    if name in known:
        return f"write `{name}`, without quotes"
    return meant(name, known) or did_you_mean(name, known) or _of_file(name, known, text)


_FILES = {"weights": (".safetensors", ".pt", ".pth", ".bin"), "npz": (".npz",), "text": (".txt",)}
"""What reads a file, by the endings of its name."""


def _of_file(name: str, known: Container[str], text: str) -> str | None:
    """A hint for the name of a file, or of a folder, in the place of what reads it."""
    readers = [reader for reader, ends in _FILES.items() if name.endswith(ends) and reader in known]
    readers += ["imagefolder"] * ("imagefolder" in known and "." not in name.rpartition("/")[2])
    return f"write `{readers[0]}({text})`" if readers else None


def joined(path: str, terms: list[str]) -> str:
    """A hint with the components of a sum as they are joined: one after another, or one of them for each batch."""
    if path == "mix":
        return f"one of them is drawn for each batch: `{' | '.join(terms)}`"
    return f"they follow each other: `{' -> '.join(terms)}`"
