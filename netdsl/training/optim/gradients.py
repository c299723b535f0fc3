"""What is done to gradients between the backward pass and the update: penalties and clipping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from netdsl.recipe.regularizers import ByProduct, ClipAdaptive, ClipNorm, ClipValue, GroupLasso, L1Penalty, L2Penalty
from netdsl.training.optim.reparametrization import Factors


@torch.no_grad()
def add_penalties(words: Sequence[Any], weights: Sequence[Tensor], factors: Sequence[Factors] = ()) -> None:
    """Add the gradient of each penalty to those of the weights (convolutions and linears), and to those of the factors
    of weights that are products."""
    for word in words:
        for w in weights:
            if w.grad is not None:
                w.grad.add_(penalty_gradient(word, w))
        for a, b in factors:
            if a.grad is not None and b.grad is not None:
                of_a, of_b = _factor_gradients(word, a, b)
                a.grad.add_(of_a)
                b.grad.add_(of_b)


def _factor_gradients(word: Any, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Of a penalty on the product a * b: L2 of the factors for the L1 of their product, else by the chain rule."""
    if isinstance(word, ByProduct):
        return a * word.rate, b * word.rate
    gradient = penalty_gradient(word, a * b)
    return gradient * b, gradient * a


def penalty_gradient(word: Any, w: Tensor) -> Any:
    """The gradient of a penalty at a weight."""
    if isinstance(word, L1Penalty):
        return w.sign() * word.rate
    if isinstance(word, L2Penalty):
        return w * word.rate
    assert isinstance(word, GroupLasso)
    rows = w.flatten(1)
    norm = rows.norm(dim=1, keepdim=True)
    unit = torch.where(norm > 0, rows / norm.clamp(min=1e-12), torch.zeros_like(rows))
    return (unit * (word.rate * rows.shape[1] ** 0.5)).view_as(w)


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
