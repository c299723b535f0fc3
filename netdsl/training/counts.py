"""How many samples a recipe trains on, where that follows from its data's name. Nothing here needs torch."""

from __future__ import annotations

from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import Clutter, Digits, Synthetic
from netdsl.recipe.word import word_name

PUBLISHED = {"cifar10": 50_000, "cifar100": 50_000, "mnist": 60_000, "fashion_mnist": 60_000}
"""Training splits that are always the same."""
DIGITS = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
"""Samples of each class of the embedded digits."""


def training_samples(recipe: Recipe) -> int | None:
    """Samples of the training split, before a validation part is held out; None where only the data know."""
    word = recipe.data
    if isinstance(word, Digits):
        return sum(not (k + 0.5) / n < word.test for n in DIGITS for k in range(n))
    if isinstance(word, Clutter | Synthetic):
        return word.train
    return PUBLISHED.get(word_name(type(word)))


def without_validation(recipe: Recipe, samples: int) -> int:
    """What is left to train on when the validation part is held out."""
    return samples - max(1, round(recipe.validation * samples)) if recipe.validation else samples
