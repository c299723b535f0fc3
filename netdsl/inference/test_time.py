"""Test-time augmentation: a net's output averaged over several views of each image, as arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from netdsl.recipe.losses import Bce
from netdsl.recipe.registry import Executors
from netdsl.recipe.schema import Recipe
from netdsl.recipe.test_time import Flipped, Mirrored

Compute = Callable[..., np.ndarray]

WIDTH, HEIGHT = -1, -2
VIEWS: Executors[Callable[[], tuple[tuple[int, ...], ...]]] = Executors(
    "tta",
    {Mirrored: lambda: ((), (WIDTH,)), Flipped: lambda: ((), (WIDTH,), (HEIGHT,), (HEIGHT, WIDTH))},
)
"""The axes along which each view of an image is mirrored."""


def averaged(compute: Compute, recipe: Recipe) -> Compute:
    """A net's first output, averaged over the views of the recipe's `tta`, of its first input: images [B, C, H, W].

    The logits of the mean probabilities (by softmax over axis 1, with `bce` by sigmoid), or the mean of the logits;
    numbers as they are. Maps [B, C, H, W] are mirrored back first.
    """
    component = recipe.tta
    if component is None:
        return compute
    numbers = recipe.loss.task == "numbers" or component.average == "logits"
    mean = _of_numbers if numbers else _of_labels if isinstance(recipe.loss, Bce) else _of_classes
    views = VIEWS[component]()

    def views_averaged(image: np.ndarray, *more: np.ndarray) -> np.ndarray:
        found = [(compute(np.ascontiguousarray(np.flip(image, axes)), *more), axes) for axes in views]
        return mean(np.stack([np.flip(y, axes) if y.ndim == 4 else y for y, axes in found]).astype(np.float32))

    return views_averaged


def _of_numbers(each: np.ndarray) -> np.ndarray:
    found: np.ndarray = each.mean(0)
    return found


def _of_classes(each: np.ndarray) -> np.ndarray:
    """The logarithm of the mean probabilities, which are logits of these."""
    return _mean_of_logarithms(each - np.logaddexp.reduce(each, 2, keepdims=True))


def _of_labels(each: np.ndarray) -> np.ndarray:
    yes, no = (_mean_of_logarithms(-np.logaddexp(np.float32(0), -s * each)) for s in (1, -1))
    found: np.ndarray = yes - no
    return found


def _mean_of_logarithms(each: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.logaddexp.reduce(each, 0) - np.float32(np.log(len(each)))
    return found
