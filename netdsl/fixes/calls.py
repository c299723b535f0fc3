"""Calls in the text of a spec, read without its grammar: what a fix rewrites may not parse."""

from __future__ import annotations

import re
from collections.abc import Iterator

from msgspec import Struct

_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_SKIPPED = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|#[^\n]*")
_NAMED = re.compile(r"\s*([A-Za-z_]\w*)\s*=(?!=)\s*")
_CLOSER = {"(": ")", "[": "]", "{": "}"}


class Argument(Struct, frozen=True):
    """An argument as it is written; `name` is empty where it is given by position."""

    name: str
    text: str
    start: int
    end: int


class Call(Struct, frozen=True):
    """A name, dotted perhaps, and the arguments after it; `arguments` is None where no brackets follow."""

    name: str
    start: int
    end: int
    arguments: tuple[Argument, ...] | None

    @property
    def given(self) -> tuple[Argument, ...]:
        return self.arguments or ()


def calls(text: str, start: int = 0, end: int | None = None) -> Iterator[Call]:
    """Every name in a part of a text with its arguments, the outer ones first."""
    end = len(text) if end is None else end
    skipped = [m.span() for m in _SKIPPED.finditer(text, start, end)]
    for match in _NAME.finditer(text, start, end):
        if not any(a <= match.start() < b for a, b in skipped):
            yield _call(text, match, end)


def _call(text: str, match: re.Match[str], limit: int) -> Call:
    opening = match.end()
    while opening < limit and text[opening] == " ":
        opening += 1
    closing = closed(text, opening) if text[opening : opening + 1] == "(" else None
    if closing is None:
        return Call(match[0], match.start(), match.end(), None)
    return Call(match[0], match.start(), closing + 1, arguments(text, opening + 1, closing))


def closed(text: str, opening: int) -> int | None:
    """Where the bracket at an offset is closed; None where it is not."""
    waiting: list[str] = []
    for at, character in _visible(text, opening):
        if character in _CLOSER:
            waiting.append(_CLOSER[character])
        elif character in ")]}":
            if not waiting or waiting.pop() != character:
                return None
            if not waiting:
                return at
    return None


def depth(text: str) -> int:
    """How deep brackets nest in a text."""
    now = most = 0
    for _, character in _visible(text, 0):
        now += (character in _CLOSER) - (character in ")]}")
        most = max(most, now)
    return most


def arguments(text: str, start: int, end: int) -> tuple[Argument, ...]:
    """The arguments between two brackets."""
    return tuple([_argument(text, a, b) for a, b in parts(text, start, end, ",")])


def parts(text: str, start: int, end: int, separator: str) -> list[tuple[int, int]]:
    """The parts between separators outside brackets, without those that are blank."""
    found, depth, first = [], 0, start
    for at, character in _visible(text, start, end):
        depth += (character in _CLOSER) - (character in ")]}")
        if depth == 0 and text.startswith(separator, at) and at >= first:
            found.append((first, at))
            first = at + len(separator)
    found.append((first, end))
    return [(a, b) for a, b in found if text[a:b].strip()]


def _argument(text: str, start: int, end: int) -> Argument:
    match = _NAMED.match(text, start, end)
    value = text[match.end() if match else start : end]
    first = start + len(text[start:end]) - len(text[start:end].lstrip())
    return Argument(match[1] if match else "", value.strip(), first, start + len(text[start:end].rstrip()))


def _visible(text: str, start: int, end: int | None = None) -> Iterator[tuple[int, str]]:
    """The characters of a text outside strings and comments."""
    end = len(text) if end is None else end
    at = start
    while at < end:
        skipped = _SKIPPED.match(text, at, end)
        if skipped:
            at = skipped.end()
            continue
        yield at, text[at]
        at += 1
