"""Reading a text piece by piece, so that an edit costs the declaration it is in.

A piece begins where a line outside all brackets begins like a declaration. The grammar has one reading of a text and
declarations end with their line, so pieces that can each be read by themselves say together what the whole says. Where
one cannot, the text is read from there to its end at once, and the mistake that is found is that of the whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from threading import Lock
from typing import Any

from netdsl.source import Span
from netdsl.syntax.build import Misread
from netdsl.syntax.depth import too_deep
from netdsl.syntax.node import moved
from netdsl.syntax.words import blank

MOST_KEPT = 1 << 20
"""Characters of the pieces that are kept: two of the largest specs."""

_SCAN = re.compile(
    r"""
    "(?:[^"\\\n]|\\.)*" | '(?:[^'\\\n]|\\.)*' | \#[^\n]* | (?P<open>[\[({]) | (?P<close>[\])}])
    | (?P<head>^(?:
        (?:net|block|recipe|experiment|expect|from)[ \t]+[A-Za-z_]
        | (?!(?:if|else|for|in)\b)[A-Za-z_]\w*[ \t]*=(?!=)
    ))
    """,
    re.VERBOSE | re.MULTILINE,
)


class Pieces:
    """The pieces of the texts that were read last: the offset of each, and its declarations. Threads may share it."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[int, tuple[Any, ...]]] = {}
        self.size = 0
        self.lock = Lock()

    def declarations(self, text: str, offset: int) -> tuple[Any, ...] | None:
        """The declarations of a piece that begins at an offset; None where it cannot be read by itself."""
        known = self.kept.get(text)
        if known is None:
            known = _read(text)
            if known is None:
                return None
        before, found = known
        if offset != before:
            found = moved(found, offset - before)
        self._keep(text, (offset, found))
        return found

    def _keep(self, text: str, piece: tuple[int, tuple[Any, ...]]) -> None:
        """Keep a piece as the newest, and forget the oldest ones."""
        with self.lock:
            if self.kept.pop(text, None) is None:
                self.size += len(text)
            self.kept[text] = piece
            while self.size > MOST_KEPT:
                oldest = next(iter(self.kept))
                del self.kept[oldest]
                self.size -= len(oldest)


PIECES = Pieces()


def read_declarations(text: str) -> tuple[tuple[Any, ...], Span | None]:
    """The declarations of a text, and the first node in them that lies too deep.

    Raises UnexpectedInput or Misread for the first mistake in its syntax.
    """
    from netdsl.syntax.tables import parser

    found: list[Any] = []
    for span in split(text):
        declarations = PIECES.declarations(text[span.start : span.end], span.start)
        if declarations is None:
            rest: Any = parser().parse(blank(text[: span.start]) + text[span.start :])
            return (*found, *rest), too_deep(rest)
        found += declarations
    return tuple(found), None


def split(text: str) -> Iterator[Span]:
    """The pieces of a text, in order and without gaps."""
    start = depth = 0
    for match in _SCAN.finditer(text):
        kind = match.lastgroup
        if kind == "open":
            depth += 1
        elif kind == "close":
            depth = max(0, depth - 1)
        elif kind == "head" and depth == 0 and match.start() > start:
            yield Span(start, match.start())
            start = match.start()
    yield Span(start, len(text))


def _read(text: str) -> tuple[int, tuple[Any, ...]] | None:
    from lark.exceptions import UnexpectedInput

    from netdsl.syntax.tables import parser

    try:
        declarations: Any = parser().parse(text)
    except (UnexpectedInput, Misread):
        return None
    return None if too_deep(declarations) else (0, declarations)
