"""Applying fixes: one after another, each shown to fix the text as it then is."""

from __future__ import annotations

from msgspec import Struct

from netdsl.fixes.proof import Check, edited
from netdsl.fixes.suggest import suggest
from netdsl.source import Source

MOST = 100
"""How many fixes are applied to one text."""


class Fixed(Struct, frozen=True):
    """A text with fixes applied, and how many they were."""

    text: str
    count: int


def fix(source: Source, check: Check, unsafe: bool = False) -> Fixed:
    """The text of a spec with every fix applied; those whose meaning is in doubt where `unsafe` allows them."""
    count = 0
    for _ in range(MOST):
        found = suggest(source, check(source), check, first_only=True, unsafe=unsafe)
        hints = [h for d in found for h in d.hints if h.edits and (h.safe or unsafe)]
        if not hints:
            break
        source = Source(edited(source.text, hints[0].edits), source.name)
        count += 1
    return Fixed(source.text, count)
