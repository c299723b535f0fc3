"""Many graphs, each a sample with a class, labels or numbers of its own, or with a class for each of its nodes."""

from __future__ import annotations

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
from netdsl.training.readers.registry import READERS


@READERS.of(Source)
def read(source: Source, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    """Samples are graphs; targets are classes [N], labels or numbers [N, F], or classes of nodes [N, nodes of the
    largest]."""
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
    train, test = _parted(whole, arrays.train, source.test, path)
    task, classes = task_of(train, test)
    task = "nodes" if whole.graphs is not None and whole.graphs.of_nodes else task
    drawn = arrays.train is None
    found = DataSet(source.path, train, test, task, classes, images=False, drawn=drawn, names=names)
    return replace(found, classes=found.called(len(classes))) if classes else found


def _parted(whole: Split, train: np.ndarray | None, share: float, path: Path) -> tuple[Split, Split]:
    """The graphs to train on and those to test on. Raises DataError where there are none."""
    if train is not None:
        parts = tuple(whole.subset(torch.from_numpy(m.nonzero()[0])) for m in (train, ~train))
    else:
        parts = whole.parted(round(share * len(whole)))
    if not all(map(len, parts)):
        hint = "give `train`, true and false, or another `test`: the fraction that is held out"
        there = f"{len(parts[0])} graphs to train on and {len(parts[1])} to test on"
        raise DataError("no-samples", f"{path} has {there}", hint)
    return parts[0], parts[1]


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
    """The classes of the nodes of each graph [graphs, nodes of the largest], -1 for none, NO_NODE where a graph has no
    node."""
    if labels.ndim != 1 or labels.dtype.kind not in "biu":
        message = f"{path}: `labels` is {list(labels.shape)} of {labels.dtype}, not a class for each of the nodes"
        raise DataError("data-type", message, "classes are 0, 1, 2 ... or texts; a node without one is -1")
    sizes = np.diff(arrays.nodes_until)
    places = np.arange(sizes.max())
    check_room(f"the classes of {len(sizes):,} graphs, of up to {len(places):,} nodes,", len(sizes) * len(places) * 8)
    found = np.full((len(sizes), len(places)), NO_NODE, np.int64)
    found[places < sizes[:, None]] = np.maximum(labels.astype(np.int64), -1)
    return smallest(torch.from_numpy(found))


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
    train, test = (replace(s, graphs=_named(s.graphs, names)) for s in (data.train, data.test))
    return replace(data, train=train, test=test)


def _named(graphs: Graphs | None, names: tuple[str, ...]) -> Graphs | None:
    return None if graphs is None else replace(graphs, takes=names)
