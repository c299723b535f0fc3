"""The values of answers: what is wrong, what is shown beside the source, what a net amounts to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from netdsl.diagnostics.diagnostic import Diagnostic, Edit, Hint
from netdsl.lsp.analysis import Analysis
from netdsl.playground.offsets import Offsets
from netdsl.render.numbers import grouped, in_bytes, scaled
from netdsl.render.summary import facts
from netdsl.source import Place, Span
from netdsl.summary import Row, Summary


class Change(Struct, frozen=True):
    """The text between two offsets, replaced."""

    start: int
    end: int
    text: str


class Fix(Struct, frozen=True):
    """How to fix a mistake; with `changes` by a click."""

    message: str
    changes: list[Change]
    safe: bool


class Mark(Struct, frozen=True):
    """Words at a place."""

    message: str
    start: int
    end: int


class Problem(Struct, frozen=True):
    """One diagnostic. `elsewhere`: the file and line that it stands in, where that is an imported one."""

    code: str
    severity: str
    message: str
    start: int
    end: int
    line: int
    notes: tuple[str, ...]
    fixes: list[Fix]
    marks: list[Mark]
    elsewhere: str = ""


def problem(found: Diagnostic, analysis: Analysis, offsets: Offsets) -> Problem:
    """A diagnostic of a text; what lies in a file that it imports is shown at the import."""
    at, elsewhere = found.at, ""
    if at is not None and at.source is not analysis.source:
        elsewhere = f"line {at.line} of {at.source.name.rpartition('/')[2]}"
        at = analysis.import_of(at)
    at = at or Place(analysis.source, Span(0, 0))
    marks = [
        Mark(label.message, *_units(label.at, offsets)) for label in found.labels if label.at.source is analysis.source
    ]
    if found.label and not elsewhere:
        marks.insert(0, Mark(found.label, *_units(at, offsets)))
    fixes = [_fix(hint, analysis, offsets) for hint in found.hints]
    start, end = _units(at, offsets)
    return Problem(found.code, found.severity, found.message, start, end, at.line, found.notes, fixes, marks, elsewhere)


def _units(at: Place, offsets: Offsets) -> tuple[int, int]:
    return offsets.units(at.span.start), offsets.units(at.span.end)


def _fix(hint: Hint, analysis: Analysis, offsets: Offsets) -> Fix:
    """A hint; edits of other files cannot be made here."""
    own = all(edit.at.source.name == analysis.source.name for edit in hint.edits)
    return Fix(hint.message, [_change(e, offsets) for e in hint.edits] if own else [], hint.safe)


def _change(edit: Edit, offsets: Offsets) -> Change:
    return Change(*_units(edit.at, offsets), edit.text)


def summary_data(summary: Summary) -> dict[str, Any]:
    """A summary with its numbers as people read them; `weight` is a row's share of the parameters."""
    return {
        "net": summary.net,
        "doc": " ".join(summary.doc.split()),
        "cards": list(_cards(summary)),
        "facts": list(facts(summary)),
        "inputs": [(p.name, str(p.type)) for p in summary.inputs],
        "rows": list(_rows(summary.rows, 0, max(1, summary.params))),
        "total": (grouped(summary.params), scaled(summary.macs)),
    }


def _cards(summary: Summary) -> Iterator[tuple[str, str]]:
    """The figures of a net that are asked for first, in few digits."""
    yield "parameters", scaled(summary.params)
    yield "MACs", scaled(summary.macs)
    yield "activations", in_bytes(summary.totals.activation_bytes)
    field = summary.receptive_field
    if field is not None:
        yield "receptive field", "everything" if field.size is None else f"{field.size} px"


def _rows(rows: tuple[Row, ...], depth: int, total: int) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield {
            "depth": depth,
            "name": row.name,
            "repeat": row.repeat,
            "kind": row.kind,
            "outputs": ", ".join(map(str, row.outputs)),
            "params": grouped(row.params) if row.params else "",
            "macs": scaled(row.macs) if row.macs != 0 else "",
            "weight": round(row.params / total, 4),
            "note": ", ".join(n for n, on in (("shared", row.shared), ("training only", row.training)) if on),
        }
        yield from _rows(row.children, depth + 1, max(1, total // row.repeat))
