"""An average of the weights that is longer than training."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.subject import warning
from netdsl.checks.lint.trained import Trained
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.recipe.schema import training_size, updates_per_epoch


def check(trained: Trained) -> Iterator[Diagnostic]:
    """Runs of so many steps have a check that needs no data (`slow-average`)."""
    recipe = trained.recipe
    ema, samples = recipe.ema, None if trained.open_data else training_size(recipe)
    if ema is None or samples is None or recipe.steps is not None or ema.warmup or ema.scaled or ema.decay >= 1:
        return
    steps = recipe.total_steps(updates_per_epoch(samples, recipe.batch, recipe.drop_last))
    length = ema.every / (1 - ema.decay)
    if length > steps:
        message = f"an average over {length:.0f} steps is longer than the run of {steps}: it holds initial weights"
        yield warning("ema-outlasts-run", message, trained.places.at("ema"), "a smaller decay, or `warmup=true`")
