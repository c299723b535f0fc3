"""Targets that are numbers, as a loss reads them: labels, probabilities of classes, or a class for each place
of a sequence."""

from __future__ import annotations

from typing import Any

import torch
from msgspec.structs import replace
from torch import Tensor

from netdsl.recipe.losses import Bce, CrossEntropy
from netdsl.recipe.schema import Recipe
from netdsl.training.data.dataset import DataSet, Split
from netdsl.training.errors import DataError


def as_labels(data: DataSet, recipe: Recipe, outputs: int | None) -> DataSet:
    """With `bce`, numbers from 0 to 1 are labels [N, L], several of which may hold (-1: not known); so are two classes,
    of samples or of nodes, for a net with one output, [..., 1]: the second one is the yes. Other data sets stay what
    they are. Raises DataError for other numbers."""
    if not isinstance(recipe.loss, Bce):
        return data
    if data.task in ("classes", "nodes") and outputs == 1 and len(data.classes) == 2:
        found = data.changed(lambda s: replace(s, target=s.target.float()[..., None]))
        return replace(found, task="labels" if data.task == "classes" else "node_labels")
    elif data.task == "numbers":
        splits = (_checked(s, data.name) for s in (data.train, data.test))
    else:
        return data
    train, test = splits
    names = data.called(train.target.shape[1]) if data.names and data.task == "numbers" else ()
    return replace(data, train=train, test=test, task="labels", classes=names)


SLACK = 1e-3
"""How far the probabilities of a sample may be from 1 in all."""


def as_distributions(data: DataSet, recipe: Recipe, outputs: int | None) -> DataSet:
    """With `cross_entropy` and `focal`, rows of as many probabilities as the net has outputs are soft targets: a share
    of each class. Rows of zeros and ones, and other data sets, stay what they are.

    Raises DataError for a row that does not add up to 1 among others that do.
    """
    y = data.train.target
    if not isinstance(recipe.loss, CrossEntropy) or data.task != "numbers" or tuple(y.shape[1:]) != (outputs,):
        return data
    if 2 * int(_wrong(y).sum()) > len(y) or bool(((y == 0) | (y == 1)).all()):
        return data
    for split, purpose in ((data.train, "train"), (data.test, "test")):
        wrong = _wrong(split.target)
        if bool(wrong.any()):
            row = int(wrong.int().argmax())
            total = float(split.target[row].sum())
            message = f"row {row} of `{data.name}` to {purpose} on is no share of each class: it adds up to {total:.4g}"
            hint = "probabilities are at least 0 and add up to 1; labels of which several may hold: `--set loss=bce`"
            raise DataError("data-value", message, hint)
    return replace(data, task="distributions", classes=data.called(y.shape[1]))


def as_tags(data: DataSet, recipe: Recipe, shape: tuple[Any, ...]) -> DataSet:
    """With `cross_entropy` and `focal`, rows of whole numbers are the classes of the places of a sequence, where a net
    gives some for each, `shape` [length, classes]; -1 is no class. Other data sets stay what they are."""
    y = data.train.target
    if not isinstance(recipe.loss, CrossEntropy) or data.task != "numbers" or len(shape) != 2 or y.ndim != 2:
        return data
    if shape[0] not in (y.shape[1], None) and isinstance(shape[0], int):
        return data
    both = torch.cat((y.flatten(), data.test.target.flatten()))
    if not bool(((both == both.floor()) & (both >= -1)).all()):
        return data
    count = max(int(both.max()) + 1, shape[1] if isinstance(shape[1], int) else 0)
    if not (names := data.called(count)):
        return data
    found = data.changed(lambda split: replace(split, target=split.target.long()))
    return replace(found, task="tags", classes=names)


def _wrong(y: Tensor) -> Tensor:
    """Mark the rows that are no probabilities."""
    return (y < 0).any(1) | ((y.sum(1) - 1).abs() > SLACK)


UNKNOWN = -1
"""A label of which nothing is known, and the class of what has none."""


def check_noes(known: Tensor, name: object) -> None:
    """Raise DataError where -1 would stand for a no: no label that is known is 0, beside some that are not known."""
    if not bool((known == 0).any()):
        raise DataError("data-value", f"no label of `{name}` is 0", "a no is 0, and -1 stands for what is not known")


def _checked(split: Split, name: str) -> Split:
    y: Tensor = split.target
    known = y[y != UNKNOWN]
    if len(known) < y.numel():
        check_noes(known, name)
    if len(known) and not 0 <= float(known.min()) <= float(known.max()) <= 1:
        have = f"those of `{name}` go from {float(y.min()):.4g} to {float(y.max()):.4g}"
        raise DataError(
            "data-value", f"`bce` takes labels from 0 to 1, and {have}", "regression targets: `--set loss=mse`"
        )
    return split
