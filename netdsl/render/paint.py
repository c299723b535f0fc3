"""Colours, and the width of text on a terminal."""

from __future__ import annotations

import os
import shutil
import unicodedata
from typing import TextIO

STYLES = {
    "error": "1;31",
    "warning": "1;33",
    "note": "1;36",
    "hint": "1;32",
    "bold": "1",
    "dim": "2",
    "guide": "34",
    "number": "36",
}

CLEARED = "\x1b[2K"
"""Clears the line on which the cursor is."""

CONTROL = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
"""A control character but tab and newline, or one that turns the direction of a line; for regular expressions."""


class Paint:
    """Paints text in a named style, or leaves it as it is. `columns`: how wide a line may be, 0 for any width."""

    def __init__(self, on: bool, columns: int = 0) -> None:
        self.on, self.columns = on, columns

    def __call__(self, text: str, style: str) -> str:
        return f"\x1b[{STYLES[style]}m{text}\x1b[0m" if self.on and text and style in STYLES else text


PLAIN = Paint(False)


def paint_for(stream: TextIO | None) -> Paint:
    """Colours where the stream is a terminal that has them, NO_COLOR and FORCE_COLOR decide first; its width."""
    terminal = stream is not None and stream.isatty()
    columns = shutil.get_terminal_size().columns if terminal else 0
    if os.environ.get("NO_COLOR"):
        return Paint(False, columns)
    forced = bool(os.environ.get("FORCE_COLOR"))
    return Paint(forced or (terminal and os.environ.get("TERM") != "dumb"), columns)


def width(text: str) -> int:
    """The columns a text takes: two for wide East Asian characters and emoji, none for combining marks."""
    if text.isascii():
        return len(text)
    return sum(map(_columns, text))


def _columns(c: str) -> int:
    if unicodedata.category(c) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(c) in "WF" else 1


def named(text: str) -> str:
    """A name from data, safe to print; in quotes where it is white space, as a character of a text may be."""
    return text if text.strip() and text.isprintable() else repr(text)


def visible(text: str, tab: int = 4) -> str:
    """One line of foreign text made safe to print: tabs become blanks, control characters a mark."""
    if text.isprintable():
        return text
    out = ""
    for c in text:
        if c == "\t":
            out += " " * (tab - width(out) % tab)
        else:
            out += c if c.isprintable() else "\N{REPLACEMENT CHARACTER}"
    return out
