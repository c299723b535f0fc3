"""Entries of experiments, and words of Python's that are begun names: `compare m against depth`, `linear(class)`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from keyword import kwlist

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.fixes.calls import parts
from netdsl.fixes.nearby import near_calls
from netdsl.fixes.quoted import Change
from netdsl.fixes.slips import line_of
from netdsl.syntax.parse import GAP
from netdsl.syntax.words import words

Candidate = tuple[str, list[Change], bool]

_AGAINST = re.compile(r"[^\S\n]*compare\s+\S+\s+against\s+([\w.]+)\s*")
_TURNED = re.compile(r"[^\S\n]*compare\s+([\w.]+)\s+against\s+([\w.]+)\s*")
_EXPONENT = re.compile(r"(\d+(?:\.\d+)?)e(-?\d*\.\d+)")


def completed(text: str, mistake: Diagnostic) -> Iterator[Candidate]:
    """The rest of a line in which the syntax ends too early."""
    assert mistake.at is not None
    yield from _usual(text, mistake)
    gap = GAP.match(text, mistake.at.span.end) if mistake.at.text == "residual" else None
    if gap is not None:
        yield "`{` ends the line of its head", [(*gap.span(), " ")], True
    if mistake.code != "syntax":
        return
    first, last = line_of(text, mistake.at.span.start)
    against = _AGAINST.fullmatch(text, first, last)
    if against is not None and (value := _first_value(text, against[1])):
        said = f"it is compared with one of its values: `against {against[1]} = {value}`"
        yield said, [(against.end(1), against.end(1), f" = {value}")], False
    turned = _TURNED.fullmatch(text, first, last)
    if turned is not None and (value := _first_value(text, turned[1])):
        said = f"{turned[2]} against {turned[1]} = {value}"
        words_of = f"the measure stands first: `compare {said}`"
        yield words_of, [(turned.start(1), turned.end(2), said)], False
    for number in _EXPONENT.finditer(text, first, last):
        said = f"{float(number[1]) * 10 ** float(number[2]):.3g}"
        yield f"an exponent is a whole number: `{said}`", [(*number.span(), said)], True
    word, span = mistake.at.text, mistake.at.span
    if word in kwlist:
        begun = sorted(n for n in words(text) if n.startswith(word) and n not in (word, *kwlist))
        yield from (("", [(span.start, span.end, name)], True) for name in begun[:2])


def _usual(text: str, mistake: Diagnostic) -> Iterator[Candidate]:
    """A layer with what it lacks as it usually is, with its numbers the other way round, or one that takes them."""
    for call in near_calls(text, mistake):
        bare = [a.text for a in call.given if not a.name and a.text.isdigit()]
        if call.name == "conv" and mistake.code == "missing-argument" and len(call.given) == 1:
            said = f"conv({call.given[0].text}, 3)"
            yield f"usual is `{said}`", [(call.start, call.end, said)], False
        if call.name == "conv" and mistake.code == "even-kernel" and len(bare) > 1 and int(bare[0]) < int(bare[1]):
            first, second = call.given[:2]
            said = f"conv({second.text}, {first.text})"
            changes = [(first.start, first.end, second.text), (second.start, second.end, first.text)]
            yield f"channels stand before the kernel: `{said}`", changes, False
        if call.name == "relu" and mistake.code == "too-many-arguments" and len(call.given) == 1:
            said = f"leaky_relu({call.given[0].text})"
            yield f"a slope below 0 is that of `{said}`", [(call.start, call.end, said)], False


def _first_value(text: str, path: str) -> str:
    """The first of the values that a path takes, as they are written; "" where they are not listed."""
    varied = re.search(rf"^\s*vary\s+{re.escape(path)}\s*=\s*\[([^\n]*)\]", text, re.MULTILINE)
    listed = parts(text, varied.start(1), varied.end(1), ",") if varied else []
    return text[slice(*listed[0])].strip() if listed else ""
