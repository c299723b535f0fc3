"""Diagnostics as text: what is wrong, the lines that say it with words beside their marks, and how to fix it.

error[shape-mismatch]: a residual link adds [128, 28, 28] to [64, 56, 56]
  --> resnet.net:14:3
   |
13 |   conv(64, 3)
   |   ----------- the input, [64, 56, 56], comes from here
14 |   residual { conv(128, 3, stride=2) }
   |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   = in: stages.0
   = hint: ...
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TextIO

from msgspec import Struct

from netdsl.diagnostics.diagnostic import Diagnostic, Edit, Hint
from netdsl.render.paint import PLAIN, Paint, paint_for, visible, width
from netdsl.source import Place

LONGEST = 160
"""Source lines longer than this are cut around the mistake."""


COLOURS = {"error": "#c4314b", "warning": "#9a6700", "note": "#57606a"}
"""Colours of HTML by severity, to be read on light and dark ground."""


class Mark(Struct, frozen=True):
    """A marked span: the character of its marks, their style, and the words beside them."""

    at: Place
    mark: str
    style: str
    words: str = ""


def render(found: Diagnostic, paint: Paint = PLAIN) -> str:
    """One diagnostic as plain text, or painted; it ends without a newline."""
    head = paint(f"{found.severity}[{found.code}]", found.severity) + paint(f": {visible(found.message)}", "bold")
    marks = [Mark(label.at, "-", "note", label.message) for label in found.labels]
    if found.at:
        marks.insert(0, Mark(found.at, "^", found.severity, found.label))
    gutter = max((len(str(m.at.line)) for m in marks), default=1)
    lines = [head]
    for number, group in enumerate(_by_file(marks)):
        lines += _snippet(group, gutter, ":::" if number else "-->", paint)
    lead = f"{' ' * (gutter + 1)}{paint('=', 'guide')} " if found.at else ""
    if found.path:
        lines.append(f"{lead}in: {found.path}")
    lines += [f"{lead}{paint('note', 'note')}: {visible(note)}" for note in found.notes]
    lines += [f"{lead}{paint('hint', 'hint')}: {visible(hint.message)}{_mended_by(hint)}" for hint in found.hints]
    return "\n".join(lines)


def _mended_by(hint: Hint) -> str:
    """How a hint with edits is applied; which of several words it is."""
    if not hint.edits:
        return ""
    option = "--fix" if hint.safe else "--fix --unsafe"
    which = f"writes `{visible(hint.edits[0].text)}`" if "` or `" in hint.message else "does it"
    return f" (`{option}` {which})"


class Diagnostics(tuple[Diagnostic, ...]):
    """Diagnostics that show themselves: as the command line has them, in a notebook with colours."""

    __slots__ = ()

    def __repr__(self) -> str:
        return render_all(self) or "no mistakes"

    def _repr_html_(self) -> str:
        from netdsl.render.markup import escape

        return "\n".join(f'<pre style="color: {COLOURS[d.severity]}">{escape(render(d))}</pre>' for d in self) or repr(
            self
        )


def render_all(found: Iterable[Diagnostic], stream: TextIO | None = None) -> str:
    """Diagnostics one after another with blank lines between, painted where the stream is a terminal."""
    paint = paint_for(stream)
    return "\n\n".join(render(d, paint) for d in found)


def _by_file(marks: list[Mark]) -> list[list[Mark]]:
    """Marks by the file they are in, the file of the first one first."""
    files: dict[str, list[Mark]] = {}
    for mark in marks:
        files.setdefault(mark.at.source.name, []).append(mark)
    return list(files.values())


def _snippet(marks: list[Mark], gutter: int, arrow: str, paint: Paint) -> Iterator[str]:
    """Where the first mark is, then each marked line of one file with its marks below; `...` for lines between."""
    margin, bar = " " * gutter, paint("|", "guide")
    first = marks[0].at
    if first.source.option:
        yield f"{margin}{paint(arrow, 'guide')} {visible(first.source.name)}"
        return
    yield f"{margin}{paint(arrow, 'guide')} {first.source.name}:{first.line}:{first.column}"
    yield f"{margin} {bar}"
    last = 0
    for line in sorted({m.at.line for m in marks}):
        if last and line == last + 2:
            yield _numbered(line - 1, visible(_clipped(first, line - 1)), gutter, paint)
        elif last and line > last + 2:
            yield paint("...", "guide")
        last = line
        own = [m for m in marks if m.at.line == line]
        yield _numbered(line, _marked(own[0].at, own[0].at)[0], gutter, paint)
        for mark in sorted(own, key=lambda m: m.at.column):
            _, before, count = _marked(mark.at, own[0].at)
            words = f" {visible(mark.words)}" if mark.words else ""
            yield f"{margin} {bar} {before}{paint(mark.mark * count + words, mark.style)}"


def _numbered(line: int, text: str, gutter: int, paint: Paint) -> str:
    return f"{paint(f'{line:>{gutter}}', 'guide')} {paint('|', 'guide')} {text}".rstrip()


def _clipped(at: Place, line: int) -> str:
    text = at.source.line(line)
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."


def _marked(at: Place, window: Place) -> tuple[str, str, int]:
    """The line of a place as it is printed, the blanks before its marks, and how many marks.

    A long line is cut around `window`, a place on the same line.
    """
    line, start = at.source.line(at.line), at.column - 1
    end = max(start + 1, min(start + at.span.end - at.span.start, len(line.rstrip())))
    cut, line_start, ellipsis = line, 0, ""
    if len(line) > LONGEST:
        line_start = max(0, window.column - 1 - LONGEST // 4)
        ellipsis = "..." if line_start else ""
        cut = line[line_start : line_start + LONGEST] + ("..." if line_start + LONGEST < len(line) else "")
        start = min(max(start, line_start), line_start + LONGEST)
        end = min(max(end, start), line_start + LONGEST)
    before = visible(ellipsis + line[line_start:start])
    through = visible(ellipsis + line[line_start:end])
    return visible(ellipsis + cut).rstrip(), " " * width(before), max(1, width(through) - width(before))


def as_data(found: Diagnostic) -> dict[str, Any]:
    """A diagnostic as JSON data: lines and columns count from 1, the end is exclusive."""
    data: dict[str, Any] = {"severity": found.severity, "code": found.code, "message": found.message}
    data |= _range(found.at) | {"label": found.label or None, "path": found.path or None}
    data["labels"] = [{"message": label.message} | _range(label.at) for label in found.labels]
    data["notes"] = list(found.notes)
    data["hints"] = [_hint(hint) for hint in found.hints]
    return data


def _hint(hint: Hint) -> dict[str, Any]:
    return {"message": hint.message, "safe": hint.safe, "edits": [_edit(edit) for edit in hint.edits]}


def _edit(edit: Edit) -> dict[str, Any]:
    return _range(edit.at) | {"text": edit.text}


def _range(at: Place | None) -> dict[str, Any]:
    if at is None or at.source.option:
        name = at.source.name if at is not None else None
        return {"file": name, "line": None, "column": None, "end_line": None, "end_column": None}
    end_line, end_column = at.source.position(at.span.end)
    names = {"file": at.source.name, "line": at.line, "column": at.column}
    return names | {"end_line": end_line, "end_column": end_column}
