"""A plot of a probe as SVG."""

from __future__ import annotations

import math

from netdsl.probe.model import Plot
from netdsl.render.figure import Chart, Mark, Series, draw

NOISE = ("brown noise", "white noise")
"""What gradients are compared with."""


def plot(made: Plot, alone: bool = False) -> str:
    """The SVG of a plot, `alone` as a file of its own; empty where no point can be drawn.

    What curves are compared with is dashed. Points that are not finite are left out, and where the upright axis is
    logarithmic those that are not above 0.
    """
    series = [_series(made, name) for name in made.series]
    series = [s for s in series if s.marks]
    if not series:
        return ""
    chart = Chart(
        title=made.title, across=made.across, up=made.up, series=tuple(series), xlog=False, ylog=made.logarithmic
    )
    return draw(chart, alone)


def _series(made: Plot, name: str) -> Series:
    theory = "theory" in name
    return Series("by theory" if theory else name, tuple(_marks(made, name)), theory or name in NOISE, theory)


def _marks(made: Plot, name: str) -> list[Mark]:
    finite = [(x, y) for x, y in made.series[name] if math.isfinite(x) and math.isfinite(y)]
    return [Mark(x, y) for x, y in finite if y > 0 or not made.logarithmic]
