"""A batch of many more samples than there are."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.subject import warning
from netdsl.checks.lint.trained import Trained
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.recipe.schema import training_size


def check(trained: Trained) -> Iterator[Diagnostic]:
    """A round number that is a little more is a way to say all of them."""
    batch, samples = trained.recipe.batch, None if trained.open_data else training_size(trained.recipe)
    if samples is not None and (batch >= 2 * samples or (batch > samples and trained.recipe.drop_last)):
        message = f"a batch of {batch:,} of {samples:,} samples to train on: every step takes all of them"
        yield warning("batch-exceeds-data", message, trained.places.at("batch"), f"`batch = {samples}`, or fewer")
