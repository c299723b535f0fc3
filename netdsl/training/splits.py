"""A trained net, measured on the splits that it was trained and chosen with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from netdsl.training.data.fit import held_out, with_noise
from netdsl.training.data.folds import fold_of
from netdsl.training.opened import open_trained, reopened
from netdsl.training.rng import key
from netdsl.training.setup import evaluator_of, load_data


def measure_splits(folder: Path, splits: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The metrics of a run's final weights on its `train` or `validation` split: each sample once, not augmented, with
    the labels that were trained on (`label_noise` included). Raises DataError."""
    net, recipe, about = reopened(folder)
    trained = open_trained(folder)
    data = load_data(net.checked, recipe, Path(about.base))
    if about.fold is not None and recipe.folds is not None:
        data = fold_of(data, recipe.folds, about.fold, recipe.seed)
    train, held = held_out(data, recipe.validation, recipe.seed)
    if data.task == "classes":
        train = with_noise(train, recipe.label_noise, len(data.classes), key(recipe.seed, "noise"))
    parts = {"train": train, "validation": held}
    evaluate = evaluator_of(recipe, replace(data, units=trained.units), trained.kept)
    return {name: evaluate(trained.forward, parts[name]) for name in splits}
