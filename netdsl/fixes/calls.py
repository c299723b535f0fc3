"""Calls in the text of a spec, read without its grammar: what a fix rewrites may not parse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from msgspec import Struct

_NAME = re.compile(r"(?<![\w.])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_SKIPPED = re.compile(r"\"[^\"\n]*\"|'[^'\n]*'|#[^\n]*")
_NAMED = re.compile(r"\s*([A-Za-z_]\w*)\s*=(?!=)\s*")
_CLOSER = {"(": ")", "[": "]", "{": "}"}
_BRACKETS = r"[()\[\]{}]"
_MARK = re.compile(f"{_SKIPPED.pattern}|{_BRACKETS}")

DEEPEST = 100
"""How deep brackets may nest inside of those that are read: the parser takes no more."""

LONGEST = 4_000
"""How many characters the arguments of a call may have to be read."""

NEAR = 2_000
"""Characters before and after a mistake in which the calls of its line or paragraph are sought."""


class Argument(Struct, frozen=True):
    """An argument as it is written; `name` is empty where it is given by position."""

    name: str
    text: str
    start: int
    end: int


class Call(Struct, frozen=True):
    """A name, dotted perhaps, and the arguments after it.

    `arguments` is None where no brackets follow, or where what they hold is too long or nests too deep.
    """

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


def near(text: str, start: int, end: int, separator: str) -> Iterator[Call]:
    """The calls between the two nearest separators around a part of a text, no further from it than NEAR."""
    first, last = max(0, start - NEAR), min(end, start + NEAR) + NEAR
    before, after = text.rfind(separator, first, start), text.find(separator, end, last)
    return calls(text, before + 1 if before >= 0 else first, after if after >= 0 else min(last, len(text)))


def _call(text: str, match: re.Match[str], limit: int) -> Call:
    opening = match.end()
    while opening < limit and text[opening] == " ":
        opening += 1
    closing = closed(text, opening) if text[opening : opening + 1] == "(" else None
    if closing is None or closing - opening > LONGEST:
        return Call(match[0], match.start(), match.end(), None)
    return Call(match[0], match.start(), closing + 1, arguments(text, opening + 1, closing))


def closed(text: str, opening: int) -> int | None:
    """Where the bracket at an offset is closed; None where it is not, or where what it holds nests too deep."""
    return _pairs(text).get(opening)


@lru_cache(maxsize=16)
def _pairs(text: str) -> dict[int, int]:
    """The offset of every bracket outside strings and comments, and where it is closed.

    A text is read once, however many calls of it nest in each other.
    """
    pairs: dict[int, int] = {}
    waiting: list[tuple[int, str]] = []
    heights = [0]
    for match in _MARK.finditer(text):
        mark = match[0]
        if mark in _CLOSER:
            waiting.append((match.start(), _CLOSER[mark]))
            heights.append(0)
        elif mark in _CLOSER.values():
            if not waiting or waiting[-1][1] != mark:
                waiting, heights = [], [0]
                continue
            height = heights.pop() + 1
            heights[-1] = max(heights[-1], height)
            opening, _ = waiting.pop()
            if height <= DEEPEST:
                pairs[opening] = match.start()
    return pairs


def depth(text: str) -> int:
    """How deep brackets nest in a text."""
    now = most = 0
    for match in _MARK.finditer(text):
        now += (match[0] in _CLOSER) - (match[0] in _CLOSER.values())
        most = max(most, now)
    return most


def arguments(text: str, start: int, end: int) -> tuple[Argument, ...]:
    """The arguments between two brackets."""
    return tuple([_argument(text, a, b) for a, b in parts(text, start, end, ",")])


def parts(text: str, start: int, end: int, separator: str) -> list[tuple[int, int]]:
    """The parts between separators outside brackets, without those that are blank."""
    pairs, mark = _pairs(text), re.compile(f"{_MARK.pattern}|{re.escape(separator)}")
    found, depth, first, at = [], 0, start, start
    while (match := mark.search(text, at, end)) is not None:
        at = match.end()
        if match[0] == separator:
            if depth == 0:
                found.append((first, match.start()))
                first = at
        elif pairs.get(match.start(), end) < end:
            at = pairs[match.start()] + 1
        else:
            depth += (match[0] in _CLOSER) - (match[0] in _CLOSER.values())
    found.append((first, end))
    return [(a, b) for a, b in found if text[a:b].strip()]


def _argument(text: str, start: int, end: int) -> Argument:
    match = _NAMED.match(text, start, end)
    value = text[match.end() if match else start : end]
    first = start + len(text[start:end]) - len(text[start:end].lstrip())
    return Argument(match[1] if match else "", value.strip(), first, start + len(text[start:end].rstrip()))
