"""Names in other spellings: in several words (`leaky relu`, `mean squared error`), with signs in them (`cifar-10`)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.fixes.habits import COMPONENTS, habit_of
from netdsl.fixes.quoted import Change
from netdsl.ops import REGISTRY
from netdsl.recipe.aliases import VALUES
from netdsl.recipe.names import component_names

CODES = ("syntax", "unknown-name", "unknown-word", "field-value", "bad-value", "bad-unit")
"""Mistakes that a name in several words leads to."""

LONGEST = 5
"""How many words a name has at most."""

_RUN = re.compile(r"[A-Za-z_]\w*(?:[^\S\n]+[A-Za-z_]\w*|[-.]\w+)+")
_WORD = re.compile(r"\w+")


def spelt(text: str, first: int, last: int, mistake: Diagnostic) -> Iterator[list[Change]]:
    """The words of a line that together are a name, at a mistake."""
    if mistake.at is None or mistake.code not in CODES:
        return
    start, end = mistake.at.span.start, mistake.at.span.end
    runs = [m for m in _RUN.finditer(text, first, last) if m.end() >= start]
    ways = [list(_named(list(_WORD.finditer(text, run.start(), run.end())))) for run in runs]
    if runs and runs[0].start() <= end:
        yield from ways[0]
        yield [change for way in ways for change in way[0]] if all(ways) else []


def _named(words: list[re.Match[str]]) -> Iterator[list[Change]]:
    """The longest parts of a run of words first."""
    for count in range(min(len(words), LONGEST), 1, -1):
        for i in range(len(words) - count + 1):
            part = words[i : i + count]
            for own in _own("".join(w.group() for w in part).lower().replace("_", "")):
                yield [(part[0].start(), part[-1].end(), own)]


def _names() -> dict[str, str]:
    """Every op and every component by its name in small letters without `_`."""
    return {name.replace("_", ""): name for name in (*component_names(), *REGISTRY)}


@cache
def _components() -> dict[str, str]:
    """Components by their names elsewhere, in small letters."""
    return {name.lower(): own for name, own in COMPONENTS.items()}


def _own(name: str) -> Iterator[str]:
    """Names of ops and components that are called so, here or elsewhere."""
    own, habit = _names().get(name), habit_of(name)
    yield from (own,) if own is not None else ()
    yield from VALUES.get(name, ())
    yield from (_components()[name],) if name in _components() else ()
    yield from (habit.op,) if habit is not None else ()
