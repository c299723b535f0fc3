"""What the plug-in does: functions that netdsl imports when a training first calls them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def gamma(component: Any, images: Tensor, masks: Tensor | None, frame: Any) -> tuple[Tensor, Tensor | None]:
    """Images [B, C, H, W] from 0 to 1. All random numbers come from the frame: a function of seed, epoch and sample."""
    power = component.most ** frame.between("power", -1.0, 1.0)
    return images.clamp(min=0) ** power.view(-1, 1, 1, 1), masks


def poly1(component: Any, output: Tensor, target: Tensor) -> Tensor:
    """The loss of every sample, [B], for logits [B, C] and classes [B]."""
    entropy = functional.cross_entropy(output, target, reduction="none")
    return entropy + component.epsilon * (1 - (-entropy).exp())


def matthews(outputs: Tensor, targets: Tensor) -> float:
    """Matthews' correlation of true and guessed classes (Gorodkin 2004), from all outputs [N, C] of a split."""
    classes = outputs.shape[1]
    cells = torch.bincount(targets * classes + outputs.argmax(1), minlength=classes**2).double().view(classes, classes)
    truth, guess, n = cells.sum(1), cells.sum(0), cells.sum()
    spread = (n**2 - truth.square().sum()) * (n**2 - guess.square().sum())
    return float((cells.trace() * n - truth @ guess) / spread.sqrt()) if spread > 0 else 0.0


class SignedMomentum(torch.optim.Optimizer):
    """signSGD with momentum (Bernstein et al. 2018): m = beta m + (1 - beta) g; w -= lr * (sign(m) + decay * w)."""

    def __init__(self, groups: list[dict[str, Any]], lr: float, momentum: float) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                state = self.state[weight]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(weight)
                average = state["momentum_buffer"].lerp_(weight.grad, 1 - group["momentum"])
                weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(average.sign(), alpha=-group["lr"])


def signum(component: Any, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    return SignedMomentum(groups, component.lr, component.momentum)


def inverse_sqrt(component: Any, at: Any) -> float:
    after = max(1, component.after.steps(at.per_epoch))
    return float(at.lr * (after / (after + at.step)) ** 0.5)


def two_moons(component: Any, folder: Path) -> tuple[tuple[np.ndarray, np.ndarray], None]:
    """Points and classes in one order of the classes after the other; netdsl holds a fifth of them out."""
    draws = np.random.default_rng(0)
    angle = draws.uniform(0, np.pi, component.samples)
    classes = draws.integers(0, 2, component.samples)
    sign = 1 - 2 * classes
    points = np.stack([sign * np.cos(angle) + classes, sign * np.sin(angle) + 0.5 * classes], 1)
    points += draws.normal(0, component.noise, points.shape)
    return (points.astype(np.float32), classes), None
