"""One graph as one sample: node features, the adjacency, and a class for every node."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from netdsl.recipe.sources import Graph
from netdsl.training.data.dataset import DataError, DataSet, Split
from netdsl.training.readers.arrays import load_arrays
from netdsl.training.readers.registry import READERS


@READERS.of(Graph)
def read(word: Graph, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    """Inputs [1, N, F] and [1, N, N]; targets [1, N], -1 for nodes of the other split."""
    file = base / word.path
    arrays = load_arrays(file)
    for name in ("features", "edges", "labels", "train"):
        if name not in arrays:
            raise DataError(f"{file} has no array `{name}`", f"it has {', '.join(arrays) or 'none'}")
    features = torch.from_numpy(arrays["features"]).to(torch.float32)
    edges, labels = (torch.from_numpy(arrays[n]).to(torch.int64) for n in ("edges", "labels"))
    known = torch.from_numpy(arrays["train"]).to(torch.bool)
    nodes = len(features)
    if edges.ndim != 2 or len(edges) != 2 or len(labels) != nodes or len(known) != nodes:
        raise DataError(f"{file}: `edges` must be [2, E]; `labels` and `train` must have {nodes} items")
    if edges.numel() and not 0 <= int(edges.min()) <= int(edges.max()) < nodes:
        raise DataError(f"{file}: `edges` speak of nodes that are not there")
    inputs = (features[None], adjacency(edges, nodes)[None])
    parts = [Split(inputs, torch.where(m, labels, -1)[None]) for m in (known, ~known)]
    classes = tuple(map(str, range(int(labels.max()) + 1)))
    return DataSet(word.path, parts[0], parts[1], task="nodes", classes=classes, pictures=False)


def adjacency(edges: Tensor, nodes: int) -> Tensor:
    """[N, N]: 1 where two nodes of the undirected graph are joined, and on the diagonal. A net that wants it normalised
    says so itself."""
    found = torch.eye(nodes)
    found[edges[0], edges[1]] = 1
    found[edges[1], edges[0]] = 1
    return found
