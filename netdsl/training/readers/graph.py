"""One graph as one sample: node features, its edges (or its adjacency), and a class, labels or numbers for every
node."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor

from netdsl.diagnostics.memory import available, said
from netdsl.inference.graphs import MASKS, edges_of, load_graph_arrays
from netdsl.ir.model import Value
from netdsl.recipe.metrics import NODES
from netdsl.recipe.sources import Graph
from netdsl.training.data.dataset import DataError, DataSet, Split, smallest
from netdsl.training.readers.arrays import names_in
from netdsl.training.readers.graph_targets import NodeTargets, check_known, classes_of, splits_of
from netdsl.training.readers.registry import READERS


@READERS.of(Graph)
def read(source: Graph, base: Path, shape: tuple[int, ...], outputs: int, regression: bool = False) -> DataSet:
    """Inputs [1, N, F] and edges [1, 2, E]; targets [1, N], or labels or numbers [1, N, L]. Those of nodes of the other
    splits are not known: -1, and `nan` of numbers."""
    file = base / source.path
    arrays = load_graph_arrays(file)
    for name in ("features", "edges", "labels", "train"):
        if name not in arrays:
            raise DataError("missing-column", f"{file} has no array `{name}`", f"it has {', '.join(arrays) or 'none'}")
    _check_arrays(file, arrays)
    features = torch.from_numpy(arrays["features"]).to(torch.float32)
    targets = NodeTargets.of(arrays["labels"], file, regression, outputs)
    edges = torch.from_numpy(edges_of(arrays["edges"], len(features), file))
    inputs = (features[None], smallest(both_ways(edges, len(features)))[None])
    parts = {n: Split(inputs, targets.only(mask).values[None]) for n, mask in _masks(file, arrays, targets).items()}
    found = DataSet(
        source.path, parts["train"], parts["test"], task=targets.task, images=False, validation=parts.get("val"),
        names=names_in(arrays, file),
    )  # fmt: skip
    return replace(found, classes=classes_of(found, targets))


def _check_arrays(file: Path, arrays: dict[str, Any]) -> None:
    """Raise DataError for features or labels of another shape or kind than those of nodes."""
    for name in ("features", "labels"):
        if arrays[name].dtype.kind not in "biuf":
            raise DataError("data-type", f"{file}: `{name}` holds no numbers, but {arrays[name].dtype}")
    features, labels = arrays["features"].shape, arrays["labels"].shape
    if len(features) != 2:
        raise DataError("unpaired-samples", f"{file}: `features` is {list(features)}, not [nodes, F]")
    if labels[:1] != features[:1] or len(labels) > 2:
        hint = "a class or number for each node, or a row of labels or numbers"
        raise DataError("unpaired-samples", f"{file}: `labels` is {list(labels)}, not [{features[0]}]", hint)


def _masks(file: Path, arrays: dict[str, Any], targets: NodeTargets) -> dict[str, Tensor]:
    """The nodes [N] of each split; without `test`, the nodes of no other one. Raises DataError for a split without
    nodes, or a node of two."""
    nodes = len(targets.values)
    for name in MASKS:
        mask = arrays.get(name)
        if mask is not None and (mask.shape != (nodes,) or not np.isin(mask, (0, 1)).all()):
            shape = f"{list(mask.shape)} of {mask.dtype}"
            raise DataError(
                "unpaired-samples", f"{file}: `{name}` is {shape}, not true or false for each of {nodes} nodes"
            )
    found = splits_of({name: arrays[name] for name in MASKS if name in arrays}, "node", file)
    check_known(found, targets, file)
    return found


def both_ways(edges: Tensor, nodes: int) -> Tensor:
    """The undirected graph's edges [2, E], from and to: each once in both directions and none to itself, in the order
    of the nodes that they lead to."""
    joined = torch.cat((edges, edges.flip(0)), 1)
    joined = joined[:, joined[0] != joined[1]]
    numbers = torch.unique(joined[1] * nodes + joined[0])
    return torch.stack((numbers % nodes, numbers // nodes))


def for_the_net(data: DataSet, takes_edges: bool) -> DataSet:
    """A graph as the net takes it: its edges, or its adjacency. Other data as they are. Raises DataError where the
    adjacency doesn't fit into memory."""
    if data.task not in NODES or takes_edges:
        return data
    features, edges = data.train.inputs
    nodes = features.shape[1]
    needed, there = 4 * nodes**2, available()
    if there is not None and 3 * needed > there:  # it is built, and copied for a step
        message = f"the adjacency of {nodes:,} nodes takes {said(needed)}; {said(there)} are free"
        raise DataError(
            "out-of-memory",
            message,
            "a net over a list of edges needs little: `input edges [2, E] int64`, as GCN_Edges",
        )
    inputs = (features, adjacency(edges[0], nodes)[None])
    return data.changed(lambda split: replace(split, inputs=inputs))


def takes_edges(inputs: Sequence[Value]) -> bool:
    """Whether a net with these inputs takes a graph by its edges."""
    return second_is_integer([v.type.dtype for v in inputs])


def second_is_integer(dtypes: Sequence[str]) -> bool:
    """Whether the second of two inputs holds numbers of nodes."""
    return len(dtypes) == 2 and dtypes[1].startswith("int")


def adjacency(edges: Tensor, nodes: int) -> Tensor:
    """1 where two nodes are joined, and on the diagonal, [N, N]. What normalises it is the net's."""
    found = torch.eye(nodes)
    found[edges[1].to(torch.int64), edges[0].to(torch.int64)] = 1
    return found
