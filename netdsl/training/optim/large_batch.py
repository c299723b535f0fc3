"""Optimizers that torch does not have: Lion, LAMB and LARS, each as its paper's algorithm, and TensorFlow's RMSprop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

Groups = list[dict[str, Any]]


def _kept(state: dict[str, Tensor], name: str, like: Tensor) -> Tensor:
    """A tensor of a parameter's state, which begins with zeros."""
    if name not in state:
        state[name] = torch.zeros_like(like)
    return state[name]


class Lion(Optimizer):
    """w -= lr * (sign(b1 * m + (1 - b1) * g) + decay * w); m = b2 * m + (1 - b2) * g (Chen et al. 2023)."""

    def __init__(self, params: Groups, lr: float, betas: tuple[float, float], weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            first, second = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                moment = _kept(self.state[p], "moment", p)
                p.mul_(1 - group["lr"] * group["weight_decay"])
                p.add_(torch.lerp(p.grad, moment, first).sign_(), alpha=-group["lr"])
                moment.lerp_(p.grad, 1 - second)


class Lamb(Optimizer):
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

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        gradients = [p.grad for g in self.param_groups for p in g["params"] if p.grad is not None]
        if not gradients:
            return
        norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in gradients]))
        shrink = (self.max_norm / norm).clamp(max=1) if self.max_norm else torch.ones_like(norm)
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.add_(self._direction(p, p.grad * shrink, group), alpha=-group["lr"])

    def _direction(self, p: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        state = self.state[p]
        if not state:
            state |= {"step": torch.zeros(()), "mean": torch.zeros_like(p), "square": torch.zeros_like(p)}
        first, second = group["betas"]
        state["step"] += 1
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        n = state["step"].item()
        denominator = (state["square"] / (1 - second**n)).sqrt_().add_(group["eps"])
        update: Tensor = state["mean"] / (1 - first**n) / denominator
        if not group["weight_decay"]:
            return update
        update = update.add(p, alpha=group["weight_decay"])
        size, length = torch.linalg.vector_norm(p), torch.linalg.vector_norm(update)
        return update * torch.where((size > 0) & (length > 0), size / length, torch.ones_like(size))


class Lars(Optimizer):
    """v = momentum * v + lr * trust * |w| / (|g| + decay * |w|) * (g + decay * w); w -= v (You et al. 2017, algorithm
    1).

    Tensors without weight decay (norms, biases) take plain momentum SGD steps.
    """

    def __init__(self, params: Groups, lr: float, momentum: float, trust: float, weight_decay: float = 0.0) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self.trust = trust

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            decay = group["weight_decay"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                update, scale = p.grad, torch.ones((), device=p.device)
                if decay:
                    size, length = torch.linalg.vector_norm(p), torch.linalg.vector_norm(p.grad)
                    trusted = self.trust * size / (length + decay * size)
                    scale = torch.where((size > 0) & (length > 0), trusted, scale)
                    update = update.add(p, alpha=decay)
                buffer = _kept(self.state[p], "momentum_buffer", p)
                buffer.mul_(group["momentum"]).add_(update * scale, alpha=group["lr"])
                p.sub_(buffer)


class RMSpropTF(Optimizer):
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

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(self._moved(p, p.grad.add(p, alpha=group["weight_decay"]), group))

    def _moved(self, p: Tensor, gradient: Tensor, group: dict[str, Any]) -> Tensor:
        state, new = self.state[p], 1 - group["alpha"]
        square: Tensor = state.setdefault("square_avg", torch.ones_like(p))
        square.lerp_(gradient.square(), new)
        if self.centered:
            mean = state.setdefault("grad_avg", torch.zeros_like(p)).lerp_(gradient, new)
            square = square - mean.square()
        update: Tensor = gradient / (square + group["eps"]).sqrt_() * group["lr"]
        if not group["momentum"]:
            return update
        buffer = _kept(state, "momentum_buffer", p)
        buffer.mul_(group["momentum"]).add_(update)
        return buffer
