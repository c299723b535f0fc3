"""What is done to gradients between the backward pass and the update: penalties and clipping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from netdsl.recipe.regularizers import ClipAdaptive, ClipNorm, ClipValue, GroupLasso, L1Penalty, L2Penalty


@torch.no_grad()
def add_penalties(words: Sequence[Any], weights: Sequence[Tensor]) -> None:
    """Add the gradient of each penalty to those of the weights (convolutions and linears)."""
    for word in words:
        for w in weights:
            if w.grad is not None:
                w.grad.add_(_penalty_gradient(word, w))


def _penalty_gradient(word: Any, w: Tensor) -> Any:
    if isinstance(word, L1Penalty):
        return w.sign() * word.rate
    if isinstance(word, L2Penalty):
        return w * word.rate
    assert isinstance(word, GroupLasso)
    rows = w.flatten(1)
    norm = rows.norm(dim=1, keepdim=True)
    unit = torch.where(norm > 0, rows / norm.clamp(min=1e-12), torch.zeros_like(rows))
    return (unit * (word.rate * rows.shape[1] ** 0.5)).view_as(w)


def penalty(words: Sequence[Any], weights: Sequence[Tensor]) -> float:
    """The value of the penalties, for reports."""
    total = 0.0
    for word in words:
        for w in weights:
            if isinstance(word, L1Penalty):
                total += word.rate * float(w.abs().sum())
            elif isinstance(word, L2Penalty):
                total += word.rate / 2 * float(w.square().sum())
            else:
                rows = w.flatten(1)
                total += word.rate * rows.shape[1] ** 0.5 * float(rows.norm(dim=1).sum())
    return total


@torch.no_grad()
def clip(word: Any, parameters: Sequence[Tensor]) -> None:
    """Clip the gradients in place."""
    have = [p for p in parameters if p.grad is not None]
    if isinstance(word, ClipNorm):
        torch.nn.utils.clip_grad_norm_(have, word.limit)
    elif isinstance(word, ClipValue):
        torch.nn.utils.clip_grad_value_(have, word.limit)
    elif isinstance(word, ClipAdaptive):
        for p in have:
            assert p.grad is not None
            limit = _unit_norm(p).clamp(min=word.eps) * word.limit
            norm = _unit_norm(p.grad)
            p.grad.mul_(torch.where(norm > limit, limit / norm.clamp(min=1e-6), torch.ones_like(norm)))


def _unit_norm(x: Tensor) -> Any:
    """The 2-norm of each output unit, broadcastable to x; of the whole tensor for vectors (Brock et al. 2021)."""
    if x.ndim <= 1:
        return x.norm()
    return x.flatten(1).norm(dim=1).view(-1, *[1] * (x.ndim - 1))
