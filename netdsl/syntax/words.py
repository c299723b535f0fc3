"""The words of a text: what may be a name in it."""

from __future__ import annotations

import re
from functools import lru_cache

WORD = re.compile(r"[A-Za-z_]\w*")

_SEEN = re.compile(r"[^\n]")


@lru_cache(maxsize=4096)
def words(text: str) -> frozenset[str]:
    """Every word of the text of a declaration, also those in its comments and strings."""
    return frozenset(WORD.findall(text))


def blank(text: str) -> str:
    """Spaces in place of a text, with its line ends: what follows keeps its offset and its line."""
    return _SEEN.sub(" ", text)
