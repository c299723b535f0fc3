"""The lines of a spec that an older version of the language reads differently."""

from __future__ import annotations

import re
from collections.abc import Iterable

from netdsl.diagnostics.diagnostic import Diagnostic, Edit, Hint
from netdsl.source import Place, Span
from netdsl.version import LANGUAGE

SPEC = "spec.net"
"""What the spec in a run directory or in an ONNX file is called."""

MOVED = "computed here, once; in version 1 each use built layers of its own, inside the block where it was an argument"


FOLLOWED = "works along the features, wherever they are; before version 3 along the last of two axes, the first of more"

LAYER = re.compile(r"\w+(?:\s*\((.*)\))?", re.S)
"""A layer with its arguments."""

COMMENT = re.compile(r"#[^\n]*")


def moved(places: Iterable[Place]) -> tuple[Diagnostic, ...]:
    """A note for each item or argument with weights that is computed where it stands, and how to say it as before."""
    found = _in_order(places)
    return tuple(Diagnostic("migration", MOVED, at, hints=(_in_braces(at),), severity="note") for at in found)


def followed(places: Iterable[tuple[Place, int]]) -> tuple[Diagnostic, ...]:
    """A note for each layer along features that are elsewhere than the rank says, and how to say it as before."""
    given = [*places]
    axes: dict[tuple[str, int], set[int]] = {}
    for at, axis in given:
        axes.setdefault((at.source.name, at.span.start), set()).add(-1 if axis == -1 else 0)
    found = _in_order(at for at, _ in given)
    notes = ((at, _with_axis(at, axes[at.source.name, at.span.start])) for at in found)
    return tuple(Diagnostic("migration", FOLLOWED, at, hints=(hint,), severity="note") for at, hint in notes)


def _with_axis(at: Place, axes: set[int]) -> Hint:
    """How to say the axes of before version 3; written into a layer that has one in all its uses."""
    said = " or ".join(f"`axis={axis}`" for axis in sorted(axes))
    begin, end = at.span.start, at.span.end
    while (inner := at.source.text[begin:end].strip()).startswith("(") and inner.endswith(")"):
        begin = at.source.text.index("(", begin) + 1
        end = at.source.text.rindex(")", begin, end)
    begin = at.source.text.index(inner, begin)
    found = LAYER.fullmatch(inner)
    if found is None or len(axes) > 1:
        return Hint(f"{said} was the axis before")
    argument, arguments = f"axis={min(axes)}", found[1]
    if arguments is None:
        end, argument = begin + len(inner), f"({argument})"
    else:
        end, before = begin + found.end(1), COMMENT.sub("", arguments).rstrip()
        argument = argument if before[-1:] in ("", ",") else f", {argument}"
    return Hint(f"{said} was the axis before", (Edit(Place(at.source, Span(end, end)), argument),))


def _in_order(places: Iterable[Place]) -> list[Place]:
    unique = {(at.source.name, at.span.start): at for at in places}
    return sorted(unique.values(), key=lambda at: at.span.start)


def outdated(where: object, language: int, found: Iterable[Diagnostic], reason: str = "") -> Diagnostic:
    """Why the stored spec of a run or a file gives another net today, with the lines that say something else."""
    lines = [f"{SPEC}:{d.at.line}: `{d.at.text}`: {d.message}" for d in found if d.at is not None]
    versions = f"it was made by version {language} of the language, this is version {LANGUAGE}"
    message = f"the spec of {where} does not give the net that was stored" + (f": {reason}" if reason else "")
    notes = (*([versions] if language < LANGUAGE else []), *dict.fromkeys(lines))
    return Diagnostic("outdated-run", message, notes=notes)


def rewritten(text: str, notes: Iterable[Diagnostic]) -> str:
    """A spec's text with the edits of these notes."""
    edits = [edit for note in notes for hint in note.hints for edit in hint.edits]
    for edit in sorted(edits, key=lambda e: e.at.span.start, reverse=True):
        text = text[: edit.at.span.start] + edit.text + text[edit.at.span.end :]
    return text


def _in_braces(at: Place) -> Hint:
    start, end = (Place(at.source, Span(offset, offset)) for offset in (at.span.start, at.span.end))
    edits = (Edit(start, "{ "), Edit(end, " }"))
    return Hint("in braces it stays an arrow, as in version 1", edits)
