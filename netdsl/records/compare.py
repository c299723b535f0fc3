"""Runs beside each other: what they reached, what they were told, how they got there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from netdsl.inference.run_folder import SPEC
from netdsl.recipe.metrics import METRICS, title
from netdsl.records.names import told_apart
from netdsl.records.record import MEASURED, SIGNALS, Field, Record, varying
from netdsl.records.table import cell_text
from netdsl.render.paint import PLAIN, Paint
from netdsl.render.table import RULE, Cell, columns

WIDEST = 44
"""The longest setting that stands in a column."""


def results(records: Sequence[Record]) -> dict[str, list[Field | None]]:
    """The state, the metrics, the last signals of `train --probe` and the time of each run, by field."""
    shown = [{**r.fields, **r.signals} for r in records]
    known = [n for n in ("net", "state", "step", *MEASURED, *SIGNALS, "seconds") if any(n in one for one in shown)]
    found: dict[str, list[Field | None]] = {n: [one.get(n) for one in shown] for n in known}
    return {n: v for n, v in found.items() if n not in ("net", "state") or any(x != v[0] for x in v)}


def best(name: str, values: Sequence[Field | None]) -> int | None:
    """The index of the run with the best value of a metric; None where none has, or all have the same."""
    numbers = [(v, i) for i, v in enumerate(values) if isinstance(v, float)]
    if name not in MEASURED or len({v for v, _ in numbers}) < 2:
        return None
    higher = name in METRICS and METRICS[name].higher
    return (max if higher else min)(numbers, key=lambda pair: pair[0])[1]


def marks(name: str, values: Sequence[Field | None]) -> list[bool]:
    """Mark the runs that have the best value of a metric."""
    first = best(name, values)
    return [first is not None and v == values[first] for v in values]


def specs_differ(records: Sequence[Record]) -> bool:
    """Whether the runs' specs are different texts."""
    return len({(r.folder / SPEC).read_bytes() if (r.folder / SPEC).is_file() else b"" for r in records}) > 1


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
    names = told_apart([r.folder for r in records])
    differ = varying(records)
    long = [n for n, values in differ.items() if max(len(cell_text(n, v)) for v in values) > WIDEST]
    short = [[n, *(cell_text(n, v) for v in values)] for n, values in differ.items() if n not in long]
    rows: list[Any] = [
        ["", *(Cell(n, "bold") for n in names)],
        RULE,
        *_result_rows(records),
        *([RULE] if short else []),
    ]
    parts = [columns([*rows, *short], "<" + ">" * len(records), paint, margin="")]
    for name in long:
        parts += ["", name, *(f"  {n}: {cell_text(name, v)}" for n, v in zip(names, differ[name], strict=True))]
    return "\n".join([*parts, *_remarks(records, differ)])


def _remarks(records: Sequence[Record], differ: Mapping[str, object]) -> Iterator[str]:
    if not differ:
        yield "\nthe recipes are the same"
    if specs_differ(records):
        a, b = (f"{r.folder / SPEC}:{r.about.net}" for r in records[:2])
        yield f"\nthe specs differ: `netdsl diff {a} {b}`"


def _result_rows(records: Sequence[Record]) -> Iterator[list[str | Cell]]:
    for name, values in results(records).items():
        yield [title(name), *(_cell(name, v, b) for v, b in zip(values, marks(name, values), strict=True))]


def _cell(name: str, value: Field | None, first: bool) -> Cell:
    return Cell(f"{cell_text(name, value)}{' *' if first else ''}", "hint" if first else "")
