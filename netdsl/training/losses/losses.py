"""Losses per sample: the trainer adds them up over the global batch and divides once, so accumulation is exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from netdsl.recipe.losses import L1, Bce, CrossEntropy, DiceCe, Huber, Mse

PerSample = Callable[[Tensor, Tensor], Tensor]
"""(output, target) -> the loss of every sample, [B]."""


def loss_of(word: Any) -> PerSample:
    """The function of a recipe's loss."""
    return lambda output, target: LOSSES[type(word)](word, output.float(), target)


def weight_of(word: Any, target: Tensor) -> Tensor:
    """What each sample counts in the mean, [B]: 1, or the weight of its class, as torch.nn.CrossEntropyLoss divides."""
    if isinstance(word, CrossEntropy) and word.weight and target.ndim == 1:
        return torch.tensor(word.weight, device=target.device)[target]
    return torch.ones(len(target), device=target.device)


def _by_class(output: Tensor, target: Tensor) -> Tensor:
    """Logits with the classes on axis 1: a sequence [B, L, C] has them last."""
    return output.movedim(-1, 1) if output.ndim == 3 and target.shape == output.shape[:2] else output


def _cross_entropy(word: CrossEntropy, output: Tensor, target: Tensor) -> Tensor:
    output = _by_class(output, target)
    weight = torch.tensor(word.weight, device=output.device) if word.weight else None
    if target.is_floating_point():
        return functional.cross_entropy(output, target, weight, reduction="none")
    places = functional.cross_entropy(
        output, target, weight, ignore_index=-1, reduction="none", label_smoothing=word.label_smoothing
    )
    if places.ndim == 1:
        return places
    counted = (target != -1).flatten(1).sum(1).clamp(min=1)
    return places.flatten(1).sum(1) / counted


def _bce(word: Bce, output: Tensor, target: Tensor) -> Tensor:
    if word.threshold is not None:
        target = (target > word.threshold).to(output.dtype)
    each = functional.binary_cross_entropy_with_logits(output, target, reduction="none")
    return each.sum(1) if word.sum_classes else each.flatten(1).mean(1)


def _numbers(distance: Callable[[Any, Tensor, Tensor], Tensor]) -> Callable[[Any, Tensor, Tensor], Tensor]:
    def loss(word: Any, output: Tensor, target: Tensor) -> Tensor:
        return distance(word, output, target.to(output.dtype).reshape(output.shape)).flatten(1).mean(1)

    return loss


def _dice_ce(word: DiceCe, output: Tensor, target: Tensor) -> Tensor:
    known = (target != -1).flatten(1)[:, None]
    chance = output.softmax(1).flatten(2) * known
    truth = functional.one_hot(target.clamp(min=0), output.shape[1]).movedim(-1, 1).to(output.dtype).flatten(2) * known
    overlap = 2 * (chance * truth).sum(2) + word.smooth
    dice = 1 - (overlap / (chance.sum(2) + truth.sum(2) + word.smooth)).mean(1)
    places = functional.cross_entropy(output, target, ignore_index=-1, reduction="none").flatten(1).sum(1)
    entropy = places / known.flatten(1).sum(1).clamp(min=1)
    return word.dice * dice + word.ce * entropy


LOSSES: dict[type, Callable[[Any, Tensor, Tensor], Tensor]] = {
    CrossEntropy: _cross_entropy,
    Bce: _bce,
    Mse: _numbers(lambda word, a, b: functional.mse_loss(a, b, reduction="none")),
    L1: _numbers(lambda word, a, b: functional.l1_loss(a, b, reduction="none")),
    Huber: _numbers(lambda word, a, b: functional.huber_loss(a, b, reduction="none", delta=word.delta)),
    DiceCe: _dice_ce,
}
