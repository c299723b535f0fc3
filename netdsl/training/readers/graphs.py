"""Many graphs, each a sample with a class, labels or numbers of its own, or with classes or labels of its nodes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor

from netdsl.diagnostics.memory import check_room
from netdsl.inference.columns import Input
from netdsl.inference.graphs import GraphArrays, load_graphs
from netdsl.planning.graphs import INPUTS
from netdsl.recipe.sources import Graphs as Source
from netdsl.training.data.dataset import DataError, DataSet, Split, smallest
from netdsl.training.data.graphs import NO_NODE, Graphs
from netdsl.training.readers.arrays import split_of, task_of
from netdsl.training.readers.graph_targets import splits_of, targets_of
from netdsl.training.readers.registry import READERS

PURPOSES = {"train": "train", "val": "choose weights", "test": "test"}


@READERS.of(Source)
def read(source: Source, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    """Samples are graphs; targets are classes [N], labels or numbers [N, F], or those of nodes: classes [N, nodes of
    the largest] or labels [N, nodes of the largest, L]."""
    path = base / source.path
    if not path.exists():
        raise DataError("missing-data", f"there is no file {path}", "say where it is: `--data 'graphs(\"...\")'`")
    arrays = load_graphs(path)
    if arrays.labels is None:
        raise DataError(
            "missing-column",
            f"{path} has no array `labels`: a class or number for each graph, or a class for each node",
        )
    if not len(arrays):
        raise DataError("no-samples", f"{path} has no graphs")
    whole, names = _labelled(arrays, path)
    parts = _parted(whole, arrays.masks, source.test, path)
    task, count = _task(whole)
    found = DataSet(
        source.path, parts["train"], parts["test"], task, images=False, drawn=not arrays.masks, names=names,
        validation=parts.get("val"),
    )  # fmt: skip
    return replace(found, classes=found.called(count)) if count else found


def _task(whole: Split) -> tuple[str, int]:
    """The task by its targets, and how many classes, or labels of nodes, there are."""
    if whole.target.ndim == 3:
        return "node_labels", whole.target.shape[2]
    task, classes = task_of(whole, whole)
    return "nodes" if whole.graphs is not None and whole.graphs.of_nodes else task, len(classes)


def _parted(whole: Split, masks: Mapping[str, np.ndarray], share: float, path: Path) -> dict[str, Split]:
    """The graphs of each split. Raises DataError where there are none."""
    if masks:
        parts = {name: whole.subset(m.nonzero()[:, 0]) for name, m in splits_of(masks, "graph", path).items()}
    else:
        parts = dict(zip(("train", "test"), whole.parted(round(share * len(whole))), strict=True))
    if not all(map(len, parts.values())):
        hint = "give `train`, true and false, or another `test`: the fraction that is held out"
        there = " and ".join(f"{len(part)} graphs to {PURPOSES[name]} on" for name, part in parts.items())
        raise DataError("no-samples", f"{path} has {there}", hint)
    return parts


def _labelled(arrays: GraphArrays, path: Path) -> tuple[Split, tuple[str, ...]]:
    """All graphs with their targets, and the names of classes that are texts."""
    labels, names, graphs = arrays.labels, arrays.class_names, Graphs.of(arrays)
    assert labels is not None
    if labels.dtype.kind == "U" and labels.ndim == 1:
        found, labels = np.unique(labels, return_inverse=True)
        names = tuple(found.tolist())
    if len(labels) != len(arrays):
        return Split((), _of_nodes(labels, arrays, path), graphs=replace(graphs, of_nodes=True)), names
    numbers = {"labels": labels, "x": labels.reshape(len(labels), -1)}
    return Split((), split_of(numbers, ("x",), "labels", path).target, graphs=graphs), names


def _of_nodes(labels: np.ndarray, arrays: GraphArrays, path: Path) -> Tensor:
    """The classes or labels of the nodes of each graph, [graphs, nodes of the largest, ...], -1 for none, NO_NODE where
    a graph has no node."""
    target = targets_of(labels, path)
    sizes = np.diff(arrays.nodes_until)
    places = np.arange(sizes.max())
    needed = len(sizes) * len(places) * target[:1].nbytes
    check_room(f"the classes of {len(sizes):,} graphs, of up to {len(places):,} nodes,", needed)
    found = target.new_full((len(sizes), len(places), *target.shape[1:]), NO_NODE)
    found[torch.from_numpy(places < sizes[:, None])] = target
    return found if found.is_floating_point() else smallest(found)


def for_the_net(data: DataSet, inputs: tuple[Input, ...]) -> DataSet:
    """The graphs by the names of the net's inputs. Raises DataError for a name that is none of theirs."""
    graphs = data.train.graphs
    assert graphs is not None
    names = ("nodes", *(i.name for i in inputs[1:]))
    there = [n for n in INPUTS if n != "edge_features" or graphs.edge_features is not None]
    for name in names:
        if name not in there:
            hint = f"its inputs may be called {', '.join(there)}; the first one takes the nodes, whatever it is called"
            raise DataError("unfit-input", f"the net has an input `{name}`, and `{data.name}` gives none", hint)
    return data.changed(lambda s: replace(s, graphs=_named(s.graphs, names)))


def _named(graphs: Graphs | None, names: tuple[str, ...]) -> Graphs | None:
    return None if graphs is None else replace(graphs, takes=names)
