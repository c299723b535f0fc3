"""Targets of the loss: labels, or one-hot vectors where they are mixed; these are smoothed before they are mixed."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from netdsl.recipe.losses import Bce, CrossEntropy
from netdsl.recipe.metrics import LABELS
from netdsl.recipe.schema import Recipe


class Targets:
    """Labels to the targets of the loss.

    Classes stay int64 [B] where nothing needs more, and the loss smooths them (it divides by the weights of the true
    classes, which a smoothed target doesn't tell); with mixing or a loss over numbers they are one-hot [B, C] and
    smoothed here, as probabilities of classes are. Labels are smoothed between yes and no, where they are known.
    Masks and tokens are smoothed inside the loss.
    """

    def __init__(self, recipe: Recipe, task: str, classes: int) -> None:
        self.classes = classes
        loss = recipe.loss
        self.smoothing = loss.label_smoothing if isinstance(loss, CrossEntropy | Bce) else 0.0
        dense = bool(recipe.mix) or isinstance(loss, Bce) or loss.task != "classes"
        self.task = task
        self.soft = task == "classes" and dense

    def __call__(self, labels: Tensor) -> Tensor:
        if self.task in LABELS:
            return torch.where(labels < 0, labels, labels * (1 - self.smoothing) + self.smoothing / 2)
        if self.task == "distributions":
            return smooth(labels, self.smoothing)
        if not self.soft:
            return labels
        return smooth(functional.one_hot(labels, self.classes).to(torch.float32), self.smoothing)


def smooth(target: Tensor, amount: float) -> Tensor:
    """(1 - amount) * target + amount / classes (Szegedy et al. 2016)."""
    return target if not amount else target * (1 - amount) + amount / target.shape[1]
