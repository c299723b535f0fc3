"""Places in a text as the protocol counts them (lines, and columns in UTF-16 units), and as offsets of characters."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import lru_cache

from lsprotocol import types

from netdsl.source import Place, Source, Span

_BREAK = re.compile(r"\r\n|\n|\r")


class Positions:
    """The lines of one text. A position outside of it means the nearest place inside."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.starts = [0, *(m.end() for m in _BREAK.finditer(text))]

    def position(self, offset: int) -> types.Position:
        """The position of an offset."""
        offset = max(0, min(offset, len(self.text)))
        line = bisect_right(self.starts, offset) - 1
        return types.Position(line, _units(self.text[self.starts[line] : offset]))

    def range(self, span: Span) -> types.Range:
        """The range of a span."""
        return types.Range(self.position(span.start), self.position(span.end))

    def offset(self, position: types.Position) -> int:
        """The offset of a position."""
        if position.line >= len(self.starts):
            return len(self.text)
        start = self.starts[max(0, position.line)]
        end = self.starts[position.line + 1] if position.line + 1 < len(self.starts) else len(self.text)
        line = self.text[start:end].rstrip("\r\n")
        if line.isascii():
            return start + min(position.character, len(line))
        units = 0
        for i, character in enumerate(line):
            if units >= position.character:
                return start + i
            units += _units(character)
        return start + len(line)


@lru_cache(4)
def positions_in(text: str) -> Positions:
    """The lines of a text in which several places are asked for."""
    return Positions(text)


def _units(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def whole(source: Source) -> Place:
    """The place of a whole text."""
    return Place(source, Span(0, len(source.text)))
