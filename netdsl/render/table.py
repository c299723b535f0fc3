"""Aligned columns of painted text, and the same as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from netdsl.render.paint import PLAIN, Paint, visible, width

RULE = None
"""A row of a table that is a line across it."""


class Cell(Struct, frozen=True):
    """Text with a style; `lead` goes before it in the style of guides."""

    text: str
    style: str = ""
    lead: str = ""

    @property
    def width(self) -> int:
        return width(self.lead) + width(self.text)

    def painted(self, paint: Paint) -> str:
        return paint(self.lead, "guide") + paint(self.text, self.style)


Cells = Sequence[Cell | str]


def columns(rows: Sequence[Cells | None], align: str, paint: Paint = PLAIN, margin: str = "  ") -> str:
    """Rows with their cells in columns; `align` says `<` or `>` for each. A RULE is a line as wide as the table."""
    cells = [None if row is None else [_cell(c) for c in row] for row in rows]
    widths = [max((row[i].width for row in cells if row), default=0) for i in range(len(align))]
    whole = sum(widths) + 2 * (len(widths) - 1)
    lines = []
    for row in cells:
        if row is None:
            lines.append(margin + paint("\N{BOX DRAWINGS LIGHT HORIZONTAL}" * whole, "guide"))
            continue
        parts = [_padded(c, w, a, paint) for c, w, a in zip(row, widths, align, strict=True)]
        lines.append((margin + "  ".join(parts)).rstrip())
    return "\n".join(lines)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    """A table in Markdown."""
    marks = ["---:" if a == ">" else "---" for a in align]
    above, *below = [[visible(text).replace("|", "\\|") for text in row] for row in (header, *rows)]
    lines = [above, marks, *below]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(content: Cell | str) -> Cell:
    cell = content if isinstance(content, Cell) else Cell(content)
    return cell if cell.text.isprintable() else replace(cell, text=visible(cell.text))


def _padded(cell: Cell, columns: int, align: str, paint: Paint) -> str:
    blanks = " " * (columns - cell.width)
    return blanks + cell.painted(paint) if align == ">" else cell.painted(paint) + blanks
