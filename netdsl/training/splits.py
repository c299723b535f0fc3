"""A trained net, measured on the splits that it was trained and chosen with, and its weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from msgspec.structs import replace
from torch import nn

from netdsl.analysis.count import parameters
from netdsl.inference.run_folder import is_divided
from netdsl.ir.model import Program
from netdsl.planning.measures import WEIGHTS
from netdsl.training.data.dataset import DataError
from netdsl.training.data.fit import held_out, with_noise
from netdsl.training.folds import directories, summarized
from netdsl.training.opened import open_trained, reopened
from netdsl.training.rng import key
from netdsl.training.setup import evaluator_of, load_data
from netdsl.training.test_time import averaged

NEAR_0 = 1e-3
"""Weights of a smaller size count as zeros."""


def measure_splits(folder: Path, splits: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The metrics of a run's final weights on its `train` or `validation` split: each sample once, not augmented, with
    the labels that were trained on (`label_noise` included); under `weights` what the weights are like. Of a
    cross-validation: the mean over its folds. Raises DataError."""
    net, recipe, about = reopened(folder)
    if is_divided(about, recipe):
        assert recipe.folds is not None
        return _over_folds([measure_splits(path, splits) for _, path in directories(folder, recipe.folds)])
    trained = open_trained(folder)
    data = load_data(net.checked, recipe, Path(about.base), fold=about.fold)
    train, held = held_out(data, recipe.validation, recipe.seed)
    if data.task == "classes":
        train = with_noise(train, recipe.label_noise, len(data.classes), key(recipe.seed, "noise"))
    parts = {"train": train, "validation": held}
    evaluate = evaluator_of(recipe, replace(data, units=trained.units), trained.kept, module=trained.module)
    return {
        name: _weights(net.checked, trained.module)
        if name == WEIGHTS
        else evaluate(averaged(trained.forward, recipe), parts[name])
        for name in splits
    }


def _weights(program: Program, module: nn.Module | None) -> dict[str, Any]:
    """How many numbers the matrices, tables and kernels of a net have (`n`), their Euclidean norm, and the share of
    them that is next to nothing. Raises DataError."""
    if module is None:
        raise DataError("not-supported", "the weights of this run are no module's")
    tensors = dict(module.named_parameters())
    paths = [p.path for p in parameters(program.main) if len(p.shape) > 1]
    found = torch.cat([torch.zeros(0), *(tensors[p].detach().cpu().flatten() for p in paths)])
    zeros = (found.abs() < NEAR_0).float().mean().item() if len(found) else 0.0
    return {"n": len(found), "norm": found.norm().item(), "zeros": zeros}


def _over_folds(each: list[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """The mean of every number over the folds of a cross-validation, and the samples of all."""
    return {
        split: {**summarized([e[split] for e in each])[0], "n": sum(int(e[split]["n"]) for e in each)}
        for split in each[0]
    }
