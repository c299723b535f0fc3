"""The outputs of a net for a batch, one tensor or several by name, and the weighted loss over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from netdsl.recipe.losses import Contrastive
from netdsl.recipe.schema import Recipe
from netdsl.training.data.dataset import DataError
from netdsl.training.losses.distillation import Distillation
from netdsl.training.losses.losses import Terms, counts_of, loss_of
from netdsl.training.losses.pairs import pair_terms
from netdsl.training.user_functions import Own, loss_terms


class Criterion:
    """The loss of a net with one or several outputs, as sums over samples.

    `names`: the outputs while training, in order; `kept`: those at inference, of which the first is the main one. The
    main output has weight 1 (with a loss over pairs, both of them), others 0 unless the recipe's `outputs` gives them
    one. Every output is compared with the same target. `deviation`: that of every target, in which outputs and targets
    are compared, as it is multiplied with them. `teacher`: a model whose outputs are targets of the main output too,
    where the inputs are given; `own`: a loss that takes the place of all of these then, and `whole`: whether the batch
    of a step is computed at once.
    """

    def __init__(
        self,
        recipe: Recipe,
        names: Sequence[str],
        kept: Sequence[str] = (),
        deviation: Tensor | None = None,
        teacher: Distillation | None = None,
        own: Own | None = None,
        whole: bool = True,
    ) -> None:
        self.names = tuple(names)
        self.kept = tuple(kept) or self.names
        for name in recipe.outputs:
            if name not in self.names:
                raise DataError(
                    "unknown-output", f"the net has no output `{name}`", f"its outputs: {', '.join(self.names)}"
                )
        main = self.kept[: 2 if isinstance(recipe.loss, Contrastive) else 1]
        self.weights = {n: recipe.outputs.get(n, 1.0 if n in main else 0.0) for n in self.names}
        self.teacher = teacher
        self.share = 1.0 if teacher is None else teacher.share
        self.own, self.whole = own if own is not None and own.loss is not None else None, whole
        self.component = recipe.loss
        self.loss = loss_of(recipe.loss)
        self.deviation = deviation

    def __call__(self, result: Any, target: Tensor, inputs: tuple[Tensor, ...] = ()) -> Terms:
        """The terms of every weighed output's loss, and of the loss against the teacher."""
        if self.own is not None and inputs:
            found_own = loss_terms(self.own, result, target, inputs, self.whole)[None]
            return Terms(found_own, torch.ones_like(found_own))
        if isinstance(self.component, Contrastive):
            pairs = pair_terms(self.component, self.pair(result), not self.whole)[None]
            return Terms(pairs, torch.ones_like(pairs))
        found = [(self.loss(*self._compared(x, facing(target, x))), weight) for x, weight in self._weighed(result)]
        losses, counts = [t.loss * (weight * self.share) for t, weight in found], [t.count for t, _ in found]
        if self.teacher is not None and inputs:
            taught = self.teacher(self.main(result), inputs, target)[None]
            losses, counts = [*losses, taught], [*counts, torch.ones_like(taught)]
        return Terms(torch.cat(losses), torch.cat(counts))

    def totals(self, result: Any, targets: Sequence[Tensor]) -> Tensor:
        """The denominators [T] of all terms over several micro-batches, of which `result` is that of one."""
        return torch.stack([self._counted(result, target) for target in targets]).sum(0)

    def _counted(self, result: Any, target: Tensor) -> Tensor:
        if self.own is not None or isinstance(self.component, Contrastive):
            return self.main(result).new_full((1,), len(target), dtype=torch.float32)
        counts = [counts_of(self.component, facing(target, x)).sum(1) for x, _ in self._weighed(result)]
        taught = [counts[0].new_full((1,), len(target))] if self.teacher is not None else []
        return torch.cat([*counts, *taught])

    def _compared(self, output: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """An output and its target in deviations of the target."""
        if self.deviation is None or output.shape != target.shape:
            return output, target
        self.deviation = self.deviation.to(target.device)
        return output.float() / self.deviation, target / self.deviation

    def _weighed(self, result: Any) -> list[tuple[Tensor, float]]:
        """The outputs that the loss looks at, with their weights."""
        return [(x, self.weights[n]) for n, x in self.named(result).items() if self.weights.get(n)]

    def main(self, result: Any) -> Tensor:
        """The output that metrics look at."""
        return self.named(result)[self.kept[0]]

    def pair(self, result: Any) -> tuple[Tensor, Tensor]:
        """The vectors of both views: two outputs, or both halves of one."""
        named = self.named(result)
        if len(self.kept) > 1:
            return named[self.kept[0]], named[self.kept[1]]
        first, second = named[self.kept[0]].chunk(2)
        return first, second

    def named(self, result: Any) -> dict[str, Tensor]:
        """A module's result by output name: a tensor, a tuple in order, or a dict."""
        if isinstance(result, Mapping):
            return dict(result)
        if isinstance(result, tuple | list):
            return dict(zip(self.names if len(result) == len(self.names) else self.kept, result, strict=True))
        return {self.kept[0]: result}


def facing(target: Tensor, output: Tensor) -> Tensor:
    """A target as an output sees it: where unpadded convolutions have cost the border, the middle of a mask [B, H, W]
    (Ronneberger et al. 2015)."""
    if target.ndim != 3 or output.ndim != 4 or target.shape[1:] == output.shape[2:]:
        return target
    height, width = output.shape[2:]
    top, left = (target.shape[1] - height) // 2, (target.shape[2] - width) // 2
    return target[:, top : top + height, left : left + width]
