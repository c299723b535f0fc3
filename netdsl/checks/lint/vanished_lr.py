"""A learning rate that is nothing long before training ends."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import asdict

from netdsl.checks.lint.subject import warning
from netdsl.checks.lint.trained import Trained
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.planning.schedule import Schedule, peak_lr
from netdsl.recipe.component import Duration
from netdsl.recipe.schema import Recipe, training_size, updates_per_epoch

NOTHING = 1e-6
"""The share of the full lr with which no weight moves any more."""
LOOKS = 500
"""Steps of a run that are looked at."""


def check(trained: Trained) -> Iterator[Diagnostic]:
    """Looks at all of the second half: cosines and lines are nothing at its end."""
    recipe = trained.recipe
    per_epoch = _per_epoch(trained)
    if per_epoch is None or not recipe.schedule:
        return
    total, peak = recipe.total_steps(per_epoch), peak_lr(recipe)
    schedule = Schedule(recipe.schedule, peak, total, per_epoch, recipe.schedule_unit)
    lr = max(schedule(step) for step in range(total // 2, total, max(1, total // LOOKS)))
    if lr < NOTHING * peak:
        message = f"over the second half of the run lr is {lr:.1e} at most, of {peak:g}: nothing is learnt"
        yield warning("vanished-lr", message, trained.places.at("schedule"), "let it fall later, or by less")


def _per_epoch(trained: Trained) -> int | None:
    """Steps of an epoch: those of the data where they are known, any number where no time is in steps."""
    recipe = trained.recipe
    samples = None if trained.open_data else training_size(recipe)
    if samples is not None:
        return updates_per_epoch(samples, recipe.batch, recipe.drop_last)
    return 1000 if recipe.steps is None and "steps" not in _units(recipe) else None


def _units(recipe: Recipe) -> set[str]:
    """The units of the times of a schedule."""
    values = (value for phase in recipe.schedule for value in asdict(phase).values())
    times = (each for value in values for each in (value if isinstance(value, tuple) else (value,)))
    return {time.unit for time in times if isinstance(time, Duration)}
