"""Targets of the nodes of graphs, a class for each or labels of which several may hold; and the splits of masks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from netdsl.training.data.dataset import DataError
from netdsl.training.data.labels import UNKNOWN, check_noes


def splits_of(masks: Mapping[str, np.ndarray], what: str, path: Path) -> dict[str, Tensor]:
    """The nodes or graphs of each split, bool [N]; without `test`, those of no other one. Raises DataError for one that
    is in two of them, or where there are masks without `train`. `what`: what the masks choose."""
    if "train" not in masks:
        message = f"{path} has no array `train`: the {what}s to train on"
        raise DataError("missing-column", message, f"it has {', '.join(masks)}")
    found = {name: torch.from_numpy(mask.astype(bool)) for name, mask in masks.items()}
    found.setdefault("test", ~torch.stack(list(found.values())).any(0))
    twice = torch.stack(list(found.values())).sum(0) > 1
    if bool(twice.any()):
        raise DataError("data-value", f"{path}: {what} {int(twice.int().argmax())} is in two of {', '.join(found)}")
    return found


def targets_of(labels: np.ndarray, path: Path) -> Tensor:
    """Classes [nodes] as int64, or labels [nodes, L] from 0 to 1 as float32; -1: a node without a class, or a label
    that is not known. Raises DataError for other numbers."""
    if labels.ndim == 2 and labels.shape[1] != 1:
        return _labels(labels, path)
    if labels.ndim not in (1, 2) or labels.dtype.kind not in "biuf" or not bool((labels == np.floor(labels)).all()):
        have = f"{list(labels.shape)} of {labels.dtype}"
        message = f"{path}: `labels` is {have}, not a class for each of the nodes"
        hint = "classes are 0, 1, 2 ... or texts; a node without one is -1. A row of 0 and 1 for each node is labels"
        raise DataError("data-type", message, hint)
    return torch.from_numpy(labels.reshape(-1).astype(np.int64)).clamp(min=UNKNOWN)


def _labels(labels: np.ndarray, path: Path) -> Tensor:
    if labels.dtype.kind not in "biuf":
        raise DataError("data-type", f"{path}: `labels` is {list(labels.shape)} of {labels.dtype}, not 0 and 1")
    found = torch.from_numpy(labels.astype(np.float32))
    unknown = found == UNKNOWN
    wrong = ~(unknown | ((found >= 0) & (found <= 1)))
    if bool(wrong.any()):
        node, label = wrong.nonzero()[0].tolist()
        message = f"{path}: label {label} of node {node} is {found[node, label]:g}"
        raise DataError("data-value", message, "labels are from 0 to 1; one that is not known is -1")
    if bool(unknown.any()):
        check_noes(found, path)
    return found
