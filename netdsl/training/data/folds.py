"""Cross-validation: the parts of a data set, each of which is tested on once."""

from __future__ import annotations

import torch
from msgspec.structs import replace
from torch import Tensor

from netdsl.recipe.schema import Recipe
from netdsl.training.data.dataset import DataSet, Split
from netdsl.training.errors import DataError
from netdsl.training.rng import key, permutation


def validated(data: DataSet, recipe: Recipe, fold: int | None) -> DataSet:
    """The data set of a fold of the recipe's cross-validation; the whole one for None."""
    return data if fold is None or recipe.folds is None else fold_of(data, recipe.folds, fold, recipe.seed)


def fold_of(data: DataSet, count: int, number: int, seed: int) -> DataSet:
    """The data set whose test split is one of `count` parts, and whose training split is the others.

    Every class is spread evenly over the parts. What a table's columns are is taken from the others alone. A test
    split that was drawn from the same samples belongs to them, any other one is left out. Raises DataError for more
    parts than samples.
    """
    whole = _joined(data.train, data.test) if data.drawn else data.train
    if count > len(whole):
        hint = f"`folds = {len(whole)}` leaves out one sample at a time" if len(whole) > 1 else None
        message = f"`folds = {count}` is more than the samples of `{data.name}`: {len(whole)}"
        raise DataError("few-samples", message, hint)
    part = parts_of(whole.target if data.task == "classes" else None, len(whole), count, seed)
    train, test = (torch.nonzero(chosen)[:, 0] for chosen in (part != number, part == number))
    if data.refitted is not None:
        again = data.refitted(train)
        whole = replace(whole, inputs=again.inputs)
        data = replace(data, columns=again.columns, notes=again.notes)
    return replace(data, train=whole.subset(train), test=whole.subset(test), drawn=False, refitted=None)


def parts_of(classes: Tensor | None, samples: int, count: int, seed: int) -> Tensor:
    """The part of every sample, [N]: in an order of the seed, class after class."""
    order = permutation(key(seed, "folds"), samples)
    if classes is not None:
        order = order[classes.cpu()[order].argsort(stable=True)]
    part = torch.empty(samples, dtype=torch.int64)
    part[order] = torch.arange(samples) % count
    return part


def _joined(a: Split, b: Split) -> Split:
    if a.graphs is not None and b.graphs is not None:  # both are of the same graphs
        graphs = replace(a.graphs, which=torch.cat((a.graphs.which, b.graphs.which)))
        return Split((), torch.cat((a.target, b.target)), graphs=graphs)
    inputs = tuple(torch.cat(x) for x in zip(a.inputs, b.inputs, strict=True))
    return Split(inputs, torch.cat((a.target, b.target)))
