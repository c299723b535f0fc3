"""Small images in text: curves as SVG, tensors as PNG data, tables of counts."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from netdsl.render.markup import escape
from netdsl.render.numbers import round_numbers

if TYPE_CHECKING:
    from torch import Tensor

Series = Sequence[tuple[float, float]]
WIDTH, HEIGHT = 460, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 34, 36
"""The margins of a chart, in pixels."""
DIGIT = 6.5
"""How wide a digit is, in pixels, at most."""


def curves(title: str, series: Mapping[str, Series], noisy: bool = True, named: bool = True) -> str:
    """A chart over steps as SVG text, a line for each series; long `noisy` ones lie faint under their smoothed course.
    `named`: each line is labelled; without it the page has a legend, whose colours are by place in `series`.

    Points that are not finite (in a log: null) are left out; empty for series without others.
    """
    finite = {name: _finite(line) for name, line in series.items()}
    places = {n: i for i, n in enumerate(n for n, line in finite.items() if line or not named)}
    shown = {n: line for n, line in finite.items() if line}
    if not shown:
        return ""
    xs, ys = zip(*(p for line in shown.values() for p in line), strict=True)
    frame = _Frame(round_numbers(min(xs), max(xs)), round_numbers(min(ys), max(ys)))
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    parts += [f'<text x="8" y="16" class="title">{escape(title)}</text>', *frame.grid()]
    for name, line in shown.items():
        parts += frame.series(line, places[name], noisy)
    labels = places.items() if named and len(shown) > 1 else ()
    parts += [f'<text x="{WIDTH - RIGHT}" y="{15 + 14 * i}" class="name{i}">{escape(n)}</text>' for n, i in labels]
    return "".join([*parts, "</svg>"])


def _finite(line: Series) -> list[tuple[float, float]]:
    """The points of a line but for those that are not finite or, from a log, None."""
    return [p for p in line if all(v is not None and math.isfinite(v) for v in p)]


def scatter(title: str, truth: Sequence[float], guess: Sequence[float]) -> str:
    """Predictions over the truth as SVG text, both on one scale, with the line on which they are equal."""
    points = [(t, g) for t, g in zip(truth, guess, strict=True) if math.isfinite(t) and math.isfinite(g)]
    if not points:
        return ""
    low, high = min(map(min, points)), max(map(max, points))
    frame = _Frame(round_numbers(low, high), round_numbers(low, high))
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">']
    parts += [f'<text x="8" y="16" class="title">{escape(title)}</text>', *frame.grid("truth")]
    parts.append(f'<text x="{LEFT}" y="{TOP - 6}">prediction</text>')
    parts.append(frame.line([(x, x) for x in (frame.x[0], frame.x[-1])], "equal"))
    parts += [f'<circle cx="{frame.across(t):.1f}" cy="{frame.up(g):.1f}" r="2.5" class="dot"/>' for t, g in points]
    return "".join([*parts, "</svg>"])


class _Frame:
    """Where numbers lie on a chart; the outermost marks are its borders."""

    def __init__(self, x: list[float], y: list[float]) -> None:
        self.x, self.y = x, y

    def across(self, value: float) -> float:
        part = (value - self.x[0]) / max(1e-12, self.x[-1] - self.x[0])
        return LEFT + part * (WIDTH - LEFT - RIGHT)

    def up(self, value: float) -> float:
        part = (value - self.y[0]) / max(1e-12, self.y[-1] - self.y[0])
        return HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)

    def series(self, points: Series, place: int, noisy: bool) -> list[str]:
        """A line; a long noisy one faint, under its smoothed course."""
        smooth = smoothed(points) if noisy else points
        faint = [self.line(points, f"line{place} faint")] if smooth is not points else []
        return [*faint, self.line(smooth, f"line{place}")]

    def line(self, points: Series, style: str) -> str:
        if len(points) == 1:
            return (
                f'<circle cx="{self.across(points[0][0]):.1f}" cy="{self.up(points[0][1]):.1f}" r="3" class="{style}"/>'
            )
        path = " ".join(f"{self.across(x):.1f},{self.up(y):.1f}" for x, y in points)
        return f'<polyline points="{path}" class="{style}"/>'

    def grid(self, below_it: str = "step") -> list[str]:
        parts = []
        for value in self.y:
            at = self.up(value)
            parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
            parts.append(f'<text x="{LEFT - 6}" y="{at + 4:.1f}" class="right">{_mark(value)}</text>')
        for text, value in zip(map(_mark, self.x), self.x, strict=True):
            inside = min(self.across(value), WIDTH - DIGIT * len(text) / 2)
            parts.append(f'<text x="{inside:.1f}" y="{HEIGHT - 18}" class="middle">{text}</text>')
        return [*parts, f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 2}" class="right">{below_it}</text>']


def _mark(value: float) -> str:
    """The number at a mark of an axis, no wider than the margin: 500,000, and 2e+06."""
    text = f"{value:,.6g}"
    return text if len(text) * DIGIT <= LEFT - 6 else f"{value:.4g}"


def smoothed(line: Series, least: int = 40) -> Series:
    """The mean over a twentieth of the line around each point; a short line as it is."""
    if len(line) < least:
        return line
    half = len(line) // 40
    found = []
    for i, (x, _) in enumerate(line):
        near = [y for _, y in line[max(0, i - half) : i + half + 1]]
        found.append((x, sum(near) / len(near)))
    return found


def data_url(pixels: Tensor, size: int = 96) -> str:
    """An image [C, H, W] from 0 to 1 as the address of a PNG; enlarged by whole pixels to about `size`."""
    from PIL import Image

    array = (pixels.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()
    image = Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array[:, :, :3])
    longest = max(image.size)
    if longest > 2 * size:
        image.thumbnail((2 * size, 2 * size))
    else:
        times = max(1, size // longest)
        image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def matrix(counts: list[list[int]], names: Sequence[str]) -> str:
    """A confusion matrix as an HTML table; rows are the truth, what is right is green, mistakes are red."""
    head = "".join(f"<th>{escape(n)}</th>" for n in names)
    rows = []
    for i, (name, row) in enumerate(zip(names, counts, strict=False)):
        total = max(1, sum(row))
        cells = "".join(_cell(n, n / total, i == j) for j, n in enumerate(row))
        rows.append(f"<tr><th>{escape(name)}</th>{cells}<td class=share>{row[i] / total:.1%}</td></tr>")
    return f"<table class=matrix><tr><th></th>{head}<th>right</th></tr>{''.join(rows)}</table>"


def _cell(count: int, share: float, right: bool) -> str:
    if not count:
        return "<td></td>"
    colour = (
        f"rgba(5,150,105,{0.1 + 0.6 * share:.2f})" if right else f"rgba(220,38,38,{min(0.9, 0.15 + 3 * share):.2f})"
    )
    return f'<td style="background:{colour}">{count}</td>'
