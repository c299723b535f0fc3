"""Results as a page: one HTML file that needs nothing else, with every number linked to its run."""

from __future__ import annotations

from collections.abc import Sequence

from netdsl.experiment.figure import caption, svg
from netdsl.experiment.results import Amount, Compared, Results, Row
from netdsl.experiment.table import Table, heading, shown, tables
from netdsl.planning.experiments import ALPHA
from netdsl.render.figure import NIGHT, STYLE
from netdsl.render.markup import escape
from netdsl.render.numbers import plural
from netdsl.render.output import marked
from netdsl.version import __version__

SHEET = (
    """
:root{--b:#fff;--t:#1e293b;--m:#5b6676;--l:#e3e8ef;--h:#f6f8fb;--a:#2563eb;--bad:#b91c1c;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{@night;--h:#151b23;--a:#6ea8fe;--bad:#f87171}}
body{margin:2.5rem auto;max-width:76rem;padding:0 1.5rem;background:var(--b);color:var(--t);
font:15px/1.5 'Helvetica Neue',Helvetica,Arial,sans-serif}
h1{font-size:1.7rem;margin:0}h2{font-size:1.15rem;margin:2.4rem 0 .6rem}p{margin:.3rem 0}.m{color:var(--m)}
.doc{white-space:pre-line;max-width:48rem}a{color:inherit;text-decoration-color:var(--l);text-underline-offset:3px}
a:hover{color:var(--a);text-decoration-color:var(--a)}
.figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,30rem),1fr));gap:1.6rem;margin:1.4rem 0}
figure{margin:0;max-width:38rem}figcaption{color:var(--m);font-size:13px}svg{width:100%}.figure a{text-decoration:none}
.figure a:hover .mark{stroke:var(--t)}.dark line{stroke:var(--t)!important}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:14px;font-variant-numeric:tabular-nums}
td,th{padding:.28rem 1.6rem .28rem 0;text-align:right;white-space:nowrap}th{color:var(--m);font-weight:500}
thead th{border-bottom:1px solid var(--m)}tbody tr:hover{background:var(--h)}tbody td{border-bottom:1px solid var(--l)}
.l{text-align:left}.sure{font-weight:600}.bad{color:var(--bad)}
details summary{cursor:pointer;color:var(--m);margin:2rem 0 .6rem}.notes{color:var(--m);font-size:13px;margin:.5rem 0}
""".replace("@night", NIGHT)
    + STYLE
)

OPEN = 24
"""Runs up to which their list is open at first."""


def page(results: Results) -> str:
    """The page."""
    e = results.experiment
    by = f" by {e.recipe}" if e.recipe else ""
    many = f"{plural(len(results.rows), 'cell')} of {e.net}{by}, {plural(e.seeds, 'seed')}"
    state = (
        f"{results.ended:,} of {results.total:,} runs" if results.ended < results.total else f"{results.total:,} runs"
    )
    doc = f"<p class=doc>{escape(e.doc)}</p>" if e.doc else ""
    whole, *comparisons = tables(results)
    figures = "".join(
        f"<figure>{svg(results, f)}<figcaption>{escape(caption(results, f))}</figcaption></figure>" for f in e.figures
    )
    figures = f"<div class=figures>{figures}</div>" if figures else ""
    tests = "".join(
        f"<h2>{escape(t.title)}</h2>{_table(t, _sure(c))}" for t, c in zip(comparisons, results.compared, strict=True)
    )
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(e.name)}</title><meta name="generator" content="netdsl {escape(__version__)}">
<style>{SHEET}</style></head><body>
<h1>{escape(e.name)}</h1><p class=m>{escape(many)}; {escape(state)}</p>{doc}
{figures}<h2>Cells</h2>{_cells(results, whole)}{tests}{_runs(results, whole.align)}
</body></html>
"""


def _cells(results: Results, table: Table) -> str:
    """The table of all cells; the numbers of a cell lead to its runs."""
    first = len(results.experiment.factors)
    rows = []
    for i, (row, found) in enumerate(zip(table.rows, results.rows, strict=True)):
        cells = [escape(text) for text in row]
        target = f"{found.trials[0].path}/report.html" if len(found.trials) == 1 else f"#cell-{i}"
        ended = found.n > 0
        linked = [f'<a href="{escape(target)}">{c}</a>' if c and ended else c for c in cells[first:]]
        rows.append([*cells[:first], *linked])
    return _html(table, rows)


def _sure(compared: Compared) -> list[bool]:
    """Mark the tests of a comparison that are significant, by Holm."""
    return [test.corrected is not None and test.corrected < ALPHA for test in compared.tests]


def _table(table: Table, sure: Sequence[bool]) -> str:
    rows = [[escape(text) for text in row] for row in table.rows]
    rows = [[f"<span class=sure>{c}</span>" if s else c for c in row] for row, s in zip(rows, sure, strict=True)]
    return _html(table, rows)


def _html(table: Table, rows: Sequence[Sequence[str]]) -> str:
    kinds = [" class=l" if a == "<" else "" for a in table.align]
    head = "".join(f"<th{k}>{escape(h)}</th>" for h, k in zip(table.header, kinds, strict=True))
    body = "".join(f"<tr>{''.join(f'<td{k}>{c}</td>' for c, k in zip(row, kinds, strict=True))}</tr>" for row in rows)
    notes = "".join(f"<p class=notes>{marked(note)}</p>" for note in table.notes)
    return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>{notes}"


def _runs(results: Results, align: str) -> str:
    """Every run with its numbers; its name leads to its own report."""
    e = results.experiment
    measures = e.wanted()
    factors = [f.path for f in e.factors]
    kinds = [" class=l" if a == "<" else "" for a in align[: len(factors)]]
    head = "".join(f"<th{k}>{escape(p)}</th>" for p, k in zip(factors, kinds, strict=True))
    head += "<th>seed</th>" + "".join(f"<th>{escape(heading(m))}</th>" for m in measures)
    body = "".join(line for i, row in enumerate(results.rows) for line in _lines(i, row, factors, kinds, measures))
    count = results.ended
    opened = " open" if count <= OPEN else ""
    table = f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    return f"<details{opened} id=runs><summary>{plural(count, 'run')}</summary>{table}</details>"


def _lines(number: int, row: Row, factors: Sequence[str], kinds: Sequence[str], measures: Sequence[str]) -> list[str]:
    failed = {trial.path: why for trial, why in row.failed}
    lines: list[str] = []
    for trial, run in zip(row.trials, row.runs, strict=True):
        if run is None and trial.path not in failed:
            continue
        anchor = "" if lines else f' id="cell-{number}"'
        texts = zip(factors, kinds, strict=True)
        values = "".join(f"<td{k}>{escape(row.cell.values[p])}</td>" for p, k in texts)
        link = f'<a href="{escape(trial.path)}/report.html">{trial.seed}</a>'
        if run is None:
            numbers = f'<td class="l bad" colspan={len(measures)}>{escape(failed[trial.path])}</td>'
            link = str(trial.seed)
        else:
            amounts = (Amount(run[m], None, 1) if m in run else None for m in measures)
            numbers = "".join(f"<td>{escape(shown(m, a))}</td>" for m, a in zip(measures, amounts, strict=True))
        lines.append(f"<tr{anchor}>{values}<td>{link}</td>{numbers}</tr>")
    return lines
