"""A terminal that text of files, names and packages cannot steer."""

from __future__ import annotations

import re
from typing import Any, TextIO, cast

from netdsl.render.paint import CLEARED, CONTROL, STYLES

_OWN = "|".join(re.escape(code) for code in (CLEARED, "\x1b[0m", *(f"\x1b[{style}m" for style in STYLES.values())))
_PART = re.compile(f"({_OWN})|{CONTROL}")


class Guarded:
    """A stream to a terminal on which only netdsl's own colours are more than text: every other control character, and
    what turns the direction of a line, is shown as a mark."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        alone = text == "\r"  # how a status line ends
        return self.stream.write(text if alone else _PART.sub(lambda m: m[1] or "\N{REPLACEMENT CHARACTER}", text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def guarded(stream: TextIO) -> TextIO:
    """The stream, guarded where it is a terminal: files and pipes get every character as it is."""
    return cast(TextIO, Guarded(stream)) if stream.isatty() and not isinstance(stream, Guarded) else stream


def unguarded(stream: TextIO) -> TextIO:
    """The stream behind, for a display that moves the cursor and escapes foreign text itself."""
    return stream.stream if isinstance(stream, Guarded) else stream
