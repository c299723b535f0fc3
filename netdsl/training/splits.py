"""A trained net, measured on the splits that it was trained and chosen with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from netdsl.training.data.fit import held_out, with_noise
from netdsl.training.folds import directories, summarized
from netdsl.training.opened import open_trained, reopened
from netdsl.training.rng import key
from netdsl.training.setup import evaluator_of, load_data
from netdsl.training.test_time import averaged


def measure_splits(folder: Path, splits: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The metrics of a run's final weights on its `train` or `validation` split: each sample once, not augmented, with
    the labels that were trained on (`label_noise` included). Of a cross-validation: the mean over its folds. Raises
    DataError."""
    net, recipe, about = reopened(folder)
    if recipe.folds is not None and about.fold is None:
        return _over_folds([measure_splits(path, splits) for _, path in directories(folder, recipe.folds)])
    trained = open_trained(folder)
    data = load_data(net.checked, recipe, Path(about.base), fold=about.fold)
    train, held = held_out(data, recipe.validation, recipe.seed)
    if data.task == "classes":
        train = with_noise(train, recipe.label_noise, len(data.classes), key(recipe.seed, "noise"))
    parts = {"train": train, "validation": held}
    evaluate = evaluator_of(recipe, replace(data, units=trained.units), trained.kept, module=trained.module)
    return {name: evaluate(averaged(trained.forward, recipe), parts[name]) for name in splits}


def _over_folds(each: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """The mean of every number over the folds of a cross-validation, and the samples of all."""
    return {
        split: {**summarized([e[split] for e in each])[0], "n": sum(int(e[split]["n"]) for e in each)}
        for split in each[0]
    }
