"""`lr` and `updates`: what the first steps of training do, at rising learning rates, and to every weight."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from msgspec import Struct
from torch import Tensor

from netdsl.planning.schedule import peak_lr
from netdsl.probe.model import Cell, Finding, Plot
from netdsl.probe.subject import Subject
from netdsl.training.diagnose import Diverged
from netdsl.training.trainer import Trainer

UPDATES, LOWEST, HIGHEST = 100, 1e-4, 1e3
"""A range test takes so many steps, from LOWEST times the recipe's peak lr to HIGHEST times."""

SMOOTH, LOST = 0.9, 4.0
"""What is kept of the mean loss at every step; a loss of so many times the least one ends the test."""

WATCHED = 60
"""Steps over which the weights are watched."""

GOOD = (1e-4, 1e-2)
"""Weight updates between these fractions of the weight are usual."""


class Step(Struct, frozen=True):
    """One update: its lr, its loss, and the mean of the losses so far, of which the last count most."""

    lr: float
    loss: float
    mean: float


def learning_rates(subject: Subject) -> Finding:
    """A range test (Smith 2017): the loss while the lr rises from step to step. Raises DataError without data."""
    peak = peak_lr(subject.recipe)
    steps = list(_rising(subject, peak))
    least = min(steps, key=lambda s: s.mean)
    steepest = _steepest(steps[: steps.index(least) + 1])
    said = [
        f"the loss falls most steeply at an lr of {steepest.lr:.2g} and is least at {least.lr:.2g}",
        f"it is lost from an lr of {steps[-1].lr:.2g} on"
        if steps[-1].mean > LOST * least.mean or not math.isfinite(steps[-1].loss)
        else "it is not lost at any lr that was tried",
        f"the recipe's peak is {peak:.2g}: {_verdict(peak, steepest.lr, least.lr)}",
    ]
    rows = tuple((s.lr, s.loss, s.mean) for s in steps)
    points = tuple((math.log10(s.lr), s.mean) for s in steps if math.isfinite(s.mean))
    plot = Plot("loss while the lr rises", "log10 of the lr", "mean loss", {"loss": points})
    return Finding("lr", tuple(said), ("lr", "loss", "mean loss"), rows, (plot,))


def _rising(subject: Subject, peak: float) -> Iterator[Step]:
    losses: list[float] = []
    with TemporaryDirectory() as folder:
        trainer = subject.trainer(Path(folder), _losses(losses))
        mean, least = 0.0, math.inf
        for n in range(UPDATES):
            lr = peak * LOWEST * (HIGHEST / LOWEST) ** (n / (UPDATES - 1))
            trainer.schedule = lambda step, falls=0, lr=lr: lr  # type: ignore[assignment]
            if not _updated(trainer, n % trainer.total):
                yield Step(lr, math.inf, math.inf)
                return
            mean = SMOOTH * mean + (1 - SMOOTH) * losses[-1]
            level = mean / (1 - SMOOTH ** (n + 1))
            least = min(least, level)
            yield Step(lr, losses[-1], level)
            if level > LOST * least:
                return


def _losses(found: list[float]) -> Callable[[str, dict[str, Any]], None]:
    """Notes the loss of every step."""

    def watch(what: str, numbers: dict[str, Any]) -> None:
        if what == "step":
            found.append(float(numbers["loss"]))

    return watch


def _updated(trainer: Trainer, step: int) -> bool:
    """Whether a step could be made: not where the loss or the gradient is no longer finite."""
    try:
        trainer.update(step)
    except Diverged:
        return False
    return True


def _steepest(steps: list[Step]) -> Step:
    """Where the mean loss falls most from one lr to the next."""
    falls = [(b.mean - a.mean, n) for n, (a, b) in enumerate(pairwise(steps), 1)]
    return steps[min(falls)[1]] if falls else steps[0]


def _verdict(peak: float, steepest: float, least: float) -> str:
    if peak > least:
        return "higher than where the loss is least"
    return "lower than where the loss falls most, there is room above it" if peak < steepest / 10 else "a good one"


def updates(subject: Subject) -> Finding:
    """The size of the weight update relative to the weight, for every weight, over the first steps of the recipe."""
    with TemporaryDirectory() as folder:
        trainer = subject.trainer(Path(folder))
        ratios: dict[str, list[float]] = {}
        steps = min(WATCHED, trainer.total)
        watched = {n: p for n, p in trainer.module.named_parameters() if p.requires_grad and p.ndim > 1}
        for step in range(steps):
            before = {n: p.detach().clone() for n, p in watched.items()}
            if not _updated(trainer, step):
                break
            for name, p in watched.items():
                ratios.setdefault(name, []).append(_ratio(before[name], p.detach()))
    last = {name: sorted(line[-10:])[len(line[-10:]) // 2] for name, line in ratios.items()}
    rows: list[tuple[Cell, ...]] = [(name, ratios[name][0], last[name]) for name in last]
    plots = {name: tuple(enumerate(line)) for name, line in list(ratios.items())[:: max(1, len(ratios) // 6)]}
    plot = Plot("size of the weight update relative to the weight", "step", "ratio", plots, True)
    columns = ("weight", "at the first step", f"at step {steps}")
    return Finding("updates", tuple(_said(last, steps)), columns, tuple(rows), (plot,))


def _ratio(before: Tensor, after: Tensor) -> float:
    size = before.norm().item()
    return (after - before).norm().item() / size if size else math.inf


def _said(last: dict[str, float], steps: int) -> list[str]:
    if not last:
        return ["the first step already is not finite: the lr is far too high"]
    middle = sorted(last.values())[len(last) // 2]
    said = [f"after {steps} steps, one changes a weight by {middle:.2g} of its size (1e-3 is usual)"]
    low = [n for n, r in last.items() if r < GOOD[0]]
    high = [n for n, r in last.items() if r > GOOD[1]]
    if low:
        said.append(f"{len(low)} of {len(last)} weights hardly move: `{low[0]}` by {last[low[0]]:.2g}")
    if high:
        said.append(f"{len(high)} of {len(last)} weights move much: `{high[0]}` by {last[high[0]]:.2g}")
    return said
