"""Every lint, by its code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from netdsl.checks.lint import (
    activation_ends_branch,
    adjacent_linear,
    bias_before_norm,
    dropout_before_norm,
    dropped_value,
    idle_pool,
    repeated_activation,
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
    "repeated-activation": repeated_activation.check,
    "adjacent-linear": adjacent_linear.check,
    "dropout-before-norm": dropout_before_norm.check,
    "skipped-pixels": skipped_pixels.check,
    "idle-pool": idle_pool.check,
    "activation-ends-branch": activation_ends_branch.check,
}
"""The lints of a file and its nets."""

COSTS: dict[str, Callable[[File], Iterator[Diagnostic]]] = {"bias-before-norm": bias_before_norm.check}
"""The lints of what does no harm but cost: they are told when there is nothing else to tell."""


def lint_file(file: File) -> Iterator[Diagnostic]:
    """Everything in a file that is legal and hardly meant."""
    for rule in (FILE_RULES | COSTS).values():
        yield from rule(file)


def told(module: Module, found: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """What is told of everything found in a file: nothing that a comment allows, and mere costs only by themselves."""
    kept = tuple(silenced(module, found, TABLE))
    weighty = tuple(d for d in kept if d.code not in COSTS)
    return weighty or kept
