"""Figures as SVG: lines, bars and scattered points with their deviations, each mark linked to its run or its cell.

Colours are classes (`c0` to `c7`), so that a page can have others in the dark; a file of its own brings its style.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise

from msgspec import Struct

from netdsl.experiment.results import Results, Row
from netdsl.experiment.statistics import deviation, mean
from netdsl.experiment.table import heading
from netdsl.planning.experiments import Figure
from netdsl.planning.measures import measure_kind
from netdsl.render.numbers import round_numbers

WIDTH, HEIGHT = 560, 340
LEFT, RIGHT, TOP, BOTTOM = 66, 18, 44, 52
COLOURS = 8
DODGE = 6.0
"""Pixels between the lines of two colours at one value."""

STYLE = """
.figure text{font:12px 'Helvetica Neue',Helvetica,Arial,sans-serif;fill:var(--m,#5b6676)}
.figure .title{font-size:14px;font-weight:600;fill:var(--t,#1e293b)}.figure .axis{fill:var(--t,#1e293b)}
.figure line{stroke:var(--l,#e3e8ef)}.figure .base{stroke:var(--m,#94a3b8)}
.figure polyline{fill:none;stroke-width:2;stroke-linejoin:round}.figure .spread{stroke-width:1.5}
.figure .mark{stroke:var(--b,#fff);stroke-width:1.5}.figure .run{fill-opacity:.75}
""" + "".join(
    f".figure .c{i}{{stroke:var(--c{i},{c})}}.figure .f{i}{{fill:var(--c{i},{c})}}"
    for i, c in enumerate(("#2563eb", "#d9480f", "#15803d", "#7c3aed", "#b45309", "#0e7490", "#be185d", "#475569"))
)


class Mark(Struct, frozen=True):
    """A point of a figure: where, how far its runs spread, what it is in words, and where it leads."""

    x: float
    y: float
    spread: float
    said: str
    link: str


class Series(Struct, frozen=True):
    """The marks of one colour."""

    name: str
    marks: tuple[Mark, ...]


class Axis(Struct, frozen=True):
    """Where numbers lie along an axis from `start` to `end`, and what stands at which of them."""

    start: float
    end: float
    low: float
    high: float
    log: bool
    ticks: tuple[tuple[float, str], ...]

    def at(self, value: float) -> float:
        """The place of a number in the image."""
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (value - low) / (high - low or 1.0) * (self.end - self.start)


def svg(results: Results, figure: Figure, alone: bool = False) -> str:
    """A figure; `alone`: as a file of its own. Where nothing has been measured yet, it says so."""
    series = _series(results, figure)
    title = figure.title or _title(figure)
    head = f'<svg class="figure" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
    head += f'aria-label="{escape(title)}">'
    style = f"<style>{STYLE}</style><rect width='{WIDTH}' height='{HEIGHT}' fill='#fff'/>" if alone else ""
    parts = [head, style, f'<text x="{LEFT - 46}" y="20" class="title">{escape(title)}</text>']
    if any(s.marks for s in series):
        parts += _body(results, figure, series)
    else:
        parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT / 2}" text-anchor="middle">nothing is measured yet</text>')
    return "".join([*parts, "</svg>"])


def caption(results: Results, figure: Figure) -> str:
    """What the marks of a figure are means over."""
    if figure.kind == "scatter":
        return "Each point is a run."
    others = [f.path for f in results.experiment.factors if f.path not in (figure.x, figure.color)]
    over = ["seeds"] * (results.experiment.seeds > 1) + others
    return f"Mean and standard deviation over {' and '.join(over)}." if over else "Each mark is a run."


def _title(figure: Figure) -> str:
    title = f"{_name(figure.y)} by {_name(figure.x)}"
    return f"{title} and {figure.color}" if figure.color else title


def _name(path: str) -> str:
    kind = measure_kind(path)
    return kind.said if kind is not None else path


def _scale(measure: str) -> float:
    kind = measure_kind(measure)
    return 100.0 if kind is not None and kind.fraction else 1.0


# What is shown


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
    return [Series(name, tuple(_means(results, figure, rows))) for name, rows in groups]


def _runs(results: Results, figure: Figure, rows: Sequence[Row]) -> Iterator[Mark]:
    """A mark for each run."""
    names = _categories(results, figure)
    scale = _scale(figure.y)
    for row in rows:
        for trial, run in zip(row.trials, row.runs, strict=True):
            x, y = _x(row, run or {}, figure, names), (run or {}).get(figure.y)
            if x is not None and y is not None and math.isfinite(y):
                said = f"{trial.label}: {_name(figure.y)} {scale * y:.4g}"
                yield Mark(x, scale * y, 0.0, said, f"{trial.path}/report.html")


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
            x, y = _x(row, run or {}, figure, names), (run or {}).get(figure.y)
            if x is not None and y is not None and math.isfinite(y):
                values.setdefault(x, []).append(scale * y)
    for x in sorted(values):
        center, spread = mean(values[x]), deviation(values[x]) or 0.0
        at = names[round(x)] if names else f"{x:g}"
        count = f", {len(values[x])} runs" if len(values[x]) > 1 else ""
        said = f"{figure.x} = {at}: {_name(figure.y)} {center:.4g}"
        said += f" \N{PLUS-MINUS SIGN} {spread:.2g}{count}" if spread else count
        yield Mark(x, center, spread, said, "#runs")


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


# How it is drawn


def _body(results: Results, figure: Figure, series: Sequence[Series]) -> Iterator[str]:
    across, up = _across(results, figure, series), _up(figure, series)
    yield from _grid(figure, across, up)
    if figure.kind == "bars":
        yield from _bars(series, across, up)
    else:
        beside = DODGE if figure.kind == "line" else 0.0
        for number, one in enumerate(series):
            shift = (number - (len(series) - 1) / 2) * beside
            yield from _curve(number, one, across, up, shift, joined=figure.kind == "line")
    if len(series) > 1:
        yield from _legend(figure, series)


def _across(results: Results, figure: Figure, series: Sequence[Series]) -> Axis:
    names = _categories(results, figure)
    start, end = float(LEFT), float(WIDTH - RIGHT)
    if names:
        return Axis(start, end, -0.5, len(names) - 0.5, False, tuple((float(i), n) for i, n in enumerate(names)))
    values = sorted({m.x for s in series for m in s.marks})
    log = values[0] > 0 and (figure.xscale == "log" or (not figure.xscale and _is_geometric(values)))
    few = tuple((v, _short(v)) for v in values) if len(values) <= 8 and figure.kind == "line" else ()
    inset = 0.04 * (end - start)
    return _axis(start + inset, end - inset, values, log, few)


def _up(figure: Figure, series: Sequence[Series]) -> Axis:
    marks = [m for s in series for m in s.marks]
    log = figure.yscale == "log" and all(m.y > 0 for m in marks)
    values = [v for m in marks for v in (m.y - m.spread, m.y + m.spread) if not log or v > 0] + [m.y for m in marks]
    if figure.kind == "bars" and not log:
        values.append(0.0)
    return _axis(float(HEIGHT - BOTTOM), float(TOP + 8), sorted(values), log, (), round_ends=True)


def _axis(
    start: float, end: float, values: Sequence[float], log: bool, ticks: tuple[tuple[float, str], ...],
    round_ends: bool = False,
) -> Axis:  # fmt: skip
    """An axis over values, with round numbers at its ticks unless `ticks` are given."""
    low, high = values[0], values[-1]
    if log:
        lowest, highest = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
        highest += lowest == highest
        if round_ends or not ticks:
            low, high = 10.0**lowest, 10.0**highest
        powers = tuple((10.0**p, _short(10.0**p)) for p in range(lowest, highest + 1))
        return Axis(start, end, low, high, True, ticks or powers)
    marks = round_numbers(low, high, 6)
    if round_ends or not ticks:
        low, high = marks[0], marks[-1]
    return Axis(start, end, low, high, False, ticks or tuple((m, _short(m)) for m in marks))


def _is_geometric(values: Sequence[float]) -> bool:
    """Whether numbers are spread by ratio: above 0, over a decade or more, the ratios nearer to each other than the
    steps are."""
    if len(values) < 3 or values[0] <= 0 or values[-1] < 10 * values[0]:
        return False
    ratios = [b / a for a, b in pairwise(values)]
    steps = [b - a for a, b in pairwise(values)]
    return max(ratios) / min(ratios) < max(steps) / min(steps)


def _short(value: float) -> str:
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.3g}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:.6g}"


def _grid(figure: Figure, across: Axis, up: Axis) -> Iterator[str]:
    """Lines at the ticks of the upright axis, and what stands at the ticks of both."""
    for value, text in up.ticks:
        y = up.at(value)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    base = HEIGHT - BOTTOM
    yield f'<line class="base" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>'
    room = (across.end - across.start) / max(1, len(across.ticks))
    longest = max((len(t) for _, t in across.ticks), default=0)
    for value, text in across.ticks:
        x = across.at(value)
        shown = text if 6.4 * longest < room or len(across.ticks) < 3 else _cut(text, int(room / 6.4))
        label = f"<title>{escape(text)}</title>{escape(shown)}"
        yield f'<text x="{x:.1f}" y="{base + 18}" text-anchor="middle">{label}</text>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    below, beside = _heading(figure.x), _heading(figure.y)
    yield f'<text class="axis" x="{middle}" y="{HEIGHT - 10}" text-anchor="middle">{escape(below)}</text>'
    turned = f'transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)"'
    yield f'<text class="axis" {turned} text-anchor="middle">{escape(beside)}</text>'


def _heading(path: str) -> str:
    return heading(path) if measure_kind(path) is not None else path


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[: max(1, characters - 1)]}\N{HORIZONTAL ELLIPSIS}"


def _curve(number: int, series: Series, across: Axis, up: Axis, shift: float, joined: bool) -> Iterator[str]:
    """The marks of one colour, `shift` pixels to the right so that the deviations of others stay visible."""
    colour = number % COLOURS
    if joined and len(series.marks) > 1:
        points = " ".join(f"{across.at(m.x) + shift:.1f},{up.at(m.y):.1f}" for m in series.marks)
        yield f'<polyline class="c{colour}" points="{points}"/>'
    for m in series.marks:
        x, y = across.at(m.x) + shift, up.at(m.y)
        spread = _spread(colour, x, m, up) if m.spread else ""
        kind = "mark" if joined else "mark run"
        dot = f'<circle class="{kind} f{colour}" cx="{x:.1f}" cy="{y:.1f}" r="{4.5 if joined else 5}"/>'
        yield _linked(m, series.name, spread + dot)


def _spread(colour: int, x: float, mark: Mark, up: Axis) -> str:
    """A mark's deviation as an upright line with ends."""
    top = up.at(mark.y + mark.spread)
    low = mark.y - mark.spread
    bottom = up.start if up.log and low <= 0 else up.at(max(low, up.low))
    ends = "".join(
        f'<line class="spread c{colour}" x1="{x - 4:.1f}" x2="{x + 4:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        for y in (top, bottom)
    )
    return f'<line class="spread c{colour}" x1="{x:.1f}" x2="{x:.1f}" y1="{top:.1f}" y2="{bottom:.1f}"/>{ends}'


def _bars(series: Sequence[Series], across: Axis, up: Axis) -> Iterator[str]:
    """Bars beside each other at every value of x, with their deviations."""
    slot = (across.end - across.start) / max(1, len(across.ticks))
    width = min(64.0, 0.76 * slot / len(series))
    base = up.at(max(up.low, 0.0)) if not up.log else up.start
    for number, one in enumerate(series):
        colour = number % COLOURS
        for m in one.marks:
            x = across.at(m.x) + (number - (len(series) - 1) / 2) * width
            top, height = min(up.at(m.y), base), abs(up.at(m.y) - base)
            bar = f'<rect class="mark f{colour}" x="{x - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" '
            bar += f'height="{height:.1f}"/>'
            spread = f'<g class="dark">{_spread(7, x, m, up)}</g>' if m.spread else ""
            yield _linked(m, one.name, bar + spread)


def _linked(mark: Mark, series: str, drawn: str) -> str:
    said = f"{series}, {mark.said}" if series else mark.said
    return f'<a href="{escape(mark.link)}"><title>{escape(said)}</title>{drawn}</a>'


def _legend(figure: Figure, series: Sequence[Series]) -> Iterator[str]:
    """The colours and their names, above the figure, from the right."""
    names = [_cut(s.name, 24) for s in series]
    x = float(LEFT)
    yield f'<text x="{x:.0f}" y="{TOP - 4}">{escape(figure.color)}</text>'
    x += 6.6 * len(figure.color) + 12
    for number, name in enumerate(names):
        yield f'<circle class="f{number % COLOURS}" cx="{x + 4:.1f}" cy="{TOP - 8}" r="4"/>'
        yield f'<text x="{x + 12:.1f}" y="{TOP - 4}">{escape(name)}</text>'
        x += 24 + 6.8 * len(name)
