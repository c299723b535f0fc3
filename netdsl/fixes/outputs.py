"""Fixes of several outputs in one statement: each is a statement of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netdsl.fixes.calls import closed, parts
from netdsl.fixes.quoted import Change

_BRACED = re.compile(r"([^\S\n]*)outputs?\s*=?\s*\{")
_LISTED = re.compile(
    r"([^\S\n]*)(?:(?:outputs?|return)\b\s*[=:]?\s*)?[\[(]?\s*(\w+(?:\s*,\s*\w+)+)\s*,?\s*[\])]?\s*(?:#.*)?"
)
_GIVEN = re.compile(r"[\"']?([A-Za-z_]\w*)[\"']?\s*[:=]\s*(?=\S)")


def outputs(text: str, first: int, last: int) -> Iterator[list[Change]]:
    """A statement for each of `outputs { a: ..., b: ... }`, `output a, b`, `return a, b`, `(a, b)`."""
    if (head := _BRACED.match(text, first)) is not None:
        yield from _braced(text, head)
    if (listed := _LISTED.fullmatch(text, first, last)) is not None:
        names = re.findall(r"[A-Za-z_]\w*", listed[2])
        yield [(first, last, "\n".join(f"{listed[1]}output {name} = {name}" for name in names))]


def _braced(text: str, head: re.Match[str]) -> Iterator[list[Change]]:
    end = closed(text, head.end() - 1)
    if end is None:
        return
    inside = text[head.end() : end]
    said = [inside[a:b].strip() for a, b in parts(inside, 0, len(inside), "," if "," in inside else "\n")]
    named = [(part, m) for part in said if (m := _GIVEN.match(part)) is not None]
    if named and len(named) == len(said):
        lines = [f"{head[1]}output {m[1]} = {part[m.end() :]}" for part, m in named]
        yield [(head.start(), end + 1, "\n".join(lines))]
