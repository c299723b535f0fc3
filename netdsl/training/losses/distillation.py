"""The loss of a net against its teacher (Hinton et al. 2015)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from msgspec import Struct
from torch import Tensor
from torch.nn import functional

from netdsl.recipe.distillation import Teacher
from netdsl.training.losses.losses import by_class


class Distillation(Struct, frozen=True, eq=False):
    """A teacher: `forward` gives its main output for the inputs of a batch."""

    component: Teacher
    forward: Callable[..., Any]

    @property
    def share(self) -> float:
        """The weight of the loss against the targets, 1 - alpha."""
        return 1 - self.component.alpha

    def __call__(self, output: Tensor, inputs: tuple[Tensor, ...], target: Tensor) -> Tensor:
        """The loss of each sample, [B]."""
        with torch.no_grad():
            taught = self.forward(*inputs).to(output.device)
        return self.component.alpha * divergence(output, taught, target, self.component.temperature)


def divergence(output: Tensor, taught: Tensor, target: Tensor, temperature: float) -> Tensor:
    """temperature^2 * KL(teacher, student) of each sample, the mean over its places, [B]."""
    ours, theirs = (by_class(x.float(), target).div(temperature).log_softmax(1) for x in (output, taught))
    each = functional.kl_div(ours, theirs, reduction="none", log_target=True).sum(1)
    return temperature**2 * (each.flatten(1).mean(1) if each.ndim > 1 else each)
