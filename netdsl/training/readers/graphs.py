"""Many graphs, each a sample with a class, labels or numbers of its own."""

from __future__ import annotations

from pathlib import Path

import torch
from msgspec.structs import replace

from netdsl.inference.columns import Input
from netdsl.inference.graphs import GraphArrays, load_graphs
from netdsl.planning.graphs import INPUTS
from netdsl.recipe.sources import Graphs as Source
from netdsl.training.data.dataset import DataError, DataSet, Split
from netdsl.training.data.graphs import Graphs
from netdsl.training.readers.arrays import split_of, task_of
from netdsl.training.readers.registry import READERS


@READERS.of(Source)
def read(source: Source, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    """Samples are graphs; targets are classes [N], labels or numbers [N, F]."""
    path = base / source.path
    if not path.exists():
        raise DataError("missing-data", f"there is no file {path}", "say where it is: `--data 'graphs(\"...\")'`")
    arrays = load_graphs(path)
    if arrays.labels is None:
        raise DataError("missing-column", f"{path} has no array `labels`: one class or number for each graph")
    if not len(arrays):
        raise DataError("no-samples", f"{path} has no graphs")
    whole, names = _labelled(arrays, path)
    if arrays.train is not None:
        train, test = (whole.subset(torch.from_numpy(m.nonzero()[0])) for m in (arrays.train, ~arrays.train))
    else:
        train, test = whole.parted(round(source.test * len(whole)))
    if not len(train) or not len(test):
        hint = "give `train`, true and false, or another `test`: the fraction that is held out"
        raise DataError("no-samples", f"{path} has {len(train)} graphs to train on and {len(test)} to test on", hint)
    task, classes = task_of(train, test)
    if names and len(names) < len(classes):
        raise DataError("wrong-count", f"{path}: `class_names` has {len(names)}, and there are {len(classes)} classes")
    named = tuple(names) if names and classes else classes
    return DataSet(source.path, train, test, task, named, images=False, drawn=arrays.train is None)


def _labelled(arrays: GraphArrays, path: Path) -> tuple[Split, tuple[str, ...]]:
    """All graphs with their targets, and the names of classes that are texts."""
    labels, names = arrays.labels, arrays.class_names
    assert labels is not None
    if labels.dtype.kind == "U" and labels.ndim == 1:
        names = tuple(sorted(set(labels.tolist())))
        at = {name: i for i, name in enumerate(names)}
        target = torch.tensor([at[x] for x in labels.tolist()])
    else:
        numbers = {"labels": labels, "x": labels.reshape(len(labels), -1)}
        target = split_of(numbers, ("x",), "labels", path).target
    return Split((), target, graphs=Graphs.of(arrays)), names


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
