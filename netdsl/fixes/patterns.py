"""Calls with patterns of axes, of einops and of einsum, as they are written here: without the batch."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netdsl.fixes.calls import Argument
from netdsl.fixes.written import call, shown

_QUOTED = re.compile(r"\"[^\"]*->[^\"]*\"|'[^']*->[^']*'")


def patterned(name: str, given: list[Argument]) -> Iterator[str]:
    """`rearrange` and `reduce`, without the tensor, and `einsum` with its tensors."""
    pattern = next((a for a in given if not a.name and _QUOTED.fullmatch(a.text)), None)
    if pattern is None:
        return
    rest, text = [a for a in given if a is not pattern], pattern.text[1:-1]
    if name == "einsum":
        yield from (call(name, [f'"{own}"', *(a.text for a in rest)]) for own in _equations(text))
    else:
        yield from (call(name, [f'"{own}"', *map(shown, rest)]) for own in _patterns(text))


def _patterns(text: str) -> Iterator[str]:
    """The pattern without the axis that both sides begin with, and as it is."""
    left, right = (side.split() for side in text.split("->", 1))
    if left[:1] == right[:1] and left[:1] and left[0].isidentifier():
        yield f"{' '.join(left[1:])} -> {' '.join(right[1:])}".rstrip()
    yield f"{' '.join(left)} -> {' '.join(right)}".rstrip()


def _equations(text: str) -> Iterator[str]:
    """The same of an equation, with spaces between its axes."""
    left, right = text.split("->", 1)
    sides = [re.findall(r"\w+", s) if " " in s.strip() else list(s.strip()) for s in (*left.split(","), right)]
    firsts = {s[0] if s else "" for s in sides}
    for start in (1, 0) if len(firsts) == 1 and "" not in firsts else (0,):
        *inputs, result = (" ".join(s[start:]) for s in sides)
        yield f"{', '.join(inputs)} -> {result}".rstrip()
