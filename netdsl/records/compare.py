"""Runs beside each other: what they reached, what they were told, how they got there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netdsl.inference.run_folder import SPEC
from netdsl.recipe.metrics import METRICS, title
from netdsl.records.record import MEASURED, Field, Record, varying
from netdsl.records.table import cell_text
from netdsl.render.paint import PLAIN, Paint
from netdsl.render.table import RULE, Cell, columns

WIDEST = 44
"""The longest setting that stands in a column."""


def results(records: Sequence[Record]) -> dict[str, list[Field | None]]:
    """The state, the metrics and the time of each run, by field."""
    known = [n for n in ("net", "state", "step", *MEASURED, "seconds") if any(n in r.fields for r in records)]
    found: dict[str, list[Field | None]] = {n: [r.fields.get(n) for r in records] for n in known}
    return {n: v for n, v in found.items() if n not in ("net", "state") or any(x != v[0] for x in v)}


def best(name: str, values: Sequence[Field | None]) -> int | None:
    """Which run has the best value of a metric; None where none has, or all have the same."""
    numbers = [(v, i) for i, v in enumerate(values) if isinstance(v, float)]
    if name not in MEASURED or len({v for v, _ in numbers}) < 2:
        return None
    higher = name in METRICS and METRICS[name].higher
    return (max if higher else min)(numbers, key=lambda pair: pair[0])[1]


def specs_differ(records: Sequence[Record]) -> bool:
    """Whether the runs' specs are different texts."""
    return len({(r.folder / SPEC).read_bytes() if (r.folder / SPEC).exists() else b"" for r in records}) > 1


def comparison_data(records: Sequence[Record]) -> dict[str, Any]:
    """The comparison as JSON values; lists are in the order of the runs."""
    return {
        "runs": [r.name for r in records],
        "results": results(records),
        "best": {n: records[i].name for n, v in results(records).items() if (i := best(n, v)) is not None},
        "settings": varying(records),
        "same_spec": not specs_differ(records),
    }


def comparison_text(records: Sequence[Record], paint: Paint = PLAIN) -> str:
    """The comparison for a terminal: results, then the settings that differ. The best value of a metric is marked."""
    names = short_names(records)
    rows: list[Any] = [["", *(Cell(n, "bold") for n in names)], RULE]
    for name, values in results(records).items():
        first = best(name, values)
        rows.append([title(name), *(_cell(name, v, i == first) for i, v in enumerate(values))])
    differ = varying(records)
    short = {n: v for n, v in differ.items() if all(len(cell_text(n, x)) <= WIDEST for x in v)}
    rows += [RULE, *([n, *(Cell(cell_text(n, v)) for v in values)] for n, values in short.items())] if short else []
    parts = [columns(rows, "<" + ">" * len(records), paint, margin="")]
    for name in differ.keys() - short.keys():
        parts += ["", name, *(f"  {n}: {cell_text(name, v)}" for n, v in zip(names, differ[name], strict=True))]
    if not differ:
        parts += ["", "the recipes are the same"]
    if specs_differ(records):
        a, b = (f"{r.folder / SPEC}:{r.about.net}" for r in records[:2])
        parts += ["", f"the specs differ: `netdsl diff {a} {b}`"]
    return "\n".join(parts)


def _cell(name: str, value: Field | None, first: bool) -> Cell:
    return Cell(f"{cell_text(name, value)}{' *' if first else ''}", "hint" if first else "")


def short_names(records: Sequence[Record]) -> list[str]:
    """The folders' names; whole paths where two have the same name."""
    names = [Path(r.folder).resolve().name for r in records]
    return names if len(set(names)) == len(names) else [r.name for r in records]
