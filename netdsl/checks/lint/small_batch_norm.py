"""Batch normalisation over a few samples."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.flow import kind_of
from netdsl.checks.lint.subject import warning
from netdsl.checks.lint.trained import Trained
from netdsl.diagnostics.diagnostic import Diagnostic

FEWEST = 8
"""Below this, the error of batch normalisation grows quickly (Wu & He 2018, figure 1)."""


def check(trained: Trained) -> Iterator[Diagnostic]:
    recipe = trained.recipe
    field = "micro_batch" if 0 < recipe.micro_batch < recipe.batch else "batch"
    samples = recipe.micro_batch if field == "micro_batch" else recipe.batch
    if samples < FEWEST and any(kind_of(step) == "bn" for step in trained.flow.steps):
        message = f"`bn` takes its statistics of {samples} {'sample' if samples == 1 else 'samples'}: they are noise"
        yield warning("small-batch-norm", message, trained.places.at(field), "larger batches, or `groupnorm`")
