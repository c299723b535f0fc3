"""Losses as sums: a numerator and a denominator for every sample, which the trainer adds up over the global batch and
divides once. The mean is then exact however a step is cut into micro-batches and ranks."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor
from torch.nn import functional

from netdsl.recipe.losses import L1, Bce, CrossEntropy, DiceCe, Focal, Huber, Mse
from netdsl.recipe.registry import Executors
from netdsl.training.losses.pairs import PAIR_LOSSES


class Terms(Struct, frozen=True, eq=False):
    """The terms of a loss on some samples, `loss` and `count` [T, B] each: the mean of a term is the sum of its losses
    over the sum of its counts."""

    loss: Tensor
    count: Tensor

    def over(self, total: Tensor) -> Tensor:
        """The share of these samples in the mean of a batch whose counts add up to `total` [T]; 0 where nothing
        counts, and so is its gradient."""
        counts = total > 0
        return (self.loss.sum(1) * counts / torch.where(counts, total, 1)).sum()

    def mean(self) -> Tensor:
        return self.over(self.count.sum(1))


TINY = 1e-12
"""A chance whose powers below 1 still have a slope."""

LossTerms = Callable[[Any, Tensor, Tensor], tuple[Tensor, ...]]
"""(component, output, target) -> the numerators of each term, [B]."""


def loss_of(component: Any) -> Callable[[Tensor, Tensor], Terms]:
    """The function of a recipe's loss."""
    return lambda output, target: Terms(
        torch.stack(LOSSES[component](component, output.float(), target)), counts_of(component, target)
    )


def counts_of(component: Any, target: Tensor) -> Tensor:
    """The denominators of every sample, [T, B]: 1, or with hard targets the number of positions that have a class, each
    with the weight of its class, as torch.nn.CrossEntropyLoss divides. Of labels and numbers, the share that is
    known."""
    ones = torch.ones(len(target), device=target.device)
    if isinstance(component, Bce):
        return known_labels(target).flatten(1).mean(1)[None]
    if isinstance(component, Mse | L1 | Huber):
        return known_numbers(target).float().flatten(1).mean(1)[None]
    if not isinstance(component, CrossEntropy | DiceCe) or target.is_floating_point():
        return ones[None]
    weight = class_weights(component, target.device)
    valid = target >= 0
    each = valid.float() if weight is None else weight[target.clamp(min=0).long()] * valid
    count = each.flatten(1).sum(1) if each.ndim > 1 else each
    return torch.stack((ones, count)) if isinstance(component, DiceCe) else count[None]


def class_weights(component: Any, device: torch.device) -> Tensor | None:
    """The weight of every class (with `bce`, of a yes), where the recipe gives them."""
    return _on_device(component.class_weights, device) if component.class_weights else None


@cache
def _on_device(weights: tuple[float, ...], device: torch.device) -> Tensor:
    """Copied to a device once: it waits for a copy."""
    return torch.tensor(weights, device=device, dtype=torch.float32)


def by_class(output: Tensor, target: Tensor) -> Tensor:
    """Logits with the classes on axis 1: a sequence [B, L, C] has them last."""
    return output.movedim(-1, 1) if output.ndim == 3 and target.shape == output.shape[:2] else output


def _summed(each: Tensor) -> Tensor:
    """Losses of positions [B, ...] added up for every sample."""
    return each.flatten(1).sum(1) if each.ndim > 1 else each


def _cross_entropy(component: CrossEntropy, output: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    output = by_class(output, target)
    weight = class_weights(component, output.device)
    if target.is_floating_point():  # smoothed before it was mixed
        return (functional.cross_entropy(output, target, weight, reduction="none"),)
    each = functional.cross_entropy(
        output, target, weight, ignore_index=-1, reduction="none", label_smoothing=component.label_smoothing
    )
    return (_summed(each),)


def _focal(component: Focal, output: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    """Of every class (1 - p)^gamma * -log p, by its share of the target: with hard targets that of the true class, and
    where they are smoothed a little of all."""
    output = by_class(output, target)
    weight = class_weights(component, output.device)
    log_chance = output.log_softmax(1)
    each = -log_chance * (-log_chance.expm1()).clamp(min=TINY).pow(component.gamma)
    if weight is not None:
        each = each * weight.view(-1, *[1] * (output.ndim - 2))
    if target.is_floating_point():
        return (_summed((each * target).sum(1)),)
    valid = target >= 0
    true = each.gather(1, target.clamp(min=0).long().unsqueeze(1)).squeeze(1)
    mixed = true * (1 - component.label_smoothing) + each.mean(1) * component.label_smoothing
    return (_summed(mixed * valid),)


def known_labels(target: Tensor) -> Tensor:
    """1 for labels that count, 0 for those that are negative: unknown, or of a node that is not there."""
    return (target >= 0).float()


def known_numbers(target: Tensor) -> Tensor:
    """Whether numbers count: those that are not finite are unknown, or of a node that is not there."""
    return torch.isfinite(target)


def _bce(component: Bce, output: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    known = known_labels(target)
    if component.threshold is not None:
        target = (target > component.threshold).to(output.dtype)
    yes = class_weights(component, output.device)
    each = functional.binary_cross_entropy_with_logits(output, target, pos_weight=yes, reduction="none")
    if component.gamma:
        chance = output.sigmoid()
        wrong = chance * (1 - target) + (1 - chance) * target
        each = each * wrong.clamp(min=TINY).pow(component.gamma)
    each = each * known
    each = each.sum(-1, keepdim=True) if component.sum_classes else each
    return (each.flatten(1).mean(1),)


def _numbers(distance: Callable[[Any, Tensor, Tensor], Tensor]) -> LossTerms:
    def loss(component: Any, output: Tensor, target: Tensor) -> tuple[Tensor, ...]:
        target = target.to(output.dtype).reshape(output.shape)
        known = known_numbers(target)
        each = distance(component, output, torch.where(known, target, 0))
        return (torch.where(known, each, 0).flatten(1).mean(1),)

    return loss


def _dice_ce(component: DiceCe, output: Tensor, target: Tensor) -> tuple[Tensor, ...]:
    known = (target >= 0).flatten(1)[:, None]
    chance = output.softmax(1).flatten(2) * known
    truth = functional.one_hot(target.clamp(min=0), output.shape[1]).movedim(-1, 1).to(output.dtype).flatten(2) * known
    overlap = 2 * (chance * truth).sum(2) + component.smooth
    whole = chance.sum(2) + truth.sum(2) + component.smooth
    apart = 1 - overlap / torch.where(whole > 0, whole, 1)
    dice = torch.where(whole > 0, apart, 0).mean(1)  # 0 where nothing has a class
    entropy = _summed(functional.cross_entropy(output, target, ignore_index=-1, reduction="none"))
    return component.dice * dice, component.ce * entropy


def _of_pairs(component: Any, first: Tensor, second: Tensor) -> tuple[Tensor, ...]:
    return (PAIR_LOSSES[type(component)](component, first, second),)


LOSSES: Executors[LossTerms] = Executors(
    "loss",
    {
        CrossEntropy: _cross_entropy,
        Focal: _focal,
        Bce: _bce,
        Mse: _numbers(lambda component, a, b: functional.mse_loss(a, b, reduction="none")),
        L1: _numbers(lambda component, a, b: functional.l1_loss(a, b, reduction="none")),
        Huber: _numbers(lambda component, a, b: functional.huber_loss(a, b, reduction="none", delta=component.delta)),
        DiceCe: _dice_ce,
        **dict.fromkeys(PAIR_LOSSES, _of_pairs),
    },
)
