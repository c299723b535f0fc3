"""Results as tables: for a terminal, in Markdown, in LaTeX, and as JSON."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from netdsl.experiment.results import PRUNED, Amount, Compared, Results, Row, Test
from netdsl.planning.experiments import ALPHA
from netdsl.planning.measures import MeasureKind, measure_kind
from netdsl.render.numbers import plural
from netdsl.render.paint import PLAIN, Paint, visible
from netdsl.render.table import columns, markdown

LARGE = 1e6
"""Measures from here on are printed with a power of ten: losses that have grown out of all bounds."""

INTEGER = ("params", "buffers", "macs", "steps", "samples")


class Table(Struct, frozen=True):
    """A heading, columns (`align`: `<` or `>` each; the first `keys` name the row) and rows of text, and what is to be
    said below."""

    title: str
    header: tuple[str, ...]
    align: str
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    keys: int = 1


def tables(results: Results) -> list[Table]:
    """The table of all cells, and one for each comparison."""
    return [_cells(results), *(_comparison(results, c) for c in results.compared)]


def _cells(results: Results) -> Table:
    e = results.experiment
    factors = [f.path for f in e.factors]
    several = e.seeds > 1
    header = (*factors, *(["n"] if several else []), *(heading(m) for m in e.measures))
    rows = []
    for row in results.rows:
        amounts = [shown(m, row.amounts.get(m)) for m in e.measures]
        rows.append((*(row.cell.values[p] for p in factors), *([str(row.n)] if several else []), *amounts))
    align = "".join("<" if any(not _is_number(r[i]) for r in rows) else ">" for i in range(len(factors)))
    align += ">" * (len(header) - len(factors))
    return Table(e.name, header, align, tuple(rows), tuple(_notes(results)), len(factors))


def _notes(results: Results) -> Iterator[str]:
    if results.experiment.seeds > 1:
        yield "mean \N{PLUS-MINUS SIGN} standard deviation over n runs"
    pruned = sum(why == PRUNED for row in results.rows for _, why in row.failed)
    if pruned:
        yield f"{plural(pruned, 'trial')} pruned"
    missing = results.total - results.ended
    if missing:
        yield f"{missing:,} of {results.total:,} runs have not ended"
    for row in results.rows:
        for trial, why in row.failed:
            if why != PRUNED:
                yield f"{trial.label} failed: {why}"


def _comparison(results: Results, compared: Compared) -> Table:
    c = compared.comparison
    factors = [f.path for f in results.experiment.factors]
    kind = _kind(c.measure)
    several = len(compared.tests) > 1
    header = (*factors, "n", f"difference{_unit(kind, ' in points')}", f"{1 - ALPHA:.0%} interval", "p")
    header += ("p (Holm)",) if several else ()
    rows = tuple((*(t.cell.values[p] for p in factors), *_test(t, kind, several)) for t in compared.tests)
    align = "".join("<" if any(not _is_number(r[i]) for r in rows) else ">" for i in range(len(factors)))
    note = "differences of runs with the same seed; Student's t interval; exact two-sided sign-flip test"
    note += f"; Holm over {len(compared.tests)} tests" if several else ""
    title = f"{kind.said} against {c.path} = {c.against}"
    return Table(title, header, align + ">" * (len(header) - len(factors)), rows, (note,), len(factors))


def _test(test: Test, kind: MeasureKind, several: bool) -> list[str]:
    if test.found is None:
        return ["0", "", "", "", *([""] if several else [])]
    scale = 100 if kind.fraction else 1
    found = test.found
    low, high = found.interval or (math.nan, math.nan)
    digits = _digits(scale * (high - low) / 4 if found.interval else scale * abs(found.mean) / 10, kind)
    interval = f"[{scale * low:+.{digits}f}, {scale * high:+.{digits}f}]" if found.interval else ""
    ps = [p_text(found.p), *([p_text(test.corrected)] if several else [])]
    return [str(found.pairs), f"{scale * found.mean:+.{digits}f}", interval, *ps]


def p_text(p: float | None) -> str:
    """A p as it is printed: two digits that count."""
    return "" if p is None else f"{p:.2g}" if p >= 0.001 else "< 0.001"


def heading(measure: str) -> str:
    """The column of a measure."""
    kind = _kind(measure)
    return f"{kind.said}{_unit(kind, ' %')}"


def _unit(kind: MeasureKind, unit: str) -> str:
    return unit if kind.fraction else ""


def _kind(measure: str) -> MeasureKind:
    found = measure_kind(measure)
    assert found is not None
    return found


def shown(measure: str, amount: Amount | None) -> str:
    """A measure as it is printed: `93.12 +- 0.41`, with as many digits as its deviation gives sense to."""
    if amount is None or math.isnan(amount.mean):
        return "" if amount is None else "nan"
    kind = _kind(measure)
    if measure in INTEGER:
        return f"{amount.mean:,.0f}"
    scale = 100 if kind.fraction else 1
    spread = scale * (amount.deviation or 0)
    if not kind.fraction and max(abs(amount.mean), spread) >= LARGE:
        around = "" if amount.deviation is None else f" \N{PLUS-MINUS SIGN} {spread:.2g}"
        return f"{amount.mean:.3g}{around}"
    digits = _digits(spread or scale * abs(amount.mean) / 100, kind)
    if amount.deviation is None:
        return f"{scale * amount.mean:,.{digits}f}"
    return f"{scale * amount.mean:,.{digits}f} \N{PLUS-MINUS SIGN} {spread:.{digits}f}"


def _digits(spread: float, kind: MeasureKind) -> int:
    """Decimals with which a spread has two digits; a fraction, in percent, has one or two."""
    if not spread or not math.isfinite(spread):
        return 2
    wanted = max(0, min(6, 1 - math.floor(math.log10(spread))))
    return max(1, min(2, wanted)) if kind.fraction else wanted


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def text(results: Results, paint: Paint = PLAIN) -> str:
    """The tables for a terminal."""
    parts = []
    for table in tables(results):
        rows = [[*table.header], None, *([*row] for row in table.rows)]
        lines = [paint(table.title, "bold"), columns(rows, table.align, paint, keys=table.keys)]
        parts.append("\n".join([*lines, *(f"  {note}" for note in table.notes)]))
    return "\n\n".join(parts) + "\n"


def as_markdown(results: Results) -> str:
    """The tables in Markdown."""
    parts = []
    for table in tables(results):
        notes = "".join(f"\n\n{note}" for note in table.notes)
        parts.append(f"### {table.title}\n\n{markdown(table.header, table.rows, table.align)}{notes}")
    return "\n\n".join(parts) + "\n"


def latex(results: Results) -> str:
    """The tables in LaTeX, with booktabs' rules."""
    parts = []
    for table in tables(results):
        align = "".join("r" if a == ">" else "l" for a in table.align)
        lines = [_line(table.header), "\\midrule", *map(_line, table.rows)]
        sentences = " ".join(f"{written_in_latex(said)}." for said in (table.title, *table.notes))
        body = "\n".join(["\\toprule", *lines, "\\bottomrule"])
        caption = f"\\caption{{{sentences}}}"
        tabular = f"\\begin{{tabular}}{{{align}}}\n{body}\n\\end{{tabular}}"
        parts.append(f"\\begin{{table}}\n\\centering\n{tabular}\n{caption}\n\\end{{table}}")
    return "% \\usepackage{booktabs}\n" + "\n\n".join(parts) + "\n"


def _line(cells: Sequence[str]) -> str:
    return " & ".join(map(written_in_latex, cells)) + " \\\\"


_SPECIAL = {
    "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "\N{PLUS-MINUS SIGN}": "$\\pm$",
    "<": "$<$", ">": "$>$", **{c: f"\\{c}" for c in "&%$#_{}"},
}  # fmt: skip


def written_in_latex(text: str) -> str:
    """One line of text as LaTeX prints it."""
    shown = visible(text).replace("\N{REPLACEMENT CHARACTER}", "?")
    return re.sub(r"[\\~^&%$#_{}<>\N{PLUS-MINUS SIGN}]", lambda m: _SPECIAL[m[0]], shown)


def data(results: Results) -> dict[str, Any]:
    """The results as plain values, without rounding."""
    e = results.experiment
    return {
        "experiment": e.name,
        "net": e.net,
        "recipe": e.recipe,
        "measures": [*e.measures],
        "seeds": e.seeds,
        "runs": results.total,
        "ended": results.ended,
        "cells": [_row(row) for row in results.rows],
        "comparisons": [_compared(c) for c in results.compared],
    }


def _row(row: Row) -> dict[str, Any]:
    amounts = {m: {"mean": _finite(a.mean), "deviation": a.deviation, "n": a.n} for m, a in row.amounts.items()}
    runs = [{"seed": t.seed, "folder": t.path, **(r or {})} for t, r in zip(row.trials, row.runs, strict=True)]
    failed = [{"seed": t.seed, "folder": t.path, "why": why} for t, why in row.failed]
    return {"values": row.cell.values, "measures": amounts, "runs": runs, "failed": failed}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _compared(compared: Compared) -> dict[str, Any]:
    c = compared.comparison
    tests = [
        {
            "values": t.cell.values,
            "pairs": t.found.pairs if t.found else 0,
            "difference": t.found.mean if t.found else None,
            "interval": t.found.interval if t.found else None,
            "p": t.found.p if t.found else None,
            "p_holm": t.corrected,
        }
        for t in compared.tests
    ]
    return {"measure": c.measure, "against": {c.path: c.against}, "tests": tests}
