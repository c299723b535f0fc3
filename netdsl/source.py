"""Text with positions: what every diagnostic and every step points back to."""

from __future__ import annotations

from bisect import bisect_right

from msgspec import Struct


class Span(Struct, frozen=True, array_like=True, gc=False):
    """A half-open range of characters in one source."""

    start: int
    end: int

    def to(self, other: Span) -> Span:
        """The span from the start of this one to the end of `other`."""
        return Span(self.start, other.end)


class Source:
    """One text and the name it is known by (a path, or `<string>`).

    `stored`: the text is that of a file, so what is worked out from it is worth keeping for the next command. `option`:
    the text is made of an option of a command, which is its name, so that its lines are nobody's.
    """

    __slots__ = ("_starts", "name", "option", "stored", "text")

    def __init__(self, text: str, name: str = "<string>", stored: bool = False, option: bool = False) -> None:
        self.option = option
        self.text = text
        self.name = name
        self.stored = stored
        self._starts: list[int] | None = None

    @property
    def line_starts(self) -> list[int]:
        if self._starts is None:
            self._starts = [0, *(i + 1 for i, c in enumerate(self.text) if c == "\n")]
        return self._starts

    @property
    def newline(self) -> str:
        """How the first line ends, and so those that are added; mixed files are written in that way."""
        first = self.text.find("\n")
        return "\r\n" if first > 0 and self.text[first - 1] == "\r" else "\n"

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both counted from 1."""
        line = bisect_right(self.line_starts, offset)
        return line, offset - self.line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a line, counted from 1, without its newline."""
        starts = self.line_starts
        end = starts[number] - 1 if number < len(starts) else len(self.text)
        return self.text[starts[number - 1] : end].rstrip("\r")


class Place:
    """A span of a source.

    Where something is written is not part of what it is, so all places compare equal: two values that differ
    only in their places are the same value, and the elaboration of a block can be remembered by its arguments.
    """

    __slots__ = ("source", "span")

    def __init__(self, source: Source, span: Span) -> None:
        self.source = source
        self.span = span

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place)

    def __hash__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"

    @property
    def line(self) -> int:
        return self.source.position(self.span.start)[0]

    @property
    def column(self) -> int:
        return self.source.position(self.span.start)[1]

    @property
    def text(self) -> str:
        return self.source.text[self.span.start : self.span.end]
