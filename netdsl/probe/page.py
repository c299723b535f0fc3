"""The findings of a probe as one HTML file: sentences first, then plots and tables."""

from __future__ import annotations

from netdsl.probe.model import Finding, Probed
from netdsl.probe.plot import plot
from netdsl.probe.text import number
from netdsl.render.figure import NIGHT, STYLE, stacked
from netdsl.render.markup import escape
from netdsl.render.output import marked
from netdsl.version import __version__

SHEET = (
    """
:root{--b:#fff;--t:#1e293b;--m:#64748b;--l:#d5dce5;color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{@night}}
body{margin:2rem auto;max-width:62rem;padding:0 1rem;background:var(--b);color:var(--t);
font:15px/1.45 'Helvetica Neue',Helvetica,Arial,sans-serif}
h1{font-size:1.5rem;margin:0}h2{font-size:1.15rem;margin:2rem 0 .4rem;border-top:1px solid var(--l);padding-top:1.2rem}
p{margin:.2rem 0}code{font-size:.92em}.note{color:var(--m)}
.plots{display:flex;flex-wrap:wrap;gap:1.2rem;margin:1rem 0}
svg{width:29rem;max-width:100%}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
td,th{padding:.15rem .9rem .15rem 0;text-align:right;font-weight:400}
th{color:var(--m);border-bottom:1px solid var(--l)}.text{text-align:left}
details summary{cursor:pointer;color:var(--m);margin:.4rem 0}
""".replace("@night", NIGHT)
    + STYLE
)

OPEN = 14
"""A table of so many rows is open at first."""


def page(found: Probed) -> str:
    """All findings as one HTML file that needs nothing else."""
    notes = "".join(f"<p class=note>{marked(n)}</p>" for n in found.notes)
    parts = "".join(map(_finding, found.findings))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(found.net)}: probe</title><meta name="generator" content="netdsl {escape(__version__)}">
<style>{SHEET}</style></head><body><h1>{escape(found.net)}</h1>{notes}{parts}</body></html>
"""


def drawings(found: Probed) -> str:
    """All plots as one SVG file, one below the other."""
    return stacked([plot(p, alone=True) for f in found.findings for p in f.plots])


def _finding(finding: Finding) -> str:
    said = "".join(f"<p>{marked(line)}</p>" for line in finding.said)
    plots = "".join(map(plot, finding.plots))
    return f"<h2>{escape(finding.signal)}</h2>{said}<div class=plots>{plots}</div>{_table(finding)}"


def _table(finding: Finding) -> str:
    if not finding.rows:
        return ""
    kinds = [" class=text" if isinstance(c, str) else "" for c in finding.rows[0]]
    head = "".join(f"<th{k}>{escape(c)}</th>" for c, k in zip(finding.columns, kinds, strict=True))
    rows = "".join(
        f"<tr>{''.join(f'<td{k}>{escape(number(c))}</td>' for c, k in zip(row, kinds, strict=True))}</tr>"
        for row in finding.rows
    )
    opened = " open" if len(finding.rows) <= OPEN else ""
    table = f"<table><tr>{head}</tr>{rows}</table>"
    return f"<details{opened}><summary>{len(finding.rows):,} rows</summary>{table}</details>"
