"""Test-time augmentation: a net's outputs averaged over several views of each image, as arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from netdsl.inference.trained import Trained
from netdsl.recipe.losses import Bce
from netdsl.recipe.registry import Executors
from netdsl.recipe.test_time import Flipped, Mirrored

Compute = Callable[..., tuple[np.ndarray, ...]]

WIDTH, HEIGHT = -1, -2
VIEWS: Executors[Callable[[], tuple[tuple[int, ...], ...]]] = Executors(
    "tta",
    {Mirrored: lambda: ((), (WIDTH,)), Flipped: lambda: ((), (WIDTH,), (HEIGHT,), (HEIGHT, WIDTH))},
)
"""The axes along which each view of an image is mirrored."""


def averaged(trained: Trained) -> Compute:
    """A net's outputs, averaged over the views of the recipe's `tta`, of its first input: images [B, C, H, W].

    Of those that learned classes: the logits of the mean probabilities (by softmax over axis 1, with `bce` by sigmoid),
    or the mean of the logits; numbers as they are. Maps [B, C, H, W] are mirrored back first.
    """
    recipe, compute = trained.recipe, trained.compute
    component = recipe.tta
    if component is None:
        return compute
    numbers = recipe.loss.task == "numbers" or component.average == "logits"
    mean = _of_numbers if numbers else _of_labels if isinstance(recipe.loss, Bce) else _of_classes
    means = [mean if learned else _of_numbers for learned in trained.learned]
    views = VIEWS[component]()

    def views_averaged(image: np.ndarray, *more: np.ndarray) -> tuple[np.ndarray, ...]:
        found = [compute(np.ascontiguousarray(np.flip(image, axes)), *more) for axes in views]
        return tuple(m(_upright(each, views)) for m, each in zip(means, zip(*found, strict=True), strict=True))

    return views_averaged


def _upright(each: tuple[np.ndarray, ...], views: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """An output for each view, [views, B, ...], its maps mirrored back."""
    found = [np.flip(y, axes) if y.ndim == 4 else y for y, axes in zip(each, views, strict=True)]
    return np.stack(found).astype(np.float32)


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
