"""Targets of the nodes of graphs: a class, labels of which several may hold, or numbers for each; and the splits of
masks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor

from netdsl.training.data.dataset import DataError, DataSet
from netdsl.training.data.graphs import NO_NODE, NO_NUMBER
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


class NodeTargets(Struct, frozen=True, eq=False):
    """The targets of all nodes. `values`: classes [nodes], labels or numbers [nodes, L]; `unknown`: what stands for one
    that is not known, `absent` for one of a node that is not there."""

    task: str
    values: Tensor
    unknown: float = UNKNOWN
    absent: float = NO_NODE

    @classmethod
    def of(cls, labels: np.ndarray, path: Path, regression: bool, outputs: int) -> NodeTargets:
        """The targets that `labels` of a file are, for a loss over numbers or over classes. Raises DataError."""
        if regression and are_numbers(labels, outputs):
            return cls("node_numbers", numbers_of(labels, path), math.nan, NO_NUMBER)
        values = targets_of(labels, path)
        return cls("nodes" if values.ndim == 1 else "node_labels", values)

    @property
    def known(self) -> Tensor:
        """The nodes that have a target, bool [nodes]."""
        found = ~(self.values.isnan() if math.isnan(self.unknown) else self.values == self.unknown)
        return found.view(len(found), -1).any(1)

    def only(self, mask: Tensor) -> NodeTargets:
        """Those of the nodes of a mask [nodes]; others are not known."""
        beside = mask.view(-1, *[1] * (self.values.ndim - 1))
        return replace(self, values=torch.where(beside, self.values, self.unknown).to(self.values.dtype))


def are_numbers(labels: np.ndarray, outputs: int) -> bool:
    """Whether a loss over numbers compares these with the net's outputs as numbers: not where whole numbers are classes
    of several outputs."""
    return labels.ndim == 2 or labels.dtype.kind == "f" or outputs == 1


def numbers_of(labels: np.ndarray, path: Path) -> Tensor:
    """Numbers [nodes, F] as float32; one that is not known is not a number. Raises DataError."""
    if labels.ndim not in (1, 2) or labels.dtype.kind not in "biuf":
        have = f"{list(labels.shape)} of {labels.dtype}"
        raise DataError(
            "data-type", f"{path}: `labels` is {have}, not a number, or a row of them, for each of the nodes"
        )
    with np.errstate(over="ignore"):
        found = torch.from_numpy(labels.astype(np.float32)).reshape(len(labels), -1)
    if bool((endless := torch.isinf(found).any(1)).any()):
        node = int(endless.int().argmax())
        hint = "a number that is not known is `nan`"
        raise DataError("not-finite-data", f"{path}: `labels` of node {node} is infinite", hint)
    return found


def classes_of(data: DataSet, targets: NodeTargets) -> tuple[str, ...]:
    """The names of the classes, or labels, of nodes; none of numbers. Raises DataError."""
    values = targets.values
    if targets.task == "node_numbers":
        return ()
    return data.called(int(values.max()) + 1 if values.ndim == 1 else values.shape[1])


def check_known(masks: Mapping[str, Tensor], targets: NodeTargets, path: Path) -> None:
    """Raise DataError for a split, [nodes] each, no node of which has a target."""
    what = "number" if targets.task == "node_numbers" else "class"
    for name, mask in masks.items():
        if not bool((mask & targets.known).any()):
            raise DataError("no-samples", f"{path}: `{name}` has no node with a {what}")


def targets_of(labels: np.ndarray, path: Path) -> Tensor:
    """Classes [nodes] as int64, or labels [nodes, L] from 0 to 1 as float32; -1: a node without a class, or a label
    that is not known. Raises DataError for other numbers."""
    if labels.ndim == 2 and labels.shape[1] != 1:
        return _labels(labels, path)
    if labels.ndim not in (1, 2) or labels.dtype.kind not in "biuf" or not bool((labels == np.floor(labels)).all()):
        have = f"{list(labels.shape)} of {labels.dtype}"
        message = f"{path}: `labels` is {have}, not a class for each of the nodes"
        hint = (
            "classes are 0, 1, 2 ... or texts; a node without one is -1. A row of 0 and 1 for each node is labels; "
            "numbers are predicted with `--set loss=mse`"
        )
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
