"""A moving average of the weights, with a stated policy for what is not a weight."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from netdsl.recipe.regularizers import Ema


class Average:
    """The averaged state of a module, by state-dict key.

    Parameters are averaged; floating buffers (batch-norm statistics) are averaged or copied as the recipe says; integer
    buffers (counters) are always copied. A closed function of the step number: nothing to restore but the tensors.
    """

    def __init__(self, module: nn.Module, policy: Ema, decay: float, restart: int = 0) -> None:
        self.policy = policy
        self.decay = decay
        self.restart = restart
        state = module.state_dict()
        names = {n for n, _ in module.named_parameters()}
        averaged = {
            n for n, t in state.items() if n in names or (policy.buffers == "average" and t.is_floating_point())
        }
        self.state: dict[str, Tensor] = {n: t.detach().clone() for n, t in state.items()}
        self.averaged = sorted(averaged)
        copied = sorted(state.keys() - averaged)
        self.copied = {d: [n for n in copied if state[n].dtype == d] for d in {state[n].dtype for n in copied}}

    def weight(self, step: int) -> float:
        """The share of the old average at the step after optimizer step `step` (counted from 1)."""
        if step <= self.restart:
            return 0.0
        if self.policy.warmup:
            n = (step - self.restart) // self.policy.every
            return min(self.decay, (1 + n) / (10 + n))
        return self.decay

    @property
    def statistics(self) -> bool:
        """Whether batch-norm statistics are averaged too."""
        return any(n.endswith("running_var") for n in self.averaged)

    def left(self, steps: int) -> float:
        """The share of what the average began with after so many steps."""
        every = self.policy.every
        first = max(every, -(-(self.restart + 1) // every) * every)
        if self.policy.warmup:  # its product falls like 1 / n^9 while it grows
            return math.prod(self.weight(s) for s in range(first, min(steps, first + 100 * every) + 1, every))
        return self.decay ** len(range(first, steps + 1, every))

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """Take the module's weights into the average after optimizer step `step` (counted from 1)."""
        if step % self.policy.every:
            return
        state = module.state_dict()
        keep = self.weight(step)
        old = [self.state[n] for n in self.averaged]
        new = [state[n] for n in self.averaged]
        torch._foreach_lerp_(old, new, 1 - keep)
        for names in self.copied.values():  # tensors of several types would be copied one by one
            torch._foreach_copy_([self.state[n] for n in names], [state[n] for n in names])


def effective_decay(policy: Ema, batch: int, epochs: float) -> float:
    """The decay per step; `scaled` as torchvision's reference: 1 - (1 - decay) * batch * every / epochs."""
    if not policy.scaled:
        return policy.decay
    return 1 - min(1.0, (1 - policy.decay) * batch * policy.every / epochs)
