"""Every lint, by its code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from netdsl.checks.lint import (
    activation_ends_branch,
    activation_on_logits,
    adjacent_linear,
    bias_before_norm,
    decayed_norms,
    dropout_before_norm,
    dropped_value,
    ema_outlasts_run,
    flipped_digits,
    idle_pool,
    idle_smoothing,
    input_layout,
    it_in_list,
    lr_out_of_range,
    multiplied_block,
    narrow_field,
    output_named_layer,
    pinned_size,
    plain_depth,
    pooled_sum,
    repeated_activation,
    repeated_item,
    saturating_depth,
    skipped_pixels,
    small_batch_norm,
    softmax_before_loss,
    unpaired_resolution,
    unused_argument,
    unused_block,
    unused_constant,
    unused_import,
    unused_input,
    unused_value,
    xavier_with_relu,
)
from netdsl.checks.lint.allow import silenced
from netdsl.checks.lint.subject import File, Trained
from netdsl.diagnostics.codes import TABLE
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.elaborate.modules import Module

FILE_RULES: dict[str, Callable[[File], Iterator[Diagnostic]]] = {
    "unused-value": unused_value.check,
    "unused-argument": unused_argument.check,
    "unused-block": unused_block.check,
    "unused-constant": unused_constant.check,
    "unused-import": unused_import.check,
    "unused-input": unused_input.check,
    "dropped-value": dropped_value.check,
    "it-in-list": it_in_list.check,
    "repeated-activation": repeated_activation.check,
    "adjacent-linear": adjacent_linear.check,
    "dropout-before-norm": dropout_before_norm.check,
    "skipped-pixels": skipped_pixels.check,
    "idle-pool": idle_pool.check,
    "activation-ends-branch": activation_ends_branch.check,
    "input-layout": input_layout.check,
    "multiplied-block": multiplied_block.check,
    "pinned-size": pinned_size.check,
    "pooled-sum": pooled_sum.check,
    "plain-depth": plain_depth.check,
    "saturating-depth": saturating_depth.check,
    "narrow-field": narrow_field.check,
    "repeated-item": repeated_item.check,
    "output-named-layer": output_named_layer.check,
}
"""The lints of a file and its nets."""

COSTS: dict[str, Callable[[File], Iterator[Diagnostic]]] = {"bias-before-norm": bias_before_norm.check}
"""The lints of what does no harm but cost: they are told when there is nothing else to tell."""


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
}
"""The lints of a recipe with its net."""


def lint_file(file: File) -> Iterator[Diagnostic]:
    """Everything in a file that is legal and hardly meant."""
    for rule in (FILE_RULES | COSTS).values():
        yield from rule(file)


def lint_recipe(trained: Trained) -> Iterator[Diagnostic]:
    """Everything in a recipe that trains and is hardly meant."""
    for rule in RECIPE_RULES.values():
        yield from rule(trained)


def told(module: Module, found: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Filter the findings of a file: drop those that a comment allows, and mere costs next to mistakes."""
    kept = tuple(silenced(module, found, TABLE))
    weighty = tuple(d for d in kept if d.code not in COSTS)
    return weighty or kept
