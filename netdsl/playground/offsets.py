"""Offsets as JavaScript counts them: in UTF-16 units, of which some characters take two."""

from __future__ import annotations

from bisect import bisect_left


class Offsets:
    """The offsets of one text."""

    def __init__(self, text: str) -> None:
        self._length = len(text)
        self._wide = [] if text.isascii() else [i for i, c in enumerate(text) if ord(c) > 0xFFFF]

    def units(self, offset: int) -> int:
        """How many units stand before a character."""
        offset = max(0, min(offset, self._length))
        return offset + bisect_left(self._wide, offset)

    def characters(self, units: int) -> int:
        """How many characters stand before a unit."""
        return max(0, min(bisect_left(range(self._length + 1), units, key=self.units), self._length))
