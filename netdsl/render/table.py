"""Aligned columns of painted text, and the same as Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from msgspec import Struct
from msgspec.structs import replace

from netdsl.render.paint import PLAIN, Paint, visible, width

RULE = None
"""A row of a table that is a line across it."""


GAP = 2
"""Blanks between two columns."""

BLANK = re.compile(r" (?![^\[\]]*\])")
"""Where text may continue in the next line: not inside of a shape."""


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


def columns(rows: Sequence[Cells | None], align: str, paint: Paint = PLAIN, margin: str = "  ", keys: int = 1) -> str:
    """Rows with their cells in columns; `align` says `<` or `>` for each. A RULE is a line as wide as the table.

    Where that is too wide, text continues in the next line, and what still has no room stands below, beside the first
    `keys` columns again.
    """
    cells = [None if row is None else [_cell(c) for c in row] for row in rows]
    widths = [max((row[i].width for row in cells if row), default=0) for i in range(len(align))]
    parts: list[Sequence[int]] = [range(len(align))]
    if paint.columns:
        room = paint.columns - len(margin)
        _narrow(widths, [_least(cells, i, a) for i, a in enumerate(align)], room)
        parts = _parts(widths, keys, room)
    return "\n\n".join("\n".join(_lines(cells, part, widths, align, paint, margin)) for part in parts)


def _lines(
    cells: Sequence[list[Cell] | None], part: Sequence[int], widths: list[int], align: str, paint: Paint, margin: str
) -> Iterator[str]:
    """The lines of the columns `part` of a table."""
    whole = sum(widths[i] for i in part) + GAP * (len(part) - 1)
    for row in cells:
        if row is None:
            yield margin + paint("\N{BOX DRAWINGS LIGHT HORIZONTAL}" * whole, "guide")
            continue
        for line in zip_longest(*(wrapped(row[i], widths[i]) for i in part), fillvalue=Cell("")):
            texts = [_padded(c, widths[i], align[i], paint) for c, i in zip(line, part, strict=True)]
            yield (margin + (" " * GAP).join(texts)).rstrip()


def _least(cells: Sequence[list[Cell] | None], column: int, align: str) -> int:
    """The least width of a column: its longest word; numbers stay in one line below their header."""
    rule = cells.index(None) if None in cells and align == ">" else len(cells) * (align == "<")
    above, below = ([row[column] for row in part if row] for part in (cells[:rule], cells[rule:]))
    words = [width(c.lead) + width(w) for c in above for w in BLANK.split(c.text)]
    return max([*words, *(c.width for c in below)], default=0)


def _narrow(widths: list[int], least: list[int], room: int) -> None:
    """Make the widest columns narrower until they fit into the room, or none can be."""
    while sum(widths) + GAP * (len(widths) - 1) > room:
        spare = [i for i in range(len(widths)) if widths[i] > least[i]]
        if not spare:
            return
        widths[max(spare, key=lambda i: widths[i])] -= 1


def _parts(widths: list[int], keys: int, room: int) -> list[Sequence[int]]:
    """The numbers of the columns that have room beside one another, in parts, each with the first `keys` columns."""
    parts: list[list[int]] = [list(range(keys))]
    for i in range(keys, len(widths)):
        if len(parts[-1]) > keys and sum(widths[k] + GAP for k in parts[-1]) + widths[i] > room:
            parts.append(list(range(keys)))
        parts[-1].append(i)
    return [*parts]


def wrapped(cell: Cell, most: int) -> list[Cell]:
    """A cell in lines of at most so many columns, broken at blanks; they begin below one another."""
    if cell.width <= most:
        return [cell]
    first, *words = BLANK.split(cell.text.lstrip())
    lead = cell.lead + " " * (len(cell.text) - len(cell.text.lstrip()))
    lines = [Cell(first, cell.style, lead)]
    for word in words:
        longer = replace(lines[-1], text=f"{lines[-1].text} {word}")
        if longer.width > most:
            lines.append(Cell(word, cell.style, " " * width(lead)))
        else:
            lines[-1] = longer
    return lines


_ACTIVE = re.compile(r"[\\|<`&]")


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    """A table in Markdown, whose cells are text: what Markdown or HTML would read in them is escaped."""
    marks = ["---:" if a == ">" else "---" for a in align]
    above, *below = [[_ACTIVE.sub(r"\\\g<0>", visible(text)) for text in row] for row in (header, *rows)]
    lines = [above, marks, *below]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(content: Cell | str) -> Cell:
    cell = content if isinstance(content, Cell) else Cell(content)
    return cell if cell.text.isprintable() else replace(cell, text=visible(cell.text))


def _padded(cell: Cell, columns: int, align: str, paint: Paint) -> str:
    blanks = " " * (columns - cell.width)
    return blanks + cell.painted(paint) if align == ">" else cell.painted(paint) + blanks
