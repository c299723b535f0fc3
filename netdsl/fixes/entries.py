"""Entries of experiments, and words of Python's that are begun names: `compare m against depth`, `linear(class)`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from keyword import kwlist

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.fixes.calls import parts
from netdsl.fixes.quoted import Change
from netdsl.fixes.slips import line_of
from netdsl.syntax.words import words

Candidate = tuple[str, list[Change], bool]

_AGAINST = re.compile(r"[^\S\n]*compare\s+\S+\s+against\s+([\w.]+)\s*")
_EXPONENT = re.compile(r"(\d+(?:\.\d+)?)e(-?\d*\.\d+)")


def completed(text: str, mistake: Diagnostic) -> Iterator[Candidate]:
    """The rest of a line in which the syntax ends too early."""
    assert mistake.at is not None
    if mistake.code != "syntax":
        return
    first, last = line_of(text, mistake.at.span.start)
    against = _AGAINST.fullmatch(text, first, last)
    if against is not None and (value := _first_value(text, against[1])):
        said = f"it is compared with one of its values: `against {against[1]} = {value}`"
        yield said, [(against.end(1), against.end(1), f" = {value}")], False
    for number in _EXPONENT.finditer(text, first, last):
        said = f"{float(number[1]) * 10 ** float(number[2]):.3g}"
        yield f"an exponent is a whole number: `{said}`", [(*number.span(), said)], True
    word, span = mistake.at.text, mistake.at.span
    if word in kwlist:
        begun = sorted(n for n in words(text) if n.startswith(word) and n not in (word, *kwlist))
        yield from (("", [(span.start, span.end, name)], True) for name in begun[:2])


def _first_value(text: str, path: str) -> str:
    """The first of the values that a path takes, as they are written; "" where they are not listed."""
    varied = re.search(rf"^\s*vary\s+{re.escape(path)}\s*=\s*\[([^\n]*)\]", text, re.MULTILINE)
    listed = parts(text, varied.start(1), varied.end(1), ",") if varied else []
    return text[slice(*listed[0])].strip() if listed else ""
