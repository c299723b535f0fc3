"""Cross-validation: the parts of a data set, each of which is tested on once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from msgspec.structs import replace
from torch import Tensor

from netdsl.inference.columns import Column
from netdsl.recipe.schema import Recipe, validation_samples
from netdsl.training.data.dataset import DataSet, Refitted, Split
from netdsl.training.data.division import held_rows, numbers_of, parts_in_time, parts_of
from netdsl.training.errors import DataError


def validated(data: DataSet, recipe: Recipe, fold: int | None) -> DataSet:
    """The data set of a fold of the recipe's cross-validation, the whole one for None. The columns of a table are those
    of the rows that are trained on: without the fold's own, and without `validation`."""
    found = data if fold is None or recipe.folds is None else fold_of(data, recipe.folds, fold, recipe.seed)
    samples = len(found.train)
    count = validation_samples(recipe.validation, samples)
    if found.refitted is None or not 0 < count < samples:
        return found
    chosen, _ = held_rows(samples, count, recipe.seed, found.train.groups, found.train.ordered)
    again = found.refitted(chosen, found.columns)
    parts = zip(*((x[:samples], x[samples:]) for x in again.inputs), strict=True)
    train, test = (replace(s, inputs=tuple(x)) for s, x in zip((found.train, found.test), parts, strict=True))
    said = (*again.notes, *found.notes[len(again.notes) :])
    return replace(found, train=train, test=test, columns=again.columns, notes=said)


def fold_of(data: DataSet, count: int, number: int, seed: int) -> DataSet:
    """The data set whose test split is one of `count` parts, and whose training split is the others.

    Every class is spread evenly over the parts, and no group has samples in two of them. Samples in time are trained on
    up to a part, and tested in it. What a table's columns are is taken from the samples to train on alone. A test split
    that was drawn from the same samples belongs to them, any other one is left out. Raises DataError for more parts
    than samples or groups.
    """
    whole = _joined(data.train, data.test) if data.drawn else data.train
    _check_enough(whole, count, data.name)
    if whole.ordered:
        part = parts_in_time(len(whole), count)
        train, test = (torch.nonzero(chosen)[:, 0] for chosen in (part <= number, part == number + 1))
    else:
        classes = whole.target if data.task == "classes" else None
        part = parts_of(classes, len(whole), count, seed, whole.groups)
        train, test = (torch.nonzero(chosen)[:, 0] for chosen in (part != number, part == number))
    if data.refitted is not None:
        again = data.refitted(train)
        whole = replace(whole, inputs=tuple(x[: len(whole)] for x in again.inputs))
        within = partial(_within, data.refitted, torch.cat((train, test)))
        data = replace(data, columns=again.columns, notes=again.notes, refitted=within)
    return replace(data, train=whole.subset(train), test=whole.subset(test), drawn=False)


def _within(refitted: Callable[..., Refitted], order: Tensor, chosen: Tensor, slots: tuple[Column, ...]) -> Refitted:
    """`refitted` of a part of its rows, in another order."""
    again = refitted(order[chosen], slots)
    return replace(again, inputs=tuple(x[order] for x in again.inputs))


def _check_enough(whole: Split, count: int, name: str) -> None:
    """Raise DataError for more parts than samples, groups or times."""
    most, of = len(whole), "samples"
    if whole.groups is not None:
        most, of = int(numbers_of(whole.groups).max()) + 1, "groups"
    if count <= most - whole.ordered:
        return
    hint = None
    if most > 1 and not whole.ordered:
        hint = f"`folds = {most}` leaves out one {of[:-1]} at a time"
    raise DataError("few-samples", f"`folds = {count}` is more than the {of} of `{name}`: {most}", hint)


def _joined(a: Split, b: Split) -> Split:
    groups = None if a.groups is None or b.groups is None else torch.cat((a.groups, b.groups))
    if a.graphs is not None and b.graphs is not None:  # both are of the same graphs
        graphs = replace(a.graphs, which=torch.cat((a.graphs.which, b.graphs.which)))
        return Split((), torch.cat((a.target, b.target)), graphs=graphs, groups=groups)
    inputs = tuple(torch.cat(x) for x in zip(a.inputs, b.inputs, strict=True))
    return Split(inputs, torch.cat((a.target, b.target)), groups=groups, ordered=a.ordered)
