"""Classes that are not equally frequent: what balances them in the loss or in the order, from the training split."""

from __future__ import annotations

import torch
from msgspec.structs import replace
from torch import Tensor

from netdsl.recipe.component import component_name
from netdsl.recipe.losses import Bce
from netdsl.recipe.metrics import NODES, TARGETS
from netdsl.recipe.schema import Recipe
from netdsl.training.data.balance import Balance
from netdsl.training.data.dataset import DataSet, Split
from netdsl.training.errors import DataError


def balanced(recipe: Recipe, train: Split, data: DataSet) -> Recipe:
    """The recipe with the weights that `balanced` stands for, in numbers: they are what a run records.

    Raises DataError for targets that have no classes.
    """
    loss = recipe.loss
    if not loss.is_open:
        return recipe
    if data.task == "numbers":
        name = f"{component_name(loss)}({loss.balances}=balanced)"
        raise DataError("unfit-loss", f"`{name}` counts classes, and `{data.name}` has regression targets")
    if train.target.ndim > 2 and data.task == "labels":
        message = f"`{loss.balances}=balanced` counts each of several labels, and the targets of `{data.name}` are maps"
        noes, yes = (float((train.target == value).sum()) for value in (0, 1))
        raise DataError("unfit-loss", message, f"`{loss.balances}=[{noes / max(1.0, yes):.3g}]`: noes per yes of all")
    counts, total = _counts(train, data)
    found = _yes_weights(counts, total) if isinstance(loss, Bce) else _class_weights(counts)
    values = tuple(float(f"{v:.6g}") for v in found.tolist())
    return replace(recipe, loss=replace(loss, **{loss.balances: values}))


def _counts(train: Split, data: DataSet) -> tuple[Tensor, Tensor]:
    """How often each class, or label, holds in the training split, and in how many places it could."""
    if train.target.is_floating_point():
        y = train.target.flatten(0, -2) if data.task in NODES else train.target
        return y.clamp(min=0).double().sum(0).cpu(), (y >= 0).double().sum(0).cpu()
    counts = torch.zeros(max(1, len(data.classes)), dtype=torch.float64)
    if train.reads_target:
        everything = (y for _, y in train.batches(train.pieces(torch.arange(len(train)))))
    else:
        everything = (train.target[places] for places in torch.split(torch.arange(len(train)), 4096))
    for y in everything:
        counts += torch.bincount(y[y >= 0].long().cpu(), minlength=len(counts))
    return counts, counts.sum()


def _class_weights(counts: Tensor) -> Tensor:
    """As sklearn.utils.compute_class_weight("balanced"); 0 for a class that does not occur."""
    there = counts > 0
    return torch.where(there, counts.sum() / (there.sum() * counts.clamp(min=1)), 0.0)


def _yes_weights(yes: Tensor, total: Tensor) -> Tensor:
    """Noes per yes; 1 where there are none of the one or the other."""
    no = total - yes
    return torch.where((yes > 0) & (no > 0), no / yes.clamp(min=1), 1.0)


def balance_of(recipe: Recipe, train: Split) -> Balance | None:
    """The balance of an epoch's order, where the recipe asks for one."""
    if recipe.sampling is None:
        return None
    return Balance.of(train.target.reshape(len(train)), recipe.sampling.power)


def check_sampling(recipe: Recipe, data: DataSet) -> None:
    """Raise DataError where samples have no class by which they could be chosen."""
    yes_or_no = data.task == "labels" and data.train.target.shape[1:] == (1,)
    if recipe.sampling is None or data.task == "classes" or yes_or_no:
        return
    message = f"`sampling` chooses samples by their class, and the targets of `{data.name}` are {TARGETS[data.task]}"
    raise DataError("not-supported", message)
