"""The curves of a run that was probed while it trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from netdsl.inference.run_folder import Look, read_signals
from netdsl.render.figure import Chart, Mark, Series, address, draw

MOST = 8
"""Curves of a chart: of more weights, some that are evenly spread from the first to the last."""


def signals(folder: Path) -> list[str]:
    """A section for the report, or nothing."""
    looks = read_signals(folder)
    if len(looks) < 2:
        return []
    drawn = "".join(f'<img alt="{chart.title}" src="{address(draw(chart, alone=True))}">' for chart in charts(looks))
    return [f"<h2>Signals</h2><div class=charts>{drawn}</div>"]


def charts(looks: Sequence[Look]) -> Iterator[Chart]:
    """The size of the updates, and the dead units, over the steps."""
    updates = _series([(x.step, x.updates) for x in looks], above_0=True)
    dead = _series([(x.step, x.dead) for x in looks])
    if updates:
        title = "size of a step relative to the weight"
        yield Chart(title=title, across="step", up="ratio", series=updates, xlog=False, ylog=True)
    if dead:
        yield Chart(title="dead units", across="step", up="share", series=dead, xlog=False)


def _series(looks: Sequence[tuple[int, dict[str, float]]], above_0: bool = False) -> tuple[Series, ...]:
    chosen = some_of([values for _, values in looks])
    found = (Series(n, tuple(Mark(s, v[n]) for s, v in looks if n in v and (v[n] > 0 or not above_0))) for n in chosen)
    return tuple(series for series in found if series.marks)


def some_of(values: Iterable[Mapping[str, float]]) -> list[str]:
    """The names that stand in any of these, in order; of many, `MOST`."""
    names = list(dict.fromkeys(name for one in values for name in one))
    return names if len(names) <= MOST else [names[round(i * (len(names) - 1) / (MOST - 1))] for i in range(MOST)]
