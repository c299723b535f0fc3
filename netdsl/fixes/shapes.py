"""Fixes of shapes: what gives a value is changed where it is made, so that it fits where it is used."""

from __future__ import annotations

import re
from collections.abc import Iterator

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.fixes.calls import calls, parts
from netdsl.fixes.quoted import Candidate

_SIZES = re.compile(r"\[\d+, (\d+), (\d+)\]")
_CHANNELS_LAST = re.compile(r"(input \w+ )\[([A-Za-z_]\w*, *[A-Za-z_]\w*), *([134])\]")
_BATCHED = re.compile(r"(input \w+ )\[([A-Za-z_]\w*,\s*)(\d.*)\]")
_HEAD = re.compile(r"^(?:block|net)\s+\w+(?:\s*\([^()\n]*\))?(?=\s*[={])", re.MULTILINE)
_DECLARED = re.compile(r"^\w", re.MULTILINE)

IMAGES = ("C", "H", "W")
SEQUENCES = ("L", "D", "T", "N", "E")


def of_shapes(text: str, mistake: Diagnostic) -> Iterator[Candidate]:
    """Changes of what a value comes from: its input, a `crop`, a `flatten`, a parameter, the signature of its block."""
    yield from _cropped(text, mistake)
    yield from _without_batch(mistake)
    yield from _with_integers(mistake)
    yield from _flattened(mistake)
    yield from _transposed(text, mistake)
    yield from _signed(text, mistake)


def _cropped(text: str, mistake: Diagnostic) -> Iterator[Candidate]:
    """A `crop` at the mark, to the size of another value that the message names."""
    assert mistake.at is not None
    if mistake.code != "shape-mismatch":
        return
    for call in calls(text, mistake.at.span.start, mistake.at.span.end):
        if call.name == "crop" and call.given:
            for height, width in _SIZES.findall(mistake.message):
                yield "", [(call.start, call.end, f"crop(({height}, {width}))")], True


def _without_batch(mistake: Diagnostic) -> Iterator[Candidate]:
    """The input that a mistake comes from, without its first axis where that is a name, or with the channels first."""
    for label in mistake.labels if mistake.code in ("symbolic-weight", "wrong-rank") else ():
        last = _CHANNELS_LAST.fullmatch(label.at.text)
        if last:
            said = f"{last[1]}[{last[3]}, {last[2]}]"
            yield f"channels come first: `{said}`", [(label.at.span.start, label.at.span.end, said)], True
        written = _BATCHED.fullmatch(label.at.text)
        if written:
            start = label.at.span.start
            words = f"the batch is not written: `{written[1]}[{written[3]}]`"
            yield words, [(start + written.start(2), start + written.start(3), "")], True


def _with_integers(mistake: Diagnostic) -> Iterator[Candidate]:
    """The input that a mistake comes from, declared to hold integers."""
    for label in mistake.labels if mistake.code == "dtype-mismatch" else ():
        if re.fullmatch(r"input \w+ \[[^\]]*\]", label.at.text):
            yield mistake.hint or "", [(label.at.span.end, label.at.span.end, " int64")], True


def _flattened(mistake: Diagnostic) -> Iterator[Candidate]:
    """A `flatten` whose one axis is asked for a second: the channels are kept, as `flatten(2)` keeps them elsewhere."""
    for label in mistake.labels if mistake.code in ("bad-axis", "wrong-rank") else ():
        if label.at.text in ("flatten", "flatten()"):
            words = "`flatten` leaves one axis; `flatten(start=1)` keeps the channels"
            yield words, [(label.at.span.start, label.at.span.end, "flatten(start=1)")], True


def _transposed(text: str, mistake: Diagnostic) -> Iterator[Candidate]:
    """A parameter whose two sizes stand in the other order."""
    assert mistake.at is not None
    if mistake.code != "shape-mismatch":
        return
    places = [label.at.span for label in mistake.labels] + [mistake.at.span]
    for span in places:
        for call in (c for c in calls(text, span.start, span.end) if c.name == "param" and c.given):
            shape = call.given[0]
            sizes = [text[a:b].strip() for a, b in parts(text, shape.start + 1, shape.end - 1, ",")]
            if len(sizes) == 2:
                said = f"({sizes[1]}, {sizes[0]})"
                words = f"its sizes stand in the other order: `param({said})`"
                yield words, [(shape.start, shape.end, said)], True


def _signed(text: str, mistake: Diagnostic) -> Iterator[Candidate]:
    """A size that no signature names: the block is given one."""
    assert mistake.at is not None
    name = mistake.at.text
    if mistake.code != "unknown-name" or name not in (*IMAGES, *SEQUENCES):
        return
    heads = list(_HEAD.finditer(text, 0, mistake.at.span.start))
    if (
        not heads
        or not heads[-1].group().startswith("block")
        or _DECLARED.search(text, heads[-1].end(), mistake.at.span.start)
    ):
        return
    shape = "[C, H, W]" if name in IMAGES else f"[{name if name in 'TNL' else 'L'}, {name if name in 'DE' else 'D'}]"
    words = f"sizes of what flows in are named by the signature: `{heads[-1].group()}: {shape} -> {shape}`"
    end = heads[-1].end()
    yield words, [(end, end, f": {shape} -> {shape}")], True
    lowered = "[_, _, _]" if name in IMAGES else "[_, _]"
    yield words.replace(f"-> {shape}", f"-> {lowered}"), [(end, end, f": {shape} -> {lowered}")], True
