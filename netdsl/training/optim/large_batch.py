"""Optimizers that torch does not have: Lion, LAMB and LARS, each as its paper's algorithm, and TensorFlow's RMSprop.

Each step goes through all weights of a group at once (torch's `_foreach_` operators): on a GPU a handful of launches
whatever the number of weights, and one more for each weight that is scaled by a length of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from netdsl.training.distributed.shards import local

Groups = list[dict[str, Any]]
Tensors = list[Tensor]


class Grouped(Optimizer):
    """An optimizer that updates the weights of a group together: `update(weights, gradients, group)`."""

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            if weights := [p for p in group["params"] if p.grad is not None]:
                self.update(weights, [local(p.grad) for p in weights], group)

    def update(self, weights: Tensors, gradients: Tensors, group: dict[str, Any]) -> None:
        """Change weights (each a key of `state`) in place; gradients are this process's parts."""
        raise NotImplementedError

    def kept(self, weights: Tensors, name: str, first: Callable[..., Tensor] = torch.zeros_like) -> Tensors:
        """This process's part of a tensor of each weight's state, which begins as `first` makes it."""
        states = [self.state[p] for p in weights]
        for p, state in zip(weights, states, strict=True):
            if name not in state:
                state[name] = first(p)
        return [local(state[name]) for state in states]


def _scale(tensors: Tensors, factors: Tensor) -> None:
    """Multiply each tensor by a number of its own, in place, which the device alone knows."""
    for tensor, factor in zip(tensors, factors.unbind(), strict=True):
        tensor.mul_(factor)


def _lengths(tensors: Tensors) -> Tensor:
    return torch.stack(torch._foreach_norm(tensors))


class Lion(Grouped):
    """w -= lr * (sign(b1 * m + (1 - b1) * g) + decay * w); m = b2 * m + (1 - b2) * g (Chen et al. 2023)."""

    def __init__(self, params: Groups, lr: float, betas: tuple[float, float], weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    def update(self, weights: Tensors, gradients: Tensors, group: dict[str, Any]) -> None:
        first, second = group["betas"]
        moments, own = self.kept(weights, "moment"), [local(p) for p in weights]
        directions = torch._foreach_lerp(gradients, moments, first)
        torch._foreach_sign_(directions)
        torch._foreach_mul_(own, 1 - group["lr"] * group["weight_decay"])
        torch._foreach_add_(own, directions, alpha=-group["lr"])
        torch._foreach_lerp_(moments, gradients, 1 - second)


class Lamb(Grouped):
    """Adam's direction plus decay * w, its length scaled to |w| (You et al. 2020, algorithm 2).

    The gradient is first clipped to the global norm `max_norm` (0: not). Tensors without weight decay (norms, biases)
    are not rescaled, as in the authors' code and NVIDIA's.
    """

    def __init__(
        self,
        params: Groups,
        lr: float,
        betas: tuple[float, float],
        eps: float,
        max_norm: float,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)
        self.max_norm = max_norm
        self.shrink = torch.ones(())

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        gradients = [p.grad for g in self.param_groups for p in g["params"] if p.grad is not None]
        if not gradients:
            return
        norm = torch.linalg.vector_norm(_lengths(gradients))
        self.shrink = (self.max_norm / norm).clamp(max=1) if self.max_norm else torch.ones_like(norm)
        super().step()

    def update(self, weights: Tensors, gradients: Tensors, group: dict[str, Any]) -> None:
        updates = self._directions(weights, list(torch._foreach_mul(gradients, self.shrink)), group)
        if decay := group["weight_decay"]:
            torch._foreach_add_(updates, weights, alpha=decay)
            sizes, lengths = _lengths(weights), _lengths(updates)
            _scale(updates, torch.where((sizes > 0) & (lengths > 0), sizes / lengths, torch.ones_like(sizes)))
        torch._foreach_add_(weights, updates, alpha=-group["lr"])

    def _directions(self, weights: Tensors, gradients: Tensors, group: dict[str, Any]) -> Tensors:
        """Adam's, with the bias of each weight's averages corrected by the steps that it has trained."""
        first, second = group["betas"]
        means, squares = self.kept(weights, "mean"), self.kept(weights, "square")
        steps = self.kept(weights, "step", lambda p: torch.zeros(()))  # on the host
        torch._foreach_add_(steps, 1)
        torch._foreach_lerp_(means, gradients, 1 - first)
        torch._foreach_mul_(squares, second)
        torch._foreach_addcmul_(squares, gradients, gradients, value=1 - second)
        numbers = [n.item() for n in steps]
        denominators = torch._foreach_div(squares, [1 - second**n for n in numbers])
        torch._foreach_sqrt_(denominators)
        torch._foreach_add_(denominators, group["eps"])
        updates = torch._foreach_div(means, [1 - first**n for n in numbers])
        torch._foreach_div_(updates, denominators)
        return list(updates)


class Lars(Grouped):
    """v = momentum * v + lr * trust * |w| / (|g| + decay * |w|) * (g + decay * w); w -= v (You et al. 2017, algorithm
    1).

    Tensors without weight decay (norms, biases) take plain momentum SGD steps.
    """

    def __init__(self, params: Groups, lr: float, momentum: float, trust: float, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.trust = trust

    def update(self, weights: Tensors, gradients: Tensors, group: dict[str, Any]) -> None:
        buffers, updates = self.kept(weights, "momentum_buffer"), gradients
        if decay := group["weight_decay"]:
            sizes, lengths = _lengths(weights), _lengths(gradients)
            trusted = self.trust * sizes / (lengths + decay * sizes)
            updates = list(torch._foreach_add(gradients, weights, alpha=decay))
            _scale(updates, torch.where((sizes > 0) & (lengths > 0), trusted, torch.ones_like(sizes)))
        torch._foreach_mul_(buffers, group["momentum"])
        torch._foreach_add_(buffers, updates, alpha=group["lr"])
        torch._foreach_sub_(weights, buffers)


class RMSpropTF(Grouped):
    """TensorFlow's RMSprop: s starts at 1; s += (1 - alpha) * (g^2 - s); b = momentum * b + lr * g / sqrt(s + eps);
    w -= b. `centered` subtracts the square of the gradient's own average under the root."""

    def __init__(
        self,
        params: Groups,
        lr: float,
        alpha: float,
        eps: float,
        momentum: float,
        centered: bool,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "alpha": alpha, "eps": eps, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(params, defaults)
        self.centered = centered

    def update(self, weights: Tensors, gradients: Tensors, group: dict[str, Any]) -> None:
        new, own = 1 - group["alpha"], [local(p) for p in weights]
        gradients = list(torch._foreach_add(gradients, own, alpha=group["weight_decay"]))
        squares = self.kept(weights, "square_avg", torch.ones_like)
        torch._foreach_lerp_(squares, torch._foreach_mul(gradients, gradients), new)
        if self.centered:
            means = self.kept(weights, "grad_avg")
            torch._foreach_lerp_(means, gradients, new)
            squares = list(torch._foreach_sub(squares, torch._foreach_mul(means, means)))
        roots = torch._foreach_add(squares, group["eps"])
        torch._foreach_sqrt_(roots)
        updates = list(torch._foreach_div(gradients, roots))
        torch._foreach_mul_(updates, group["lr"])
        if group["momentum"]:
            buffers = self.kept(weights, "momentum_buffer")
            torch._foreach_mul_(buffers, group["momentum"])
            torch._foreach_add_(buffers, updates)
            updates = buffers
        torch._foreach_sub_(own, updates)
