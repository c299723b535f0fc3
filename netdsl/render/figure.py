"""Charts as SVG: lines, bars and scattered points with their deviations, each mark with words and perhaps a link.

Colours are classes (`c0` to `c7`), so that a page can have others in the dark; a file of its own brings its style.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec import Struct

from netdsl.render.axis import Axis, axis, is_geometric, short
from netdsl.render.markup import escape

WIDTH, HEIGHT = 560, 340
LEFT, RIGHT, TOP, BOTTOM = 66, 18, 34, 52
"""Margins in pixels. Each row of the legend adds ROW above."""
ROW = 18
LINE = 14
"""Pixels between the lines of a name along x."""
COLOURS = 8
DODGE, APART = 6.0, 14.0
"""Pixels between the marks of two colours at one value where they have deviations: of lines, and of names."""
MOST_POINTS = 12
"""Marks of a line up to which each has a dot."""
MOST_LINES = 3
LETTER = 6.6
"""Pixels that a letter takes on average, but for these."""
NARROW, WIDE = " ()[].,:;'ijlftrI/-", "mwMW%@"

STYLE = """
.figure text{font:12px 'Helvetica Neue',Helvetica,Arial,sans-serif;fill:var(--m,#5b6676)}
.figure .title{font-size:14px;font-weight:600;fill:var(--t,#1e293b)}.figure .axis{fill:var(--t,#1e293b)}
.figure line{stroke:var(--l,#e3e8ef)}.figure .base{stroke:var(--m,#94a3b8)}
.figure polyline{fill:none;stroke-width:2;stroke-linejoin:round}.figure .spread{stroke-width:1.5}
.figure .dashed{stroke-width:1.5;stroke-dasharray:5 4;opacity:.8}
.figure .lost{stroke-width:2;fill:none}
.figure .mark{stroke:var(--b,#fff);stroke-width:1.5}.figure .run{fill-opacity:.75}
""" + "".join(
    f".figure .c{i}{{stroke:var(--c{i},{c})}}.figure .f{i}{{fill:var(--c{i},{c})}}"
    for i, c in enumerate(("#2563eb", "#d9480f", "#15803d", "#7c3aed", "#b45309", "#0e7490", "#be185d", "#475569"))
)

NIGHT = (
    "--b:#0d1117;--t:#e5e9f0;--m:#9aa7b8;--l:#30363d;"
    "--c0:#6ea8fe;--c1:#ff9f6b;--c2:#4ade80;--c3:#b79bff;--c4:#fbbf24;--c5:#4dd4e8;--c6:#f472b6;--c7:#cbd5e1"
)
"""Ground, texts, lines and the colours of series on a dark page, as variables."""

ALONE = f".figure .ground{{fill:var(--b,#fff)}}@media(prefers-color-scheme:dark){{.figure{{{NIGHT}}}}}"
"""Further styles of a file of its own."""


class Mark(Struct, frozen=True):
    """A point of a chart: where, how far its runs spread, what it is in words, and where it leads."""

    x: float
    y: float
    spread: float = 0.0
    said: str = ""
    link: str = ""


class Series(Struct, frozen=True):
    """The marks of one colour. `dashed`: a reference; `alike`: with the colour of the series before it; `lost`: marks
    that have no height, whose place along x is crossed."""

    name: str
    marks: tuple[Mark, ...]
    dashed: bool = False
    alike: bool = False
    lost: tuple[Mark, ...] = ()


class Chart(Struct, frozen=True, kw_only=True):
    """A chart. `across`, `up`: the headings of the axes; `names`: what stands along x where it is no number;
    `legend`: what the names of the series are values of. `xlog` None: as the values are spread; `most`: no
    deviation goes beyond it."""

    title: str
    kind: Literal["line", "bars", "scatter"] = "line"
    across: str
    up: str
    series: tuple[Series, ...]
    names: tuple[str, ...] = ()
    legend: str = ""
    xlog: bool | None = None
    ylog: bool = False
    most: float | None = None


def draw(chart: Chart, alone: bool = False) -> str:
    """A chart as SVG; `alone`: as a file of its own. Without a mark it says so."""
    top, legend = _legend(chart)
    names = _names(chart)
    height = HEIGHT + top - TOP + LINE * (max(map(len, names), default=1) - 1)
    space = ' xmlns="http://www.w3.org/2000/svg"' if alone else ""
    head = f'<svg class="figure"{space} viewBox="0 0 {WIDTH} {height}" role="img" '
    head += f'aria-label="{escape(chart.title)}">'
    style = f"<style>{STYLE}{ALONE}</style><rect class='ground' width='{WIDTH}' height='{height}'/>" if alone else ""
    parts = [head, style, f'<text x="{LEFT - 46}" y="20" class="title">{escape(chart.title)}</text>']
    if any(s.marks for s in chart.series):
        parts += [*_body(chart, top, float(HEIGHT + top - TOP - BOTTOM), names), *legend]
    else:
        parts.append(f'<text x="{WIDTH / 2}" y="{height / 2}" text-anchor="middle">nothing is measured yet</text>')
    return "".join([*parts, "</svg>"])


def address(svg: str) -> str:
    """An SVG image as the address of an image, whose styles are its own in the page that shows it."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def stacked(drawings: Sequence[str]) -> str:
    """Charts as files of their own, one below the other in one file."""
    shown = [d for d in drawings if d]
    if len(shown) == 1:
        return shown[0]
    heights = [int(re.findall(r'viewBox="0 0 \d+ (\d+)"', d)[0]) for d in shown]
    places = [sum(heights[:i]) for i in range(len(shown))]
    inner = "".join(
        d.replace("<svg ", f'<svg y="{y}" width="{WIDTH}" height="{h}" ', 1)
        for d, y, h in zip(shown, places, heights, strict=True)
    )
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {sum(heights)}" role="img">{inner}</svg>'


def _names(chart: Chart) -> list[list[str]]:
    """The names along x, of values that are no numbers, each in lines."""
    room = int((WIDTH - RIGHT - LEFT) / max(1, len(chart.names)) / LETTER)
    return [in_lines(name, room) for name in chart.names]


def in_lines(text: str, room: int) -> list[str]:
    """A text in a few lines of about so many characters, parted where its arguments are."""
    lines = [""]
    for piece in re.findall(r".+?(?:[(,=_] ?|$| (?:-> )?)", text):
        if lines[-1] and len(lines[-1] + piece.rstrip()) > room and len(lines) < MOST_LINES:
            lines.append("")
        lines[-1] += piece
    return [cut(line.strip(), room) for line in lines]


def _body(chart: Chart, top: int, base: float, names: Sequence[Sequence[str]]) -> Iterator[str]:
    across, up = _across(chart), _up(chart, float(top + 8), base)
    yield from _grid(chart, across, up, names)
    if chart.kind == "bars":
        yield from _bars(chart.series, across, up)
        return
    spread = any(m.spread for s in chart.series for m in s.marks)
    beside = (APART if chart.names else DODGE) if spread and chart.kind == "line" else 0.0
    for number, one in enumerate(chart.series):
        shift = (number - (len(chart.series) - 1) / 2) * beside
        yield from _crosses(_colour(chart, number), one, across, up, shift)
        yield from _curve(_colour(chart, number), one, across, up, shift, chart)


def _colour(chart: Chart, number: int) -> int:
    """The colour of a series."""
    plain = sum(not s.alike for s in chart.series[: number + 1])
    return max(0, plain - 1) % COLOURS


# Axes


def _across(chart: Chart) -> Axis:
    start, end = float(LEFT), float(WIDTH - RIGHT)
    if chart.names:
        ticks = tuple((float(i), n) for i, n in enumerate(chart.names))
        return Axis(start, end, -0.5, len(chart.names) - 0.5, False, ticks)
    values = sorted({m.x for s in chart.series for m in (*s.marks, *s.lost)})
    log = values[0] > 0 and (is_geometric(values) if chart.xlog is None else chart.xlog)
    few = tuple((v, short(v)) for v in values) if len(values) <= 8 and chart.kind == "line" else ()
    inset = 0.04 * (end - start)
    return axis(start + inset, end - inset, values, log, few)


def _up(chart: Chart, top: float, base: float) -> Axis:
    marks = [m for s in chart.series for m in s.marks]
    log = chart.ylog and min(m.y for m in marks) > 0
    values = [v for m in marks for v in (m.y, *_ends(m, chart.most))]
    if log:
        values = [v for v in values if v > 0]
    elif chart.kind == "bars" or min(values) == max(values):
        values.append(0.0)
    return axis(base, top, sorted(values), log, (), round_ends=True)


def _ends(mark: Mark, most: float | None) -> tuple[float, float]:
    """Where a mark's deviation begins and ends."""
    high = mark.y + mark.spread
    return mark.y - mark.spread, high if most is None else min(high, max(most, mark.y))


def _grid(chart: Chart, across: Axis, up: Axis, names: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines at the ticks of the upright axis, and what stands at the ticks of both."""
    for value, text in up.ticks:
        y = up.at(value)
        yield f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>'
    base = up.start
    yield f'<line class="base" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{base}" y2="{base}"/>'
    for number, (value, text) in enumerate(across.ticks):
        lines = names[number] if names else [text]
        for row, line in enumerate(lines):
            label = f"<title>{escape(text)}</title>{escape(line)}" if line != text else escape(text)
            yield f'<text x="{across.at(value):.1f}" y="{base + 18 + LINE * row}" text-anchor="middle">{label}</text>'
    middle, below = (LEFT + WIDTH - RIGHT) / 2, base + 42 + LINE * (max(map(len, names), default=1) - 1)
    yield f'<text class="axis" x="{middle}" y="{below}" text-anchor="middle">{escape(chart.across)}</text>'
    turned = f'transform="translate(16 {(up.end + base) / 2:.1f}) rotate(-90)"'
    yield f'<text class="axis" {turned} text-anchor="middle">{escape(chart.up)}</text>'


def cut(text: str, characters: int) -> str:
    """A text of at most so many characters."""
    return text if len(text) <= characters else f"{text[: max(1, characters - 1)]}\N{HORIZONTAL ELLIPSIS}"


# Marks


def _curve(colour: int, series: Series, across: Axis, up: Axis, shift: float, chart: Chart) -> Iterator[str]:
    """The marks of one colour, `shift` pixels to the right so that the deviations of others stay visible.

    Names along x have no order that a line could follow: their marks stand alone.
    """
    means = chart.kind == "line"
    joined = means and not chart.names
    if joined and len(series.marks) > 1:
        points = " ".join(f"{across.at(m.x) + shift:.1f},{up.at(m.y):.1f}" for m in series.marks)
        yield f'<polyline class="{"dashed " if series.dashed else ""}c{colour}" points="{points}"/>'
    if not series.dashed and not (joined and len(series.marks) > MOST_POINTS):
        yield from (_linked(m, series.name, _dot(colour, across.at(m.x) + shift, m, up, means)) for m in series.marks)


def _dot(colour: int, x: float, mark: Mark, up: Axis, means: bool) -> str:
    """A mark with its deviation; a mean stands out from a run."""
    spread = _spread(colour, x, mark, up) if mark.spread else ""
    kind, radius = ("mark", 4.5) if means else ("mark run", 5)
    return f'{spread}<circle class="{kind} f{colour}" cx="{x:.1f}" cy="{up.at(mark.y):.1f}" r="{radius}"/>'


def _crosses(colour: int, series: Series, across: Axis, up: Axis, shift: float) -> Iterator[str]:
    """The places along x of marks that have no height."""
    for m in series.lost:
        x, y = across.at(m.x) + shift, up.start - 8
        cross = f"M{x - 4:.1f},{y - 4:.1f}l8,8m0,-8l-8,8"
        yield _linked(m, series.name, f'<path class="lost c{colour}" d="{cross}"/>')


def _spread(colour: int, x: float, mark: Mark, up: Axis) -> str:
    """A mark's deviation as an upright line with ends."""
    top = up.at(min(mark.y + mark.spread, up.high))
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
    if not mark.said:
        return drawn
    said = f"{series}, {mark.said}" if series else mark.said
    return f'<a href="{escape(mark.link)}"><title>{escape(said)}</title>{drawn}</a>'


def _legend(chart: Chart) -> tuple[int, list[str]]:
    """The colours and their names above the chart, in rows; and where the chart begins below them."""
    if len(chart.series) < 2:
        return TOP, []
    parts, x, y = [], float(LEFT), TOP + 6
    if chart.legend:
        parts.append(f'<text x="{x:.0f}" y="{y}">{escape(chart.legend)}</text>')
        x += _wide(chart.legend) + 12
    begins = x
    named = {s.name: n for n, s in reversed([*enumerate(chart.series)])}  # references of one name are told once
    for number, series in sorted(enumerate(chart.series), key=lambda pair: pair[1].dashed):
        if named[series.name] != number:
            continue
        name = cut(series.name, 40)
        width = 34 + _wide(name)
        if x > begins and x + width > WIDTH - RIGHT:
            x, y = begins, y + ROW
        colour = COLOURS - 1 if series.alike else _colour(chart, number)
        parts.append(_sample(x, y - 4, colour, series.dashed))
        parts.append(f'<text x="{x + 17:.1f}" y="{y}">{escape(name)}</text>')
        x += width
    return y + 4, parts


def _wide(text: str) -> float:
    """About how many pixels a text takes."""
    return sum(3.6 if c in NARROW else 9.6 if c in WIDE else LETTER for c in text)


def _sample(x: float, y: int, colour: int, dashed: bool) -> str:
    """How a series looks, for the legend."""
    if dashed:
        return f'<polyline class="dashed c{colour}" points="{x - 3:.1f},{y} {x + 13:.1f},{y}"/>'
    return f'<circle class="f{colour}" cx="{x + 8:.1f}" cy="{y}" r="4"/>'
