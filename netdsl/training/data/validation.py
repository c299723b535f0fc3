"""Checks of a data set after reading, whatever its source, and of the recipe's use of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from netdsl.ir.model import Program
from netdsl.planning.net import open_sizes
from netdsl.recipe.component import component_name
from netdsl.recipe.losses import L1, Bce, CrossEntropy, DiceCe, Huber, Mse
from netdsl.recipe.metrics import LABELS, METRICS, NODES, NUMBERS, TARGETS, label_names
from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import Synthetic
from netdsl.training.data.dataset import DataSet, Split
from netdsl.training.data.imbalance import check_sampling
from netdsl.training.errors import DataError

LOSSES_OF_NODES: dict[str, tuple[Any, str]] = {
    "nodes": (CrossEntropy, "use `loss = cross_entropy`"),
    "node_labels": (Bce, "use `loss = bce`; of rows with a single 1, `labels.argmax(1)` are classes"),
    "node_numbers": (L1 | Mse | Huber, "use `loss = mse`, `l1` or `huber`"),
}
NO_VOID = ("classes",)
"""Tasks whose targets are all known; in the others a negative class means that a place does not count."""


def check_sizes_given(program: Program, recipe: Recipe) -> None:
    """Raise DataError where samples are made in the net's own shape, and it leaves sizes open."""
    named = open_sizes(program)
    if named and isinstance(recipe.data, Synthetic):
        value, sizes = program.main.inputs[0], " ".join(f"--size {name}=32" for name in named)
        message = f"`synthetic` makes samples of the net's own shape, and `{value.name} {value.type}` has open sizes"
        raise DataError("symbolic-size", message, f"give numbers: `{sizes}`")


def check_sound(data: DataSet) -> None:
    """Raise DataError for a data set that is empty, at odds with itself, or holds what is no number."""
    for split, purpose in ((data.train, "train"), (data.test, "test")):
        if not len(split):
            raise DataError("no-samples", f"`{data.name}` has no samples to {purpose} on")
        for x in split.inputs:
            if x.is_floating_point() and not bool((finite := torch.isfinite(x)).all()):
                row = int((~finite).flatten(1).any(1).int().argmax())
                raise DataError(
                    "not-finite-data",
                    f"`{data.name}` has values that are not finite, first in row {row} to {purpose} on",
                )
        _check_target(data, split, purpose)
    for a, b in zip(data.train.inputs, data.test.inputs, strict=True):
        if a.shape[1:] != b.shape[1:]:
            shapes = " x ".join(map(str, a.shape[1:])), " x ".join(map(str, b.shape[1:]))
            raise DataError(
                "uneven-samples",
                f"`{data.name}` has samples of {shapes[0]} to train on, and of {shapes[1]} to test on",
            )


def _check_target(data: DataSet, split: Split, purpose: str) -> None:
    if split.reads_target:  # the reader has looked at all of them
        return
    y = split.target
    if y.is_floating_point() != (data.task in (*NUMBERS, "node_labels")):
        raise DataError("uneven-samples", f"`{data.name}` has classes to train on and other numbers to test on")
    if y.is_floating_point():
        if data.task in NODES:  # the reader has looked at all of them: some are not known
            return
        if not bool(torch.isfinite(y).all()):
            raise DataError("not-finite-data", f"`{data.name}` has targets that are not finite")
        return
    low, high = int(y.min()), int(y.max())
    if not data.classes:
        raise _no_classes(data.name, high, purpose)
    if high >= len(data.classes) or (low < 0 and data.task in NO_VOID):
        wrong = high if high >= len(data.classes) else low
        row = _first(y, wrong)
        why = "classes are counted from 0" if low < 0 else None
        message = f"`{data.name}`: row {row} to {purpose} on has class {wrong}, of {len(data.classes)} classes"
        raise DataError("unknown-class", message, why)


def _no_classes(name: str, high: int, purpose: str) -> DataError:
    """The mistake of whole numbers up to `high` that are no classes."""
    if high < 0:
        return nothing_counts(name, purpose)
    hint = "regression targets have a net that gives one, and `--set loss=mse`"
    return DataError(
        "unfit-loss", f"`{name}` has whole numbers up to {high} as its targets, too many for classes", hint
    )


def _first(y: Tensor, value: int) -> int:
    return int((y == value).flatten(1).any(1).int().argmax()) if y.ndim > 1 else int((y == value).int().argmax())


def nothing_counts(name: str, purpose: str, why: str = "all are below 0") -> DataError:
    """The mistake of targets to train, validate or test on that are all void."""
    return DataError("no-samples", f"`{name}` has nothing with a class to {purpose} on: {why}")


def absent_classes(data: DataSet, parts: Mapping[str, Split]) -> list[str]:
    """Notes about classes that have no sample in the parts of a data set, by what each is for: to train, to test.
    Raises DataError for a part in which nothing has a class."""
    if data.task not in ("classes", "mask", "tags", *NODES) or not data.classes:
        return []
    notes = []
    for purpose, part in parts.items():
        if not len(part) or part.reads_target:
            continue
        if not bool((part.target >= 0).any()):
            raise nothing_counts(data.name, purpose)
        counts = _counts(part.target, len(data.classes))
        notes += _absent(label_names(data.task, data.classes, len(counts)), counts == 0, purpose)
    return notes


def _counts(target: Tensor, classes: int) -> Tensor:
    """How often each class, or label, holds, [C]."""
    if target.is_floating_point():
        return (target > 0).flatten(0, -2).sum(0).cpu()
    return torch.bincount(target[target >= 0].long().cpu(), minlength=classes)


def _absent(classes: tuple[str, ...], absent: Tensor, purpose: str) -> list[str]:
    """The note on the classes [C] that are absent, where there are any."""
    names = [f"`{classes[i]}`" for i in absent.nonzero()[:5, 0].tolist()]
    count = int(absent.sum())
    if count < 2:
        return [f"class {names[0]} has no sample to {purpose} on"] if count else []
    named = ", ".join(names) + (", ..." if count > len(names) else "")
    return [f"{count:,} of {len(classes):,} classes ({named}) have no sample to {purpose} on"]


def check_recipe(recipe: Recipe, data: DataSet) -> None:
    """Raise DataError where a recipe does to a data set what has no meaning. Some of it is known only now: what the
    targets of an `npz` are."""
    _check_augment(recipe, data)
    _check_mix(recipe, data)
    if recipe.tta is not None and data.task in ("tags", "tokens"):
        message = f"`tta` mirrors images, and the targets of `{data.name}` are {TARGETS[data.task]}"
        raise DataError("not-supported", message, "places are not mirrored back: leave out `tta`")
    _check_loss(recipe, data)
    check_sampling(recipe, data)
    check_metrics(recipe.metrics, data)
    if recipe.label_noise and data.task != "classes":
        message = f"`label_noise` replaces classes, and the targets of `{data.name}` are {TARGETS[data.task]}"
        raise DataError("not-supported", message)
    if data.task == "numbers" and isinstance(recipe.loss, CrossEntropy | Bce | DiceCe):
        name = component_name(recipe.loss)
        hint = "`--set loss=mse`, `l1` or `huber`"
        if bool(((y := data.train.target) == 0).logical_or(y == 1).all()) and y.shape[1] > 1:
            one_hot = bool((y.sum(1) == 1).all())
            hint = (
                "classes are one number for a row: `y.argmax(1)` of one-hot rows"
                if one_hot
                else "labels, several of which may hold: `bce`"
            )
        raise DataError("unfit-loss", f"`{data.name}` has regression targets, and `{name}` is a loss for classes", hint)


def _check_mix(recipe: Recipe, data: DataSet) -> None:
    message = None
    if data.task not in ("classes", "distributions", "labels", "numbers"):
        message = f"`mix` mixes classes, labels or numbers, and the targets of `{data.name}` are {TARGETS[data.task]}"
    elif len(data.train.inputs) > 1:
        message = f"`mix` mixes samples of one input, and those of `{data.name}` have {len(data.train.inputs)}"
    elif data.task == "labels" and bool((data.train.target < 0).any()):
        message = f"`mix` mixes labels, and some of `{data.name}` are not known"
    if recipe.mix and message:
        raise DataError("not-supported", message)


def _check_loss(recipe: Recipe, data: DataSet) -> None:
    wanted, hint = LOSSES_OF_NODES.get(data.task, (object, ""))
    if not isinstance(recipe.loss, wanted):
        name, what = component_name(recipe.loss), TARGETS[data.task]
        raise DataError("unfit-loss", f"`{name}` cannot compare with the targets of `{data.name}`: {what}", hint)
    given = recipe.loss.class_weights
    names = label_names(data.task, data.classes, data.train.target.shape[-1] if data.task in LABELS else None)
    if given and names and len(given) != len(names):
        path = f"loss.{recipe.loss.balances}"
        raise DataError("wrong-count", f"`{path}` has {len(given)} values, `{data.name}` has {len(names)} classes")


def task_of(data: DataSet) -> str:
    """The task by which metrics measure a data set: of probabilities of classes, the likeliest class."""
    return "classes" if data.task == "distributions" else data.task


def check_metrics(metrics: tuple[str, ...], data: DataSet) -> None:
    """Raise DataError for a metric that the targets do not have."""
    task = task_of(data)
    for name in metrics:
        if task not in METRICS[name].tasks:
            asked = " or ".join(TARGETS[t] for t in METRICS[name].tasks)
            message = f"`{name}` cannot be measured: the targets of `{data.name}` are {TARGETS[task]}"
            raise DataError("unfit-metric", message, f"it is for {asked}")


def _check_augment(recipe: Recipe, data: DataSet) -> None:
    if not recipe.augment:
        return
    first = data.train.example()[0]
    if not data.images or len(data.train.inputs) > 1:
        flat = "images flattened" in data.notes
        hint = "let the net take images, `input image [1, 28, 28]`, and flatten them itself" if flat else None
        raise DataError(
            "not-an-image", f"`augment` is for images, and a sample of `{data.name}` is {list(first.shape[1:])}", hint
        )
    for component in recipe.augment if data.task == "mask" else ():
        if component.masks == "refused":
            hint = "use `hflip`, `crop`, `rotate` or `affine`"
            raise DataError(
                "not-supported", f"`{component_name(component)}` would move the image and not its mask", hint
            )
    for x in data.train.inputs:
        if x.is_floating_point() and not 0 <= float(x.min()) <= float(x.max()) <= 1:
            have = f"from {float(x.min()):.4g} to {float(x.max()):.4g}"
            hint = "store them as uint8, or divide them; `standardize` is part of the net"
            raise DataError(
                "data-value", f"`augment` works on pixels from 0 to 1, and those of `{data.name}` go {have}", hint
            )
