"""Names that are missing before `=` where a value has more parts: those that are used below and given nowhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.fixes.quoted import Candidate

_TARGETS = re.compile(r"\s*(\w+(?:\s*,\s*\w+)+)(?=\s*=(?!=))")
_COUNTS = re.compile(r"(\d+) names for (\d+) values")
_NUMBERED = re.compile(r"([A-Za-z_]+)(\d+)")


def lacking(text: str, mistake: Diagnostic) -> Iterator[Candidate]:
    """`c3, c4 = taps(...)` of three values, where `c5` is used below: the names together, in the order of their
    numbers; else `_` for the last ones, which is in doubt."""
    assert mistake.at is not None
    counts = _COUNTS.fullmatch(mistake.message) if mistake.code == "unpack" else None
    targets = _TARGETS.match(text, text.rfind("\n", 0, mistake.at.span.start) + 1)
    lack = int(counts[2]) - int(counts[1]) if counts else 0
    if targets is None or lack < 1:
        return
    names = re.split(r"\s*,\s*", targets[1])
    series = [n for n in map(_NUMBERED.fullmatch, names) if n]
    stems = {n[1] for n in series}
    if len(series) == len(names) and len(stems) == 1:
        stem = stems.pop()
        below = set(re.findall(rf"\b{stem}\d+\b", text[targets.end() :])) - set(names)
        if len(below) == lack:
            ordered = sorted({*names, *below}, key=lambda n: int(n.removeprefix(stem)))
            yield "", [(targets.start(1), targets.end(1), ", ".join(ordered))], True
    yield "", [(targets.end(1), targets.end(1), ", _" * lack)], False
