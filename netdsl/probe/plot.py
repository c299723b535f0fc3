"""A plot as SVG: curves with marks at round numbers, the upright axis plain or logarithmic."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from netdsl.probe.model import Plot
from netdsl.render.numbers import round_numbers

WIDTH, HEIGHT = 480, 260
LEFT, RIGHT, TOP, BOTTOM = 58, 12, 30, 40
COLOURS = 6

Points = list[tuple[float, float]]
Axis = tuple[float, float, list[float]]
"""Where an axis starts and ends in the image, and the numbers at its marks."""


def plot(made: Plot) -> str:
    """The SVG of a plot; empty where no point can be drawn. Curves have the classes s0 to s5, their names n0 to n5."""
    series = {name: _shown(points, made.logarithmic) for name, points in made.series.items()}
    series = {name: points for name, points in series.items() if points}
    if not series:
        return ""
    every = [p for points in series.values() for p in points]
    x_marks, y_marks = (round_numbers(min(v), max(v)) for v in zip(*every, strict=True))
    across, up = (LEFT, WIDTH - RIGHT, x_marks), (HEIGHT - BOTTOM, TOP, y_marks)
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(made.title)}">'
    title = f'<text x="{LEFT}" y="16" class="title">{escape(made.title)}</text>'
    lines = (_curve(i, name, points, across, up, len(series) > 1) for i, (name, points) in enumerate(series.items()))
    return "".join([head, title, *_grid(made, across, up), *lines, "</svg>"])


def _grid(made: Plot, across: Axis, up: Axis) -> list[str]:
    """Lines at the marks of the upright axis, and what stands at the marks of both."""
    parts = []
    for value in up[2]:
        y = _at(value, up)
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        label = f"{10**value:.3g}" if made.logarithmic else f"{value:.4g}"
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{label}</text>')
    for value in across[2]:
        x = _at(value, across)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 24}" text-anchor="middle">{value:.4g}</text>')
    below = f'x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end"'
    return [*parts, f"<text {below}>{escape(made.across)}</text>"]


def _curve(number: int, name: str, points: Points, across: Axis, up: Axis, named: bool) -> str:
    """One curve, what theory says in dashes, with its name where there are several."""
    line = " ".join(f"{_at(x, across):.1f},{_at(y, up):.1f}" for x, y in points)
    dashed = ' stroke-dasharray="5 4"' if "theory" in name else ""
    curve = f'<polyline class="s{number % COLOURS}" points="{line}"{dashed}/>'
    place = f'x="{WIDTH - RIGHT - 4}" y="{TOP + 12 + 14 * number}" text-anchor="end"'
    return curve + (f'<text class="n{number % COLOURS}" {place}>{escape(name)}</text>' if named else "")


def _shown(points: Sequence[tuple[float, float]], logarithmic: bool) -> Points:
    """The points that can be drawn: finite ones, and above 0 where the axis is logarithmic, as their logarithms."""
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    return [(x, math.log10(y)) for x, y in finite if y > 0] if logarithmic else finite


def _at(value: float, axis: Axis) -> float:
    """Where a number lies on an axis whose outermost marks are its ends."""
    start, end, ticks = axis
    return start + (value - ticks[0]) / max(1e-300, ticks[-1] - ticks[0]) * (end - start)
