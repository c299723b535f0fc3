"""The plan of an experiment as text."""

from __future__ import annotations

from collections.abc import Sequence

from netdsl.diagnostics.memory import available, said
from netdsl.experiment.decisions import LEAST
from netdsl.experiment.planned import PlannedCell, Setting, cores
from netdsl.render.numbers import plural, scaled
from netdsl.render.table import columns

MOST = 30
"""Cells that a plan lists."""

START = 4.0
"""Seconds that a worker needs to import torch."""


def plan_text(setting: Setting, cells: Sequence[PlannedCell]) -> str:
    """The cells of a grid, and what training them costs."""
    e = setting.experiment
    runs = sum(len(c.trials) for c in cells)
    head = f"{e.name}: {plural(len(cells), 'cell')}, {plural(e.seeds, 'seed')}, {plural(runs, 'run')} of {e.net}"
    head += f" by {e.recipe}" if e.recipe else ""
    rows = [[*c.cell.values.values(), f"{c.params:,}", *_cost(c)] for c in cells[:MOST]]
    header = [*(f.path for f in e.factors), "parameters", "steps", "multiply-adds", "a run"]
    lines = [head, columns([header, None, *rows], "<" * len(e.factors) + ">>>>")]
    if len(cells) > MOST:
        lines.append(f"  and {len(cells) - MOST:,} more")
    known = [c.seconds for c in cells if c.seconds is not None]
    if len(known) == len(cells):
        workers = min(cores(), runs)
        wall = START + sum(s * len(c.trials) for s, c in zip(known, cells, strict=True)) / workers
        lines.append(f"  about {duration(wall)} on {plural(workers, 'core')} of this machine")
    lines += _batches(setting, cells)
    lines += _too_large(cells, min(cores(), runs))
    return "\n".join(lines)


def _batches(setting: Setting, cells: Sequence[PlannedCell]) -> list[str]:
    """Say whether seeds may be trained as one, and of one cell why not."""
    if setting.experiment.seeds < LEAST:
        return []
    apart = [c for c in cells if c.obstacle]
    if not apart:
        return ["  less where the seeds of a cell are faster as one batched model"]
    which = "" if len(apart) == len(cells) else f" of {len(apart)} of {len(cells)} cells"
    return [f"  seeds{which} are trained one by one: {apart[0].obstacle}"]


def _too_large(cells: Sequence[PlannedCell], workers: int) -> list[str]:
    """Warn where runs take more memory than is free here."""
    free = available()
    if free is None:
        return []
    large = [c for c in cells if (c.memory or 0) > free]
    if large:
        named = "; ".join(f"{c.cell.label}: {said(c.memory or 0)}" for c in large[:MOST])
        return [f"  {plural(len(large), 'cell')} will not fit into the {said(free)} of memory that are free: {named}"]
    most = max((c.memory or 0 for c in cells), default=0)
    if workers * most > free:
        fit = f"`--workers {free // most}` fits"
        return [f"  {workers} runs at once take up to {said(workers * most)} of memory, {said(free)} are free: {fit}"]
    return []


def _cost(cell: PlannedCell) -> list[str]:
    steps = f"{cell.steps:,}" if cell.steps else "?"
    flops = scaled(cell.flops // 2) if cell.flops else "?"
    return [steps, flops, duration(cell.seconds) if cell.seconds is not None else "?"]


def duration(seconds: float) -> str:
    """A time with a unit that suits it."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
