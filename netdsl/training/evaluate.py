"""Evaluation: every sample of a split counts once, whatever the batch and the number of processes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

import torch
from msgspec.structs import replace
from torch import Tensor

from netdsl.recipe.losses import Bce, Contrastive, CrossEntropy
from netdsl.recipe.metrics import always_measured
from netdsl.recipe.schema import Recipe
from netdsl.training.augment.pipeline import Pipeline
from netdsl.training.capacity import Attempt, fits_in_memory, within_memory
from netdsl.training.data.dataset import CHUNK, Split
from netdsl.training.data.graphs import each
from netdsl.training.data.pairs import both_views, takes_views
from netdsl.training.data.targets import Targets
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.losses.criterion import Criterion, facing
from netdsl.training.losses.pairs import likeness
from netdsl.training.metrics import Metrics
from netdsl.training.recurrent_states import Carried, windows
from netdsl.training.rng import KeyedRng, key
from netdsl.training.user_functions import Own, check_names, measured, with_plugins

Forward = Callable[..., Any]


def at_once(recipe: Recipe, world: int = 1) -> int:
    """Samples that an evaluation computes at once: what one process trains on at once, which fits with its gradient."""
    return min(CHUNK, recipe.micro_batch or -(-recipe.batch // world))


class Evaluator:
    """Measures a net on splits, with the recipe's loss on unsmoothed, unmixed targets."""

    def __init__(
        self,
        recipe: Recipe,
        names: tuple[str, ...],
        kept: tuple[str, ...],
        task: str,
        classes: int,
        ranks: ProcessGroup,
        folder: Path | None = None,
        deviation: Tensor | None = None,
        own: Own | None = None,
        carried: Carried | None = None,
    ) -> None:
        self.carried = carried
        check_names(own, (*always_measured(task), *recipe.metrics))
        self.own = with_plugins(own, recipe.metrics)
        plain = replace(recipe, mix=(), loss=_without_smoothing(recipe.loss))
        self.criterion = Criterion(plain, names, kept, deviation)
        self.targets = Targets(plain, task, classes)
        self.task, self.classes = "classes" if task == "distributions" else task, classes
        self.likeliest = task == "distributions"
        self.metrics = recipe.metrics
        self.ranks = ranks
        self.share = -(-recipe.batch // ranks.world)
        self.most = at_once(recipe, ranks.world)
        self.folder = folder
        self.workers = recipe.workers
        self.recipe, self.augment = recipe, Pipeline(recipe.augment)

    @torch.no_grad()
    def __call__(self, forward: Forward, split: Split) -> dict[str, Any]:
        """Metrics of a net in evaluation mode on a split."""
        known = len(split), _origin(split), self.own is not None, split.bytes_per_token
        metrics = Metrics(self.task, self.classes, self.metrics, *known)
        if self.carried is not None and split.streams:
            with self.carried.aside():
                self._follow(self.carried, metrics, forward, split)
        elif isinstance(self.criterion.component, Contrastive):
            self._compare(metrics, forward, split)
        else:
            self._each(metrics, forward, split)
        metrics.sums = self.ranks.sum(metrics.sums)
        found = metrics.results()
        if self.own is not None and len(split):
            found |= measured(self.own, metrics.sums["outputs"].float(), as_given(metrics.sums["targets"], split))
        return found

    def _each(self, metrics: Metrics, forward: Forward, split: Split) -> None:
        """Add this process's samples."""
        own = self.ranks.share(len(split)) if split.shards else (self.ranks.rank, len(split), self.ranks.world)
        mine = torch.arange(*own, device=split.target.device)  # of shards, each process reads its own
        parts = [p for p in torch.split(mine, self.most) if len(p)]
        waited = self._chunks(len(split)) - len(parts)
        parts += [torch.zeros(1, dtype=mine.dtype, device=mine.device)] * waited
        for place, (inputs, target) in enumerate(split.batches(parts, self.workers), 1):
            with within_memory(partial(self._attempt, forward, inputs, target, split.graphs is None)):
                counted = None if place <= len(parts) - waited else 0
                result, target = split.by_sample(forward(*inputs), target)
                self._add(metrics, first_of(result, counted), target[:counted], parts[place - 1][:counted])

    def _follow(self, carried: Carried, metrics: Metrics, forward: Forward, split: Split) -> None:
        """Add this process's streams, window after window, from the states in which the ones before ended."""
        for window in windows(split, self.ranks.share(split.streams), self.most):
            inputs, target = split.take(window.rows)
            with (
                within_memory(partial(self._attempt, forward, inputs, target)),
                carried.window(window.places, window.fresh, split.streams),
            ):
                self._add(metrics, forward(*inputs), target, window.rows)

    def _compare(self, metrics: Metrics, forward: Forward, split: Split) -> None:
        """Add this process's groups of samples, which are compared among themselves: of about a batch each, in order,
        and in two views that are the same in every evaluation."""
        rows = torch.arange(len(split), device=split.target.device)
        views, component = takes_views(self.recipe, split), self.criterion.component
        groups = torch.tensor_split(rows, max(1, round(len(split) / self.recipe.batch)))
        for group in groups[self.ranks.rank :: self.ranks.world]:
            inputs, target = split.take(group)
            if views:
                draws = KeyedRng(key(self.recipe.seed, "views"), group)
                inputs = both_views(self.augment, inputs, target, draws, 0)
            with within_memory(lambda: Attempt(len(group), self.share, None, self.folder, " in an evaluation")):  # noqa: B023
                result = forward(*inputs)
                terms = self.criterion(result, target)
            metrics.add(likeness(component, self.criterion.pair(result)), target, terms.loss, terms.count, group)

    def _chunks(self, samples: int) -> int:
        """How many chunks every process computes: shards of a net are gathered by all of them, or none. Those that a
        process lacks are of one sample, and do not count."""
        return ceil(ceil(samples / self.ranks.world) / self.most)

    def _add(self, metrics: Metrics, result: Any, target: Tensor, rows: Tensor) -> None:
        terms = self.criterion(result, self.targets(target))
        main = self.criterion.main(result).float()
        truth = target.argmax(1) if self.likeliest else facing(target, main)
        metrics.add(main, truth, terms.loss, terms.count, rows)

    def _attempt(self, forward: Forward, inputs: tuple[Tensor, ...], target: Tensor, apart: bool = True) -> Attempt:
        """The evaluation of a chunk that did not fit, to be tried with its first samples, where they are `apart`; its
        result is dropped."""

        def passes(count: int) -> None:
            unused = Metrics(self.task, self.classes, self.metrics, count)
            rows = torch.arange(count, device=target.device)
            self._add(unused, forward(*(x[:count] for x in inputs)), target[:count], rows)

        alone = self.ranks.world == 1 and apart
        fits = (lambda count: fits_in_memory(lambda: passes(count))) if alone else None
        return Attempt(len(target), self.share, fits, self.folder, " in an evaluation")


def as_given(targets: Tensor, split: Split) -> Tensor:
    """Targets that were added up as float64, in the type that they have."""
    return targets.float() if split.target.is_floating_point() else targets.long()


def _origin(split: Split) -> Tensor | None:
    """A target of regression targets, from which the others are measured: every process has it. Of nodes, a number of
    each column."""
    if not split.target.is_floating_point() or not len(split):
        return None
    first = split.target[0].double()
    return first if bool(torch.isfinite(first).all()) else first.nan_to_num(0, neginf=0).flatten(0, -2).amax(0)


def _without_smoothing(loss: Any) -> Any:
    return replace(loss, label_smoothing=0.0) if isinstance(loss, CrossEntropy | Bce) else loss


def first_of(result: Any, count: int | None) -> Any:
    """The first samples of a module's result; None: all of them."""
    return result if count is None else each(result, lambda x: x[:count])


def first_output(result: Any) -> Tensor:
    """The first of a module's results."""
    return every_output(result)[0]


def every_output(result: Any) -> tuple[Tensor, ...]:
    """A module's results in their order."""
    if isinstance(result, dict):
        return tuple(result.values())
    return tuple(result) if isinstance(result, tuple | list) else (result,)
