"""Penalties and clipping of gradients, between the backward pass and the optimizer step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from netdsl.recipe.registry import Executors
from netdsl.recipe.regularizers import (
    ByProduct,
    Clip,
    ClipAdaptive,
    ClipNorm,
    ClipValue,
    GroupLasso,
    L1Penalty,
    L2Penalty,
    Penalty,
)
from netdsl.training.optim.reparametrization import Factors


@torch.no_grad()
def add_penalties(components: Sequence[Any], weights: Sequence[Tensor], factors: Sequence[Factors] = ()) -> None:
    """Add the gradient of each penalty to those of the weights (convolutions and linears), and to those of the factors
    of weights that are products."""
    for component in components:
        for w in weights:
            if w.grad is not None:
                w.grad.add_(penalty_gradient(component, w))
        for a, b in factors:
            if a.grad is not None and b.grad is not None:
                of_a, of_b = _factor_gradients(component, a, b)
                a.grad.add_(of_a)
                b.grad.add_(of_b)


def _factor_gradients(component: Any, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Of a penalty on the product a * b: L2 of the factors for the L1 of their product, else by the chain rule."""
    if isinstance(component, ByProduct):
        return a * component.rate, b * component.rate
    gradient = penalty_gradient(component, a * b)
    return gradient * b, gradient * a


def penalty_gradient(penalty: Penalty, w: Tensor) -> Any:
    """The gradient of a penalty at a weight."""
    return PENALTIES[penalty](penalty, w)


def _group_lasso(penalty: GroupLasso, w: Tensor) -> Any:
    rows = w.flatten(1)
    norm = rows.norm(dim=1, keepdim=True)
    unit = torch.where(norm > 0, rows / norm.clamp(min=1e-12), torch.zeros_like(rows))
    return (unit * (penalty.rate * rows.shape[1] ** 0.5)).view_as(w)


PENALTIES: Executors[Callable[[Any, Tensor], Any]] = Executors(
    "penalty",
    {
        L1Penalty: lambda penalty, w: w.sign() * penalty.rate,
        L2Penalty: lambda penalty, w: w * penalty.rate,
        GroupLasso: _group_lasso,
        ByProduct: lambda penalty, w: 0 * w,  # its weights are factors, which have gradients of their own
    },
)


def norm_of(parameters: Sequence[Tensor]) -> Tensor:
    """The 2-norm of the gradients together, in parts where they are."""
    return torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])


@torch.no_grad()
def clip(how: Clip | None, parameters: Sequence[Tensor], norm: Tensor | None = None) -> None:
    """Clip the gradients in place, where the recipe does. `norm`: their 2-norm, where it is known."""
    given = [p for p in parameters if p.grad is not None]
    if isinstance(how, ClipNorm) and norm is not None:
        torch.nn.utils.clip_grads_with_norm_(given, how.limit, norm)
    elif how is not None:
        CLIPS[how](how, given)


def _adaptive(how: ClipAdaptive, parameters: Sequence[Tensor]) -> None:
    """The units of all weights are compared at once: on a GPU three launches a weight, not ten."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not gradients:
        return
    units = [_unit_norms(p) for p in parameters]
    limit, norm = torch.cat(units).clamp(min=how.eps) * how.limit, torch.cat([_unit_norms(g) for g in gradients])
    factor = torch.where(norm > limit, limit / norm.clamp(min=1e-6), torch.ones_like(norm))
    for g, own in zip(gradients, torch.split(factor, [len(u) for u in units]), strict=True):
        g.mul_(own.view(-1, *[1] * (g.ndim - 1)) if g.ndim else own[0])


CLIPS: Executors[Callable[[Any, Sequence[Tensor]], Any]] = Executors(
    "clip",
    {
        ClipNorm: lambda how, parameters: torch.nn.utils.clip_grad_norm_(parameters, how.limit),
        ClipValue: lambda how, parameters: torch.nn.utils.clip_grad_value_(parameters, how.limit),
        ClipAdaptive: _adaptive,
    },
)


def _unit_norms(x: Tensor) -> Tensor:
    """The 2-norms of the output units of a weight; of the whole tensor for vectors, one (Brock et al. 2021)."""
    found: Tensor = torch.linalg.vector_norm(x.flatten(1), dim=1) if x.ndim > 1 else torch.linalg.vector_norm(x)[None]
    return found
