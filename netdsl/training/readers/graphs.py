"""Many graphs, each a sample with a class, labels or numbers of its own, or with those of its nodes."""

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
from netdsl.training.data.division import in_both
from netdsl.training.data.graphs import Graphs
from netdsl.training.readers.arrays import divided, split_of, task_of
from netdsl.training.readers.graph_targets import NodeTargets, are_numbers, check_known, classes_of, splits_of
from netdsl.training.readers.registry import READERS

PURPOSES = {"train": "train", "val": "choose weights", "test": "test"}


@READERS.of(Source)
def read(source: Source, base: Path, shape: tuple[int, ...], outputs: int, regression: bool = False) -> DataSet:
    """Samples are graphs; targets are classes [N], labels or numbers [N, F], or those of nodes: classes [N, nodes of
    the largest], labels or numbers [N, nodes of the largest, L]."""
    path = base / source.path
    if not path.exists():
        raise DataError("missing-data", f"there is no file {path}", "say where it is: `--data 'graphs(\"...\")'`")
    arrays = _with_names(load_graphs(path, group=source.group))
    if arrays.labels is None:
        message = f"{path} has no array `labels`: a class or number for each graph, or for each node"
        raise DataError("missing-column", message)
    if not len(arrays):
        raise DataError("no-samples", f"{path} has no graphs")
    of_nodes = len(arrays.labels) != len(arrays)
    return (_of_nodes if of_nodes else _of_graphs)(source, arrays, path, (regression, outputs))


def _with_names(arrays: GraphArrays) -> GraphArrays:
    """The graphs with classes that are texts as numbers, and their names."""
    if arrays.labels is None or arrays.labels.dtype.kind != "U" or arrays.labels.ndim != 1:
        return arrays
    names, labels = np.unique(arrays.labels, return_inverse=True)
    return replace(arrays, labels=labels, class_names=tuple(names.tolist()))


def _of_graphs(source: Source, arrays: GraphArrays, path: Path, wanted: tuple[bool, int]) -> DataSet:
    """The graphs with a class, labels or numbers of their own. `wanted`: whether the loss is over numbers, and how many
    the net gives."""
    labels, (regression, outputs) = arrays.labels, wanted
    assert labels is not None
    if regression and are_numbers(labels, outputs) and labels.dtype.kind in "biuf":
        labels = labels.astype(np.float64)
    numbers = {"labels": labels, "x": labels.reshape(len(labels), -1)}
    whole = _whole(arrays, split_of(numbers, ("x",), "labels", path).target, source, path)
    if any(len(mask) != len(arrays) for mask in arrays.masks.values()):
        message = f"{path}: the masks divide nodes, and `labels` is one for each graph"
        raise DataError("unpaired-samples", message, "masks of graphs, true or false for each, divide these")
    task, classes = task_of(whole, whole)
    found = _divided(source, arrays, whole, path, task)
    return replace(found, classes=found.called(len(classes))) if classes else found


def _of_nodes(source: Source, arrays: GraphArrays, path: Path, wanted: tuple[bool, int]) -> DataSet:
    """The graphs with classes, labels or numbers of their nodes, divided graph by graph, or node by node."""
    assert arrays.labels is not None
    targets = NodeTargets.of(arrays.labels, path, *wanted)

    def arranged(given: NodeTargets) -> Split:
        return _whole(arrays, _by_graph(given, arrays, path), source, path, given.absent)

    if all(len(mask) == len(arrays) for mask in arrays.masks.values()):
        found = _divided(source, arrays, arranged(targets), path, targets.task)
    else:
        masks = splits_of(arrays.masks, "node", path)
        check_known(masks, targets, path)
        parts = {name: _with_nodes(arranged(targets.only(mask)), mask, arrays) for name, mask in masks.items()}
        found = _data_set(source, arrays, parts, targets.task)
    return replace(found, classes=classes_of(found, targets))


def _with_nodes(split: Split, mask: Tensor, arrays: GraphArrays) -> Split:
    """The graphs that have nodes of a mask [nodes]."""
    counts = np.add.reduceat(mask.numpy().astype(np.int64), arrays.nodes_until[:-1])
    return split.subset(torch.from_numpy(counts.nonzero()[0]))


def _whole(arrays: GraphArrays, target: Tensor, source: Source, path: Path, absent: float | None = None) -> Split:
    """All graphs with their targets, and their groups."""
    found = Split((), target, graphs=replace(Graphs.of(arrays), absent=absent))
    return divided(found, arrays.groups, False, source.group, path)


def _divided(source: Source, arrays: GraphArrays, whole: Split, path: Path, task: str) -> DataSet:
    """The graphs of each split: by the masks of the file, else some are held out. Raises DataError where there are
    none."""
    if arrays.masks:
        parts = {name: whole.subset(m.nonzero()[:, 0]) for name, m in splits_of(arrays.masks, "graph", path).items()}
    else:
        parts = dict(zip(("train", "test"), whole.parted(round(source.test * len(whole))), strict=True))
    if not all(map(len, parts.values())):
        hint = "give `train`, true and false, or another `test`: the fraction that is held out"
        there = " and ".join(f"{len(part)} graphs to {PURPOSES[name]} on" for name, part in parts.items())
        raise DataError("no-samples", f"{path} has {there}", hint)
    found = _data_set(source, arrays, parts, task)
    if found.train.groups is None or found.test.groups is None:
        return found
    return replace(found, notes=tuple(in_both(torch.cat((found.train.groups, found.test.groups)), len(found.train))))


def _data_set(source: Source, arrays: GraphArrays, parts: Mapping[str, Split], task: str) -> DataSet:
    return DataSet(
        source.path, parts["train"], parts["test"], task, images=False, drawn=not arrays.masks,
        names=arrays.class_names, validation=parts.get("val"),
    )  # fmt: skip


def _by_graph(targets: NodeTargets, arrays: GraphArrays, path: Path) -> Tensor:
    """The targets of the nodes of each graph, [graphs, nodes of the largest, ...], and what stands for those of a node
    that is not there."""
    values, sizes = targets.values, np.diff(arrays.nodes_until)
    places = np.arange(sizes.max())
    needed = len(sizes) * len(places) * values[:1].nbytes
    check_room(f"the targets of {len(sizes):,} graphs, of up to {len(places):,} nodes,", needed)
    found = values.new_full((len(sizes), len(places), *values.shape[1:]), targets.absent)
    found[torch.from_numpy(places < sizes[:, None])] = values
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
