"""Every lint of a file, by its code; those of recipes: `recipe_rules.py`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from netdsl.checks.lint import (
    activation_ends_branch,
    adjacent_linear,
    bias_before_norm,
    channels_as_positions,
    dropout_before_norm,
    dropped_value,
    gate_along_features,
    idle_pool,
    input_layout,
    it_in_list,
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
    unused_argument,
    unused_block,
    unused_constant,
    unused_import,
    unused_input,
    unused_value,
)
from netdsl.checks.lint.allow import silenced
from netdsl.checks.lint.subject import File
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
    "channels-as-positions": channels_as_positions.check,
    "gate-along-features": gate_along_features.check,
    "plain-depth": plain_depth.check,
    "saturating-depth": saturating_depth.check,
    "narrow-field": narrow_field.check,
    "repeated-item": repeated_item.check,
    "output-named-layer": output_named_layer.check,
}
"""The lints of a file and its nets."""

COSTS: dict[str, Callable[[File], Iterator[Diagnostic]]] = {"bias-before-norm": bias_before_norm.check}
"""The lints of what does no harm but cost: they are told when there is nothing else to tell."""


def lint_file(file: File) -> Iterator[Diagnostic]:
    """Everything in a file that is legal and hardly meant."""
    for rule in (FILE_RULES | COSTS).values():
        yield from rule(file)


def told(module: Module, found: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Filter the findings of a file: drop those that a comment allows, and mere costs next to mistakes."""
    kept = tuple(silenced(module, found))
    weighty = tuple(d for d in kept if d.code not in COSTS)
    return weighty or kept
