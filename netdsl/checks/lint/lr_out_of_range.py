"""A learning rate far above what the optimizer takes."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.subject import warning
from netdsl.checks.lint.trained import Trained
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.recipe.component import component_name
from netdsl.recipe.optimizers import Adam, AdamW, Sgd

LARGEST = ((Adam | AdamW, 0.05, "1e-4 to 3e-3"), (Sgd, 20.0, "0.01 to 1"))
"""The largest peak that is not a slip, and what is usual. Steps of Adam have about the size of lr."""


def check(trained: Trained) -> Iterator[Diagnostic]:
    chosen = trained.recipe.optimizer
    peak = chosen.lr * trained.recipe.batch / chosen.per_batch if chosen.per_batch else chosen.lr
    for kinds, largest, usual in LARGEST:
        if isinstance(chosen, kinds) and peak > largest:
            message = f"a peak lr of {peak:g} is far above what `{component_name(chosen)}` takes"
            yield warning("lr-out-of-range", message, trained.places.at("optimizer.lr"), f"usual are {usual}")
