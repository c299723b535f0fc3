"""The page of `netdsl compare`: results, differences and the curves of several runs in one file."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from netdsl.recipe.metrics import METRICS, title
from netdsl.records.compare import marks, results, specs_differ
from netdsl.records.names import told_apart
from netdsl.records.record import Field, Record, varying
from netdsl.records.table import cell_text
from netdsl.render.markup import escape
from netdsl.training.report.signals import some_of
from netdsl.training.report.style import STYLE
from netdsl.training.report.svg import Series, curves

COLORS = ("#2563eb", "#dc2626", "#059669", "#9333ea", "#d97706", "#0891b2", "#db2777", "#65a30d")
OWN_STYLE = """
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; margin: 1rem 0; position: sticky; top: 0; padding: .5rem 0;
  background: var(--page) }
.legend svg { width: 26px; height: 10px; margin-right: 6px } .legend span { white-space: nowrap }
table.runs td, table.runs th { border-bottom: 1px solid var(--rule) } table.runs td:first-child { text-align: left }
td.best { font-weight: 700 } td.best::after { content: " ★"; color: #d97706 }
"""


def comparison_page(records: Sequence[Record]) -> str:
    """The page as HTML. Every run has one colour; beyond eight runs the same colours again, dashed."""
    names = told_apart([r.folder for r in records])
    heading = " · ".join(dict.fromkeys(r.about.net for r in records))
    parts = [f"<h1>{escape(heading)}</h1><p class=soft>{len(records)} runs</p>", _legend(names)]
    parts.append(f"<h2>Results</h2>{_table(names, results(records), marks)}")
    differ = varying(records)
    same = "<p>The recipes are the same.</p>"
    parts.append(f"<h2>Settings that differ</h2>{_table(names, differ) if differ else same}")
    if specs_differ(records):
        parts.append("<p>The specs differ; <code>netdsl diff</code> compares them.</p>")
    parts.append(f"<h2>Curves</h2><div class=charts>{_charts(records, names)}</div>")
    if signals := _signals(records, names):
        parts.append(f"<h2>Signals</h2><div class=charts>{signals}</div>")
    head = '<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content="width=device-width">'
    style = STYLE + OWN_STYLE + "".join(_style(i) for i in range(len(records)))
    return f"{head}<title>{escape(heading)}</title><style>{style}</style>{''.join(parts)}</html>"


def _style(i: int) -> str:
    dash = f"; stroke-dasharray: {4 * (i // len(COLORS))} 3" if i >= len(COLORS) else ""
    return f".line{i} {{ stroke: {COLORS[i % len(COLORS)]}{dash} }} "


def _legend(names: Sequence[str]) -> str:
    lines = (
        f'<span><svg viewBox="0 0 26 10"><line x1="0" x2="26" y1="5" y2="5" class="line{i}" stroke-width="3" '
        f'style="stroke: {COLORS[i % len(COLORS)]}"/></svg>{escape(name)}</span>'
        for i, name in enumerate(names)
    )
    return f"<div class=legend>{''.join(lines)}</div>"


def _table(
    names: Sequence[str],
    rows: Mapping[str, Sequence[Field | None]],
    marked: Callable[[str, Sequence[Field | None]], list[bool]] = lambda name, values: [False] * len(values),
) -> str:
    head = "".join(f"<th>{escape(n)}</th>" for n in names)
    lines = []
    for name, values in rows.items():
        cells = (
            f"<td{' class=best' if is_best else ''}>{escape(cell_text(name, v))}</td>"
            for v, is_best in zip(values, marked(name, values), strict=True)
        )
        lines.append(f"<tr><td>{escape(title(name))}</td>{''.join(cells)}</tr>")
    return f"<div class=scroll><table class=runs><tr><th></th>{head}</tr>{''.join(lines)}</table></div>"


def _charts(records: Sequence[Record], names: Sequence[str]) -> str:
    """A chart for each number of the logs, a line for each run."""
    wanted = [("training loss", "step", "loss"), ("held-out loss", "evaluation", "loss")]
    wanted += [(f"held-out {title(n)}", "evaluation", n) for n, kind in METRICS.items() if kind.number]
    wanted += [("learning rate", "step", "lr"), ("norm of the gradient", "step", "gradient")]
    charts = []
    for heading, kind, field in wanted:
        lines = {name: _line(record, kind, field) for name, record in zip(names, records, strict=True)}
        charts.append(curves(heading, lines, noisy=kind == "step" and field != "lr", named=False))
    return "".join(charts)


def _signals(records: Sequence[Record], names: Sequence[str]) -> str:
    """Charts of what `train --probe` saw: one for each weight and each ReLU (of many, some), a line for each run."""
    looks = dict(zip(names, (record.looks for record in records), strict=True))
    sizes = {
        n: [(x.step, {w: math.log10(size) for w, size in x.updates.items() if size > 0}) for x in of_one]
        for n, of_one in looks.items()
    }
    dead = {n: [(x.step, x.dead) for x in of_one] for n, of_one in looks.items()}
    return _each("log10 of step to weight", sizes) + _each("dead units", dead)


def _each(heading: str, runs: Mapping[str, Sequence[tuple[int, Mapping[str, float]]]]) -> str:
    """A chart for each name that has values in any run."""
    charts = []
    for name in some_of(values for looks in runs.values() for _, values in looks):
        lines = {run: [(step, v[name]) for step, v in looks if name in v] for run, looks in runs.items()}
        charts.append(curves(f"{heading}: {name}", lines, noisy=False, named=False))
    return "".join(charts)


def _line(record: Record, kind: str, field: str) -> Series:
    return [(line["step"], line[field]) for line in record.log if line["kind"] == kind and field in line]
