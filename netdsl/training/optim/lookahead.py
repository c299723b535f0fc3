"""Lookahead (Zhang et al. 2019): slow weights, with which the trained ones are synchronized every k steps."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from netdsl.recipe.regularizers import Lookahead


class Slow:
    """Every `every` steps: slow += share * (fast - slow), then fast = slow; after the last step fast = slow.

    A function of the step number: nothing to restore but the tensors.
    """

    def __init__(self, module: nn.Module, component: Lookahead, total: int) -> None:
        self.component = component
        self.total = total
        fast = self._fast(module)
        self.state = {n: t.detach().clone() for n, t in fast.items()}

    def _fast(self, module: nn.Module) -> dict[str, Tensor]:
        found: dict[str, Tensor] = dict(module.named_parameters())
        if self.component.buffers:
            found |= {n: b for n, b in module.state_dict().items() if b.is_floating_point() and n not in found}
        return found

    def share(self, step: int) -> float:
        """How far the slow weights go towards the fast ones after update `step`, counted from 1."""
        return float(1 - (1 - self.component.alpha) * (step / self.total) ** self.component.power)

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """After optimizer step `step`, counted from 1."""
        due = step % self.component.every == 0
        if not due and step != self.total:
            return
        fast = self._fast(module)
        slow, values = list(self.state.values()), [fast[n].detach() for n in self.state]
        if due:
            torch._foreach_lerp_(slow, values, self.share(step))
        torch._foreach_copy_(values, slow)
