"""Test-time augmentation: a net's outputs averaged over several views of each image."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from netdsl.inference.test_time import VIEWS
from netdsl.recipe.losses import Bce
from netdsl.recipe.schema import Recipe


def averaged(forward: Callable[..., Any], recipe: Recipe) -> Callable[..., Any]:
    """A net's forward pass, averaged over the views of the recipe's `tta`, of its first input: images [B, C, H, W].

    Of each output: the logits of the mean probabilities (by softmax over axis 1, with `bce` by sigmoid), or the mean of
    the logits; numbers as they are. Maps [B, C, H, W] are mirrored back first.
    """
    component = recipe.tta
    if component is None:
        return forward
    numbers = recipe.loss.task != "classes" or component.average == "logits"
    mean = _of_numbers if numbers else _of_labels if isinstance(recipe.loss, Bce) else _of_classes
    views = VIEWS[component]()

    def views_averaged(image: Tensor, *more: Tensor) -> Any:
        found = [_mirrored(forward(image.flip(axes) if axes else image, *more), axes) for axes in views]
        return _joined(found, mean)

    return views_averaged


def _mirrored(result: Any, axes: tuple[int, ...]) -> Any:
    """A module's result with its maps mirrored."""
    if isinstance(result, dict):
        return {name: _mirrored(x, axes) for name, x in result.items()}
    if isinstance(result, tuple | list):
        return [_mirrored(x, axes) for x in result]
    return result.flip(axes) if axes and result.ndim == 4 else result


def _joined(found: list[Any], mean: Callable[[list[Tensor]], Tensor]) -> Any:
    first = found[0]
    if isinstance(first, dict):
        return {name: mean([x[name] for x in found]) for name in first}
    return list(map(mean, map(list, zip(*found, strict=True)))) if isinstance(first, list) else mean(found)


def _of_numbers(each: list[Tensor]) -> Tensor:
    return reduce(torch.add, (x.float() for x in each)) / len(each)


def _of_classes(each: list[Tensor]) -> Tensor:
    """The logarithm of the mean probabilities, which are logits of these."""
    return _mean_of_logarithms([x.float().log_softmax(1) for x in each])


def _of_labels(each: list[Tensor]) -> Tensor:
    yes, no = (_mean_of_logarithms([functional.logsigmoid(s * x.float()) for x in each]) for s in (1, -1))
    return yes - no


def _mean_of_logarithms(each: list[Tensor]) -> Tensor:
    return torch.stack(each).logsumexp(0) - torch.tensor(float(len(each)), device=each[0].device).log()
