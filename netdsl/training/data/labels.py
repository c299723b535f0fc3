"""Yes-or-no labels, each decided on its own: what binary cross entropy makes of a data set."""

from __future__ import annotations

from msgspec.structs import replace
from torch import Tensor

from netdsl.recipe.losses import Bce
from netdsl.recipe.schema import Recipe
from netdsl.training.data.dataset import DataSet, Split
from netdsl.training.errors import DataError


def as_labels(data: DataSet, recipe: Recipe, outputs: int | None) -> DataSet:
    """With `bce`, numbers from 0 to 1 are labels [N, L], several of which may hold; so are two classes for a net with
    one output, [N, 1]. Other data sets stay what they are. Raises DataError for other numbers."""
    if not isinstance(recipe.loss, Bce):
        return data
    if data.task == "classes" and outputs == 1 and len(data.classes) == 2:
        splits = (replace(s, target=s.target.float()[:, None]) for s in (data.train, data.test))
    elif data.task == "numbers":
        splits = (_checked(s, data.name) for s in (data.train, data.test))
    else:
        return data
    train, test = splits
    return replace(data, train=train, test=test, task="labels", classes=())


def _checked(split: Split, name: str) -> Split:
    y: Tensor = split.target
    if len(y) and not 0 <= float(y.min()) <= float(y.max()) <= 1:
        have = f"those of `{name}` go from {float(y.min()):.4g} to {float(y.max()):.4g}"
        raise DataError(
            "data-value", f"`bce` takes labels from 0 to 1, and {have}", "regression targets: `--set loss=mse`"
        )
    return split
