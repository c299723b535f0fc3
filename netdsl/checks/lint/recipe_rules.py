"""Every lint of a recipe with its net, by its code."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from netdsl.checks.lint import (
    activation_on_logits,
    batch_exceeds_data,
    decayed_norms,
    ema_outlasts_run,
    flipped_digits,
    idle_smoothing,
    lr_out_of_range,
    small_batch_norm,
    softmax_before_loss,
    unpaired_resolution,
    vanished_lr,
    xavier_with_relu,
)
from netdsl.checks.lint.trained import Trained
from netdsl.diagnostics.diagnostic import Diagnostic

RECIPE_RULES: dict[str, Callable[[Trained], Iterator[Diagnostic]]] = {
    "softmax-before-loss": softmax_before_loss.check,
    "activation-on-logits": activation_on_logits.check,
    "flipped-digits": flipped_digits.check,
    "lr-out-of-range": lr_out_of_range.check,
    "small-batch-norm": small_batch_norm.check,
    "ema-outlasts-run": ema_outlasts_run.check,
    "idle-smoothing": idle_smoothing.check,
    "unpaired-resolution": unpaired_resolution.check,
    "xavier-with-relu": xavier_with_relu.check,
    "decayed-norms": decayed_norms.check,
    "vanished-lr": vanished_lr.check,
    "batch-exceeds-data": batch_exceeds_data.check,
}
"""The lints of a recipe with its net."""


def lint_recipe(trained: Trained) -> Iterator[Diagnostic]:
    """Everything in a recipe that trains and is hardly meant."""
    for rule in RECIPE_RULES.values():
        yield from rule(trained)
