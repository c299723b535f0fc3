"""A summary as a tree with aligned columns, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.render.numbers import grouped, in_bytes, plural, scaled
from netdsl.render.paint import PLAIN, Paint
from netdsl.render.table import RULE, Cell, Cells, columns, markdown
from netdsl.sizes.dims import Dim
from netdsl.summary.model import Port, Row, Summary

FITTING = 40
"""Without a depth, the tree is as deep as it can be with at most this many rows."""

HEADER = ("layer", "kind", "output", "params", "MACs")
ALIGN = "<<<>>"


def render(summary: Summary, depth: int | None = None, paint: Paint = PLAIN) -> str:
    """The tree and, below it, the totals."""
    depth = depth or fitting_depth(summary)
    rows: list[Cells | None] = [tuple(Cell(h, "bold") for h in HEADER), RULE]
    rows += [(p.name, Cell("input", "dim"), str(p.type), "", "") for p in summary.inputs]
    rows += _tree(summary.rows, depth)
    rows += [RULE, _cells(Cell("total", "bold"), "", "", summary.params, summary.macs)]
    table = columns(rows, ALIGN, paint)
    below = columns([(Cell(name, "dim"), text) for name, text in facts(summary)], "<<", paint)
    return f"{paint(summary.net, 'bold')}{_first_sentence(summary.doc)}\n\n{table}\n\n{below}"


def fitting_depth(summary: Summary) -> int:
    """The greatest depth with at most FITTING rows, and at least 1."""
    deepest = max((row.depth for row in summary.rows), default=1)
    return next((d for d in range(deepest, 1, -1) if sum(r.count(d) for r in summary.rows) <= FITTING), 1)


def _tree(rows: tuple[Row, ...], depth: int) -> Iterator[Cells]:
    for row in rows:
        yield _row(row, "")
        yield from _branch(row, depth - 1, "")


def _branch(row: Row, depth: int, guide: str) -> Iterator[Cells]:
    """The rows inside a row, with the lines that lead to them."""
    if depth < 1:
        return
    for child in row.children:
        last = child is row.children[-1]
        yield _row(child, guide + ("└─ " if last else "├─ "))
        yield from _branch(child, depth - 1, guide + ("   " if last else "│  "))


def _row(row: Row, lead: str) -> Cells:
    name = Cell(row.name + _times(row), "" if lead else "bold", lead)
    return _cells(name, _kind(row), ", ".join(map(str, row.outputs)), row.params, row.macs)


def _cells(name: Cell, kind: str, output: str, params: int, macs: Dim) -> Cells:
    return name, Cell(kind, "dim"), output, grouped(params) if params else "", scaled(macs) if macs != 0 else ""


def _times(row: Row) -> str:
    return f" x {row.repeat}" if row.repeat > 1 else ""


def _kind(row: Row) -> str:
    marks = [mark for mark, on in (("shared", row.shared), ("training only", row.training)) if on]
    return row.kind + (f" ({', '.join(marks)})" if marks else "")


def _first_sentence(doc: str) -> str:
    text = " ".join(doc.split())
    sentence = text.partition(". ")[0].rstrip(".")
    return f"  {sentence}" if sentence else ""


def facts(summary: Summary) -> Iterator[tuple[str, str]]:
    """The facts below the tree: totals, inputs and outputs, conditions, by name."""
    t = summary.totals
    yield "parameters", f"{grouped(t.params)} in {plural(t.param_tensors, 'tensor')}, {in_bytes(4 * t.params)}"
    if t.buffers:
        yield "buffers", f"{grouped(t.buffers)} in {plural(t.buffer_tensors, 'tensor')}"
    yield (
        "MACs",
        grouped(t.macs) + (f", {grouped(t.training_macs)} while training" if t.training_macs != t.macs else ""),
    )
    yield "activations", f"{in_bytes(t.activation_bytes)} for one sample"
    for port in summary.inputs:
        yield "input", _port(port)
    for port in summary.outputs:
        yield "output", _port(port)
    if summary.constraints:
        yield "holds for", ", ".join(summary.constraints)
    if summary.receptive_field:
        yield "receptive field", _field(summary)
    if t.residual_links:
        yield "residual links", str(t.residual_links)


def _port(port: Port) -> str:
    return f"{port.name} {port.type}" + (" (training only)" if port.training else "")


def _field(summary: Summary) -> str:
    field = summary.receptive_field
    assert field is not None
    if field.size is None:
        return "the whole image"
    return f"{field.size} pixels, stride {field.stride}, padding {field.padding}, at {field.map}"


def as_markdown(summary: Summary, depth: int | None = None) -> str:
    """The same as a Markdown document."""
    rows = [[p.name, "input", f"`{p.type}`", "", ""] for p in summary.inputs]
    rows += [_markdown_row(cells) for cells in _tree(summary.rows, depth or fitting_depth(summary))]
    rows.append(["**total**", "", "", f"**{grouped(summary.params)}**", f"**{scaled(summary.macs)}**"])
    below = "\n".join(f"- {name}: {text}" for name, text in facts(summary))
    doc = f"{' '.join(summary.doc.split())}\n\n" if summary.doc else ""
    return f"## {summary.net}\n\n{doc}{markdown(HEADER, rows, ALIGN)}\n\n{below}"


def _markdown_row(cells: Cells) -> list[str]:
    name, kind, output, params, macs = (c if isinstance(c, Cell) else Cell(c) for c in cells)
    indent = "&emsp;" * (len(name.lead) // 3)
    return [f"{indent}`{name.text}`", kind.text, f"`{output.text}`", params.text, macs.text]
