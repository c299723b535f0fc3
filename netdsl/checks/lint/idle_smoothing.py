"""Label smoothing that a threshold of the targets undoes."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.subject import warning
from netdsl.checks.lint.trained import Trained
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.recipe.losses import Bce


def check(trained: Trained) -> Iterator[Diagnostic]:
    loss = trained.recipe.loss
    if isinstance(loss, Bce) and loss.threshold is not None and 0 < loss.label_smoothing < 1 - loss.threshold:
        message = "`threshold` makes every smoothed target 0 or 1 again: the smoothing changes nothing"
        yield warning("idle-smoothing", message, trained.places.at("loss.label_smoothing"), "leave out one of them")
