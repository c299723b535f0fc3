"""Training images much smaller than those the net is tested on."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.subject import warning
from netdsl.checks.lint.trained import Trained
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.planning.resolution import sizing, trained_size

SMALLEST = 0.5
"""Training at 176 for 224 is usual (Touvron et al. 2019, FixRes); at less than half the objects look different."""


def check(trained: Trained) -> Iterator[Diagnostic]:
    """Larger ones are `unfit-size`."""
    recipe, shape = trained.recipe, trained.program.main.inputs[0].type.shape
    size = trained_size(recipe.augment)
    if size is None or recipe.progressive is not None or len(shape) != 3 or not isinstance(shape[1], int):
        return
    tested = shape[1]
    if size < SMALLEST * tested:
        message = f"training images have {size} x {size} pixels, and the net is tested at its own {tested} x {tested}"
        yield warning("unpaired-resolution", message, trained.places.at(sizing(recipe)), f"train at {tested}")
