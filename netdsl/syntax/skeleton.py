"""The brackets and statements of a text that does not parse: where a mistake begins and ends.

Works on any text. Where brackets do not match, indentation and words that can only open a declaration say what the
author meant to close.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right

from msgspec import Struct

from netdsl.source import Span

_SCAN = re.compile(
    r"""(?P<skip>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[^\s()\[\]{}"'\#]+|["'])
    |(?P<comment>\#[^\n]*)
    |(?P<newline>(?:\n[ \t\f\r\n]*(?:\#[^\n]*)?)+)
    |(?P<bracket>[()\[\]{}])""",
    re.VERBOSE,
)
_BLANK = re.compile(r"\s*")
_BEGINS = re.compile(r"[\w({\[\"'}+-](?!>)")
_CONTINUES = re.compile(r"->|\||=(?!=)|else\b")
_DECLARES = re.compile(r"(?:block|net|recipe|expect|from|experiment)[ \t]+[A-Za-z_]")
CLOSER = {"(": ")", "[": "]", "{": "}"}

FARTHEST = 20
"""How many brackets one that does not match may leave open at once."""


class Pair(Struct, frozen=True):
    """A bracket and where it ends: at its closing one, or (not `closed`) where it cannot continue any longer."""

    start: int
    end: int
    bracket: str
    closed: bool


class Skeleton:
    """The brackets of a text, and where its statements end.

    `ends` holds the newlines that end a statement, each with the start of the brace around it; `words` the ends of
    all that is neither blank nor comment; `stray` the closing brackets that close nothing.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self._scan(guess=False)
        if any(not pair.closed for pair in self.pairs):
            self._scan(guess=True)

    def _scan(self, guess: bool) -> None:
        self.pairs: list[Pair] = []
        self.stray: list[int] = []
        self.ends: list[tuple[int, int]] = []
        self.words: list[int] = []
        self._open: list[int] = []
        before = ""
        for match in _SCAN.finditer(self.text):
            kind = match.lastgroup
            if kind == "newline":
                if guess and _DECLARES.match(self.text, match.end()) and self.text[match.end() - 1] == "\n":
                    self._give_up(match.start(), 0)
                self._newline(match, before)
            elif kind == "bracket":
                self._bracket(match.start(), guess)
            if kind in ("skip", "bracket"):
                before = match[0]
                self.words.append(match.end())
        self._give_up(len(self.text), 0)

    def _newline(self, match: re.Match[str], before: str) -> None:
        if self._open and self.text[self._open[-1]] != "{":
            return
        if before.endswith(("->", "|", ",")) or (before.endswith("=") and before != "=="):
            return
        if not _CONTINUES.match(self.text, match.end()):
            self.ends.append((match.start(), self._open[-1] if self._open else -1))

    def _bracket(self, at: int, guess: bool) -> None:
        character = self.text[at]
        if character in CLOSER:
            self._open.append(at)
            return
        if character == "}" and guess and not self.text[self._line(at) : at].strip():
            self._give_up_deeper(at)
        for depth in range(len(self._open) - 1, max(-1, len(self._open) - FARTHEST), -1):
            bracket = self.text[self._open[depth]]
            if CLOSER[bracket] == character:
                self._give_up(at, depth + 1)
                self.pairs.append(Pair(self._open.pop(), at, bracket, True))
                return
            if bracket == "{":
                break
        self.stray.append(at)

    def _give_up_deeper(self, at: int) -> None:
        """A brace that begins a line closes what was opened on a line that is indented no further."""
        nearest = range(len(self._open) - 1, max(-1, len(self._open) - FARTHEST), -1)
        outer = next((depth for depth in nearest if self.indent(self._open[depth]) <= self.indent(at)), None)
        if outer is not None:
            self._give_up(at, outer + 1)

    def _give_up(self, at: int, depth: int) -> None:
        while len(self._open) > depth:
            start = self._open.pop()
            self.pairs.append(Pair(start, at, self.text[start], False))

    def _line(self, offset: int) -> int:
        return self.text.rfind("\n", 0, offset) + 1

    def indent(self, offset: int) -> int:
        """The indentation of the line of an offset."""
        line = self._line(offset)
        return len(self.text[line : offset + 1]) - len(self.text[line : offset + 1].lstrip())

    def unclosed(self, offset: int) -> Pair | None:
        """The first bracket that is not closed and that explains why the text cannot be read on from an offset."""
        broken = [p for p in self.pairs if not p.closed and p.start < offset]
        blamed = [p for p in broken if p.bracket != "{" or self.last_word(p.end) <= offset]
        return min(blamed, key=lambda p: p.start, default=None)

    def premature(self, offset: int) -> Pair | None:
        """When a bracket is left over: the last brace before an offset that closes too early, by its indentation."""
        early = [p for p in self.pairs if p.closed and p.bracket == "{" and p.end < offset and self._misplaced(p)]
        return max(early, key=lambda p: p.end, default=None) if self.stray else None

    def _misplaced(self, pair: Pair) -> bool:
        return "\n" in self.text[pair.start : pair.end] and self.indent(pair.end) > self.indent(pair.start)

    def is_foreign(self, pair: Pair, offset: int) -> bool:
        """Whether a pair ends on the line of an offset but begins before it: its end may be another one's."""
        return pair.closed and pair.start < self._line(offset) and "\n" not in self.text[offset : pair.end]

    def last_word(self, offset: int) -> int:
        """The end of the last word before an offset."""
        place = bisect_right(self.words, offset)
        return self.words[place - 1] if place else 0

    def around(self, offset: int, brackets: str = "([{") -> Pair | None:
        """The innermost bracket that is open at an offset."""
        inside = [p for p in self.pairs if p.start < offset <= p.end and p.bracket in brackets]
        return max(inside, key=lambda p: p.start, default=None)

    def statement(self, offset: int) -> Span:
        """The statement or declaration that an offset lies in, with all its braces."""
        brace = self.around(offset, "{")
        level, start, end = (-1, 0, len(self.text)) if brace is None else (brace.start, brace.start + 1, brace.end)
        ends = [at for at, around in self.ends if around == level]
        place = bisect_left(ends, offset)
        return Span(ends[place - 1] if place else start, ends[place] if place < len(ends) else end)

    def spoilt(self, pair: Pair) -> Span:
        """The span that an unclosed bracket spoils: its statement, as far as that can be told."""
        whole = self.statement(pair.start)
        if pair.bracket == "{":
            return Span(whole.start, pair.end)
        if self.text[pair.end : pair.end + 1] in (")", "]"):
            return whole
        return self.indented(whole.start, pair.start, pair.end)

    def indented(self, start: int, offset: int, limit: int) -> Span:
        """From a start to the end of an offset's line, with the lines that are indented further and their braces."""
        start = self._word(start, offset)
        end = self._line_end(offset)
        while end < limit:
            line = _BLANK.match(self.text, end)
            after = line.end() if line else end
            if after >= limit or (self.indent(after) <= self.indent(start) and _BEGINS.match(self.text, after)):
                break
            end = self._line_end(after)
        return Span(start, self._with_braces(start, min(end, limit)))

    def line(self, start: int, offset: int) -> Span:
        """From a start to the end of an offset's line, with the braces that begin there."""
        start = self._word(start, offset)
        return Span(start, self._with_braces(start, self._line_end(offset)))

    def _word(self, start: int, limit: int) -> int:
        """Where a statement begins, after the blanks and newlines before it."""
        while start < limit and self.text[start].isspace():
            start += 1
        return start

    def _with_braces(self, start: int, end: int) -> int:
        """The end of a region, moved past the brace that closes one inside it, or that stands where one would."""
        for pair in sorted(self.pairs, key=lambda pair: pair.start):
            if pair.closed and start <= pair.start < end:
                end = max(end, pair.end + 1)
        line = _BLANK.match(self.text, end)
        closing = line.end() if line else end
        ends_here = self.text[closing : closing + 1] == "}" and self.indent(closing) == self.indent(start)
        return closing + 1 if ends_here and self.stray else end

    def _line_end(self, offset: int) -> int:
        end = self.text.find("\n", offset)
        return len(self.text) if end < 0 else end
