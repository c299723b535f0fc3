"""Two views of each sample: the pairs that a contrastive loss compares."""

from __future__ import annotations

import torch
from msgspec.structs import replace
from torch import Tensor

from netdsl.recipe.losses import Contrastive
from netdsl.recipe.schema import Recipe
from netdsl.training.augment.pipeline import Pipeline
from netdsl.training.data.dataset import DataSet, Split
from netdsl.training.rng import KeyedRng, key


def as_pairs(data: DataSet, recipe: Recipe) -> DataSet:
    """With a contrastive loss, samples whose targets do not count; other data as they are."""
    return replace(data, task="pairs", classes=()) if isinstance(recipe.loss, Contrastive) else data


def takes_views(recipe: Recipe, split: Split) -> bool:
    """Whether each sample is shown twice, augmented in two ways: a net with two inputs has both views of its own."""
    return isinstance(recipe.loss, Contrastive) and len(split.example()) == 1


def second(draws: KeyedRng) -> KeyedRng:
    """The random keys of the second view of the samples."""
    return KeyedRng(key(draws.base, "second view"), draws.samples)


def both_views(
    pipeline: Pipeline, inputs: tuple[Tensor, ...], target: Tensor, draws: KeyedRng, epoch: int, after: int = 0
) -> tuple[Tensor, ...]:
    """Images [B, ...] twice, augmented in two ways: [2 B, ...], first views first. Where they are cut from files there
    are 2 B already (`after` their first augmentation)."""
    ours = inputs[0].chunk(2) if after else (inputs[0], inputs[0])
    ways = draws, second(draws)
    views = [pipeline((x,), target, d, epoch, after)[0][0] for x, d in zip(ours, ways, strict=True)]
    return (torch.cat(views),)
