"""The charts of an experiment's figures: marks of runs or of their means, each linked to its run or its cell."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from netdsl.experiment.results import Results, Row
from netdsl.experiment.statistics import deviation, mean
from netdsl.experiment.table import heading
from netdsl.planning.experiments import Figure
from netdsl.planning.measures import measure_kind
from netdsl.render.figure import Chart, Mark, Series, draw


def svg(results: Results, figure: Figure, alone: bool = False) -> str:
    """A figure; `alone`: as a file of its own. Where nothing has been measured yet, it says so."""
    results = replace(results, rows=tuple(row for row in results.rows if figure.shows(row.cell)))
    chart = Chart(
        title=figure.title or _title(figure), kind=figure.kind, across=_heading(figure.x), up=_heading(figure.y),
        series=tuple(_series(results, figure)), names=_categories(results, figure), legend=figure.color,
        xlog={"log": True, "linear": False, "": None}[figure.xscale], ylog=figure.yscale == "log",
        most=_scale(figure.y) if _scale(figure.y) > 1 else None,
    )  # fmt: skip
    return draw(chart, alone)


def caption(results: Results, figure: Figure) -> str:
    """A caption: what the marks of a figure are means over."""
    if figure.kind == "scatter":
        return "Each point is a run."
    shown = (figure.x, figure.color, *(path for path, _ in figure.only))
    others = [f.path for f in results.experiment.factors if f.path not in shown]
    over = ["seeds"] * (results.experiment.seeds > 1) + others
    return f"Mean and standard deviation over {' and '.join(over)}." if over else "Each mark is a run."


def _title(figure: Figure) -> str:
    title = f"{_name(figure.y)} by {_name(figure.x)}" + (f" and {figure.color}" if figure.color else "")
    only = ", ".join(f"{path} = {value}" for path, value in figure.only)
    return f"{title}, {only}" if only else title


def _heading(path: str) -> str:
    return heading(path) if measure_kind(path) is not None else path


def _name(path: str) -> str:
    kind = measure_kind(path)
    return kind.said if kind is not None else path


def _scale(measure: str) -> float:
    kind = measure_kind(measure)
    return 100.0 if kind is not None and kind.fraction else 1.0


def _series(results: Results, figure: Figure) -> list[Series]:
    """The marks of each colour: of every run for a scatter, else of the runs with one value of x together."""
    if figure.color:
        factor = next(f for f in results.experiment.factors if f.path == figure.color)
        names = list(factor.values) or list(dict.fromkeys(r.cell.values[figure.color] for r in results.rows))
        groups = [(n, [r for r in results.rows if r.cell.values[figure.color] == n]) for n in names]
    else:
        groups = [("", list(results.rows))]
    if figure.kind == "scatter":
        return [Series(name, tuple(_runs(results, figure, rows))) for name, rows in groups]
    return [
        Series(name, tuple(_means(results, figure, rows)), lost=tuple(_lost(results, figure, rows)))
        for name, rows in groups
    ]


def _runs(results: Results, figure: Figure, rows: Sequence[Row]) -> Iterator[Mark]:
    """A mark for each run."""
    names = _categories(results, figure)
    scale = _scale(figure.y)
    for row in rows:
        for trial, run in zip(row.trials, row.runs, strict=True):
            point = _point(row, run, figure, names)
            if point is not None:
                x, y = point[0], scale * point[1]
                yield Mark(x, y, 0.0, f"{trial.label}: {_name(figure.y)} {y:.4g}", f"{trial.path}/report.html")


def _point(row: Row, run: dict[str, float] | None, figure: Figure, names: Sequence[str]) -> tuple[float, float] | None:
    """Where a run stands, with y as measured; None of one that has not ended well or lacks a number."""
    if run is None:
        return None
    x, y = _x(row, run, figure, names), run.get(figure.y)
    return (x, y) if x is not None and y is not None and math.isfinite(y) else None


def _x(row: Row, run: dict[str, float], figure: Figure, names: Sequence[str]) -> float | None:
    if figure.x in row.cell.values:
        return _place(row.cell.values[figure.x], names)
    value = run.get(figure.x)
    return None if value is None else _scale(figure.x) * value


def _means(results: Results, figure: Figure, rows: Sequence[Row]) -> Iterator[Mark]:
    """A mark for each value of x: the mean of all runs with it."""
    names = _categories(results, figure)
    scale = _scale(figure.y)
    values: dict[float, list[float]] = {}
    for row in rows:
        for run in row.runs:
            point = _point(row, run, figure, names)
            if point is not None:
                values.setdefault(point[0], []).append(scale * point[1])
    for x in sorted(values):
        center, spread = mean(values[x]), deviation(values[x]) or 0.0
        at = names[round(x)] if names else f"{x:g}"
        count = f", {len(values[x])} runs" if len(values[x]) > 1 else ""
        said = f"{figure.x} = {at}: {_name(figure.y)} {center:.4g}"
        said += f" \N{PLUS-MINUS SIGN} {spread:.2g}{count}" if spread else count
        yield Mark(x, center, spread, said, "#runs")


def _lost(results: Results, figure: Figure, rows: Sequence[Row]) -> Iterator[Mark]:
    """A mark for each value of x of which every run failed."""
    names = _categories(results, figure)
    alike: dict[str, list[Row]] = {}
    for row in rows:
        if figure.x in row.cell.values:
            alike.setdefault(row.cell.values[figure.x], []).append(row)
    for value, those in alike.items():
        x = _place(value, names)
        if x is not None and all(len(row.failed) == len(row.trials) for row in those):
            yield Mark(x, 0.0, 0.0, f"{figure.x} = {value}: all runs failed", "#runs")


def _categories(results: Results, figure: Figure) -> tuple[str, ...]:
    """The values along x where they are no numbers, or bars; empty where x is a number."""
    factor = next((f for f in results.experiment.factors if f.path == figure.x), None)
    if factor is None or factor.range is not None:
        return ()
    numeric = all(_number(v) is not None for v in factor.values)
    return () if numeric and figure.kind != "bars" else factor.values


def _place(value: str, names: Sequence[str]) -> float | None:
    return float(names.index(value)) if names else _number(value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
