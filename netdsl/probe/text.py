"""The findings of a probe for a terminal: sentences first, then the numbers."""

from __future__ import annotations

from netdsl.probe.model import Cell, Finding, Probed
from netdsl.render.paint import PLAIN, Paint
from netdsl.render.table import RULE, Cells, columns
from netdsl.render.table import Cell as Painted

MOST = 24
"""How many rows of a table are shown; of more, the first and the last."""


def text(found: Probed, paint: Paint = PLAIN) -> str:
    """All findings."""
    parts = [paint(found.net, "bold"), *(f"  {note}" for note in found.notes)]
    for finding in found.findings:
        parts += ["", *_finding(finding, paint)]
    return "\n".join(parts)


def _finding(finding: Finding, paint: Paint) -> list[str]:
    lines = [paint(finding.signal, "bold"), *(f"  {line}" for line in finding.said)]
    if not finding.rows:
        return lines
    shown = finding.rows
    half = MOST // 2
    rows: list[Cells | None] = [tuple(Painted(c, "dim") for c in finding.columns), RULE]
    if len(shown) > MOST:
        rows += [tuple(map(number, r)) for r in shown[:half]]
        rows.append((f"... {len(shown) - MOST:,} more", *("" for _ in finding.columns[1:])))
        shown = shown[-half:]
    rows += [tuple(map(number, r)) for r in shown]
    align = "".join("<" if isinstance(c, str) else ">" for c in finding.rows[0])
    return [*lines, "", columns(rows, align, paint)]


def number(cell: Cell) -> str:
    """A cell of a table as text: four digits of a number."""
    if cell is None:
        return ""
    return f"{cell:.4g}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else cell
