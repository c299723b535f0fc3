"""Evaluation: every sample of a split counts once, whatever the batch and the number of processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from msgspec.structs import replace
from torch import Tensor

from netdsl.recipe.losses import Bce, CrossEntropy
from netdsl.recipe.schema import Recipe
from netdsl.training.data.dataset import CHUNK, Split
from netdsl.training.data.targets import Targets
from netdsl.training.distributed.process_group import Ranks
from netdsl.training.losses.criterion import Criterion, facing
from netdsl.training.metrics import Metrics

Forward = Callable[..., Any]


def chunks(places: Tensor, micro: int = 0) -> tuple[Tensor, ...]:
    """A list of samples in parts that are computed at once: a few times what fits with its gradient."""
    return torch.split(places, min(CHUNK, 4 * micro) if micro else CHUNK)


class Evaluator:
    """Measures a net on splits, with the recipe's loss on unsmoothed, unmixed targets."""

    def __init__(
        self, recipe: Recipe, names: tuple[str, ...], kept: tuple[str, ...], task: str, classes: int, ranks: Ranks
    ) -> None:
        plain = replace(recipe, mix=(), loss=_without_smoothing(recipe.loss))
        self.criterion = Criterion(plain, names, kept)
        self.targets = Targets(plain, task, classes)
        self.task, self.classes = task, classes
        self.metrics = recipe.metrics
        self.ranks = ranks
        self.micro = recipe.micro_batch
        self.workers = recipe.workers

    @torch.no_grad()
    def __call__(self, forward: Forward, split: Split) -> dict[str, Any]:
        """Metrics of a net in evaluation mode on a split."""
        metrics = Metrics(self.task, self.classes, self.metrics)
        mine = torch.arange(self.ranks.rank, len(split), self.ranks.world, device=split.target.device)
        for inputs, target in split.batches(chunks(mine, self.micro), self.workers):
            result = forward(*inputs)
            terms = self.criterion(result, self.targets(target))
            main = self.criterion.main(result).float()
            metrics.add(main, facing(target, main), terms.loss, terms.count)
        metrics.sums = self.ranks.sum(metrics.sums)
        return metrics.results()


def _without_smoothing(loss: Any) -> Any:
    return replace(loss, label_smoothing=0.0) if isinstance(loss, CrossEntropy | Bce) else loss


@torch.no_grad()
def predictions(forward: Forward, split: Split) -> Tensor:
    """The main output for every sample of a split, [N, ...], on the CPU."""
    places = torch.arange(len(split), device=split.target.device)
    return torch.cat([first_output(forward(*split.take(index)[0])).cpu() for index in chunks(places)])


def first_output(result: Any) -> Tensor:
    """The first of a module's results."""
    if isinstance(result, dict):
        result = next(iter(result.values()))
    found: Tensor = result[0] if isinstance(result, tuple | list) else result
    return found
