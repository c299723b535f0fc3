"""Diagnostics as text: what is wrong, the line that says it, where that came from, and what would mend it.

error[shape-mismatch]: a residual link adds [128, 28, 28] to [64, 56, 56]
  --> resnet.net:14:3
   |
14 |   residual { conv(128, 3, stride=2) }
   |   ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
   = in: stages.0
   = hint: ...
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TextIO

from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.render.paint import PLAIN, Paint, paint_for, visible, width
from netdsl.source import Place

LONGEST = 160
"""Source lines longer than this are cut around the mistake."""


def render(found: Diagnostic, paint: Paint = PLAIN) -> str:
    """One diagnostic as plain text, or painted; it ends without a newline."""
    style = found.severity if found.severity in ("error", "warning") else "note"
    head = paint(f"{found.severity}[{found.code}]", style) + paint(f": {visible(found.message)}", "bold")
    gutter = max((len(str(p.line)) for p in (found.at, *(n.at for n in found.also)) if p), default=1)
    lines = [head]
    if found.at:
        lines += _snippet(found.at, gutter, "^", style, paint)
    for note in found.also:
        lines.append(f"{paint('note', 'note')}: {visible(note.message)}")
        lines += _snippet(note.at, gutter, "-", "note", paint)
    lead = f"{' ' * (gutter + 1)}{paint('=', 'guide')} " if found.at else ""
    if found.path:
        lines.append(f"{lead}in: {found.path}")
    if found.hint:
        lines.append(f"{lead}{paint('hint', 'hint')}: {visible(found.hint)}")
    return "\n".join(lines)


def render_all(found: Iterable[Diagnostic], stream: TextIO | None = None) -> str:
    """Diagnostics one after another with blank lines between, painted where the stream is a terminal."""
    paint = paint_for(stream)
    return "\n\n".join(render(d, paint) for d in found)


def _snippet(at: Place, gutter: int, mark: str, style: str, paint: Paint) -> list[str]:
    """Where a place is, its first line, and a line of marks below."""
    margin, bar = " " * gutter, paint("|", "guide")
    where = f"{margin}{paint('-->', 'guide')} {at.source.name}:{at.line}:{at.column}"
    text, before, marked = _marked(at)
    number = paint(f"{at.line:>{gutter}}", "guide")
    return [where, f"{margin} {bar}", f"{number} {bar} {text}", f"{margin} {bar} {before}{paint(mark * marked, style)}"]


def _marked(at: Place) -> tuple[str, str, int]:
    """The line of a place as it is printed, the blanks before its marks, and how many marks."""
    line, start = at.source.line(at.line), at.column - 1
    end = max(start + 1, min(start + at.span.end - at.span.start, len(line.rstrip())))
    cut, line_start, ellipsis = line, 0, ""
    if len(line) > LONGEST:
        line_start = max(0, start - LONGEST // 4)
        ellipsis = "..." if line_start else ""
        cut = line[line_start : line_start + LONGEST] + ("..." if line_start + LONGEST < len(line) else "")
        end = min(end, line_start + LONGEST)
    before = visible(ellipsis + line[line_start:start])
    through = visible(ellipsis + line[line_start:end])
    return visible(ellipsis + cut).rstrip(), " " * width(before), max(1, width(through) - width(before))


def as_data(found: Diagnostic) -> dict[str, Any]:
    """A diagnostic for machines: lines and columns count from 1, the end is exclusive."""
    also = [{"message": n.message} | _range(n.at) for n in found.also]
    data: dict[str, Any] = {"severity": found.severity, "code": found.code, "message": found.message}
    return data | _range(found.at) | {"path": found.path or None, "hint": found.hint, "also": also}


def _range(at: Place | None) -> dict[str, Any]:
    if at is None:
        return {"file": None, "line": None, "column": None, "end_line": None, "end_column": None}
    end_line, end_column = at.source.position(at.span.end)
    names = {"file": at.source.name, "line": at.line, "column": at.column}
    return names | {"end_line": end_line, "end_column": end_column}
