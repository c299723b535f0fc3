"""The averages of the weights that a recipe asks for, behind one face: EMA or SWA, the slow weights of Lookahead."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from netdsl.recipe.schema import Recipe
from netdsl.training.distributed.shards import assign
from netdsl.training.optim.ema import Average, effective_decay
from netdsl.training.optim.lookahead import Slow

SLOW = "slow."


FRESH = 0.1
"""The share of the first weights in the average at the end that is worth a word."""


class Averages:
    """Nothing, a moving average, or the plain average of the weights at the ends of the last epochs; and slow weights,
    which change the trained ones."""

    def __init__(self, module: nn.Module, recipe: Recipe, total: int, per_epoch: int) -> None:
        self.ema: Average | None = None
        self.swa: dict[str, Tensor] | None = None
        self.count = 0
        self.per_epoch = per_epoch
        self.slow = Slow(module, recipe.lookahead, total) if recipe.lookahead else None
        if recipe.ema is not None:
            decay = effective_decay(recipe.ema, recipe.batch, total / per_epoch)
            restart = recipe.ema.restart.steps(per_epoch) if recipe.ema.restart else 0
            self.ema = Average(module, recipe.ema, decay, restart)
        if recipe.swa is not None:
            self.start = math.ceil(round(recipe.swa.start * total, 6))  # 0.55 * 100 is a little above 55
            self.swa = {n: t.detach().clone() for n, t in module.state_dict().items()}

    def doubts(self, total: int) -> list[str]:
        """Notes before a run of so many steps: an average too slow for it, or of nothing."""
        if self.swa is not None and total // self.per_epoch * self.per_epoch < max(1, self.start):
            return ["`swa` averages at the end of an epoch, and none ends after its start: the last weights are used"]
        if self.ema is None:
            return []
        left = self.ema.left(total)
        if left < FRESH:
            return []
        what = "weights and batch-norm statistics" if self.ema.statistics else "weights"
        fast = "a smaller decay, or `ema(..., warmup=true)`, follows"
        return [f"the average (decay {self.ema.decay:.6g}) will still be {left:.0%} first {what} at the end: {fast}"]

    @torch.no_grad()
    def update(self, module: nn.Module, step: int) -> None:
        """After optimizer step `step`, counted from 1."""
        if self.slow is not None:
            self.slow.update(module, step)
        if self.ema is not None:
            self.ema.update(module, step)
        if self.swa is not None and step >= self.start and step % self.per_epoch == 0:
            self.count += 1
            for name, tensor in module.state_dict().items():
                if tensor.is_floating_point():
                    self.swa[name].lerp_(tensor, 1 / self.count)
                else:
                    self.swa[name].copy_(tensor)

    def state(self) -> dict[str, Tensor] | None:
        """The averaged weights by state-dict key, where there are any yet."""
        if self.ema is not None:
            return self.ema.state
        return self.swa if self.count else None

    def tensors(self) -> dict[str, Tensor]:
        """The tensors that a checkpoint keeps."""
        slow = {f"{SLOW}{n}": t for n, t in self.slow.state.items()} if self.slow is not None else {}
        if self.ema is not None:
            return slow | self.ema.state
        return slow | ({**self.swa, "swa.count": torch.tensor(self.count)} if self.swa is not None else {})

    def load(self, tensors: dict[str, Tensor]) -> None:
        own = self.ema.state if self.ema is not None else self.swa or {}
        if "swa.count" in tensors:
            self.count = int(tensors["swa.count"])
        if self.slow is not None:
            assign(self.slow.state, {n.removeprefix(SLOW): t for n, t in tensors.items() if n.startswith(SLOW)})
        assign(own, {n: t for n, t in tensors.items() if n != "swa.count" and not n.startswith(SLOW)})
