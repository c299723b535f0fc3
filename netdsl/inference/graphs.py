"""Many graphs in one file or folder: what they are made of, checked, as arrays.

A file of numpy has `features` [nodes, F] of the nodes of all graphs, one graph behind the other; `graph` [nodes], the
number of each node's graph, or `sizes` [graphs], how many nodes each has; `edges` [2, E], pairs of rows of `features`;
perhaps `edge_features` [E, K], `labels` of the graphs or of the nodes, `class_names` and the masks `train`, `val` and
`test` of the graphs. A folder is a data
set of the TU collection (Morris et al. 2020): `NAME_A.txt`, `NAME_graph_indicator.txt`, `NAME_graph_labels.txt`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from netdsl.inference.arrays import load_arrays
from netdsl.inference.errors import DataError


class GraphArrays(Struct, frozen=True, eq=False):
    """Graphs one behind the other. `features` [nodes, F] float32; `edges` [2, E] numbers of nodes of all graphs, each
    edge once in both directions, graph by graph; `edge_features` [E, K] or None; `nodes_until` and `edges_until`
    [graphs + 1]: where each graph begins; `labels`: what the file says of each graph, or of each node, or None;
    `masks`: which graphs, or which nodes of all graphs, are of a split, bool [graphs] or [nodes], by the name of the
    split; `groups`: what each graph belongs to, where that was asked for."""

    name: str
    features: np.ndarray
    edges: np.ndarray
    edge_features: np.ndarray | None
    nodes_until: np.ndarray
    edges_until: np.ndarray
    labels: np.ndarray | None
    class_names: tuple[str, ...] = ()
    masks: Mapping[str, np.ndarray] = {}
    groups: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.nodes_until) - 1

    def one(self, at: int) -> dict[str, np.ndarray]:
        """A single graph by the names of a net's inputs, each [1, ...]."""
        first, last = (int(n) for n in self.nodes_until[at : at + 2])
        edges = slice(*(int(n) for n in self.edges_until[at : at + 2]))
        found = {
            "nodes": self.features[first:last],
            "edges": self.edges[:, edges] - first,
            "graph": np.zeros(last - first, np.int64),
            "sizes": np.array([last - first]),
        }
        if self.edge_features is not None:
            found["edge_features"] = self.edge_features[edges]
        return {name: array[None] for name, array in found.items()}


NAMES = {
    "features": "x", "edges": "edge_index", "edge_features": "edge_attr", "labels": "y", "graph": "batch",
    "train": "train_mask", "val": "val_mask", "test": "test_mask",
}  # fmt: skip
"""The arrays of a file, and what they are called in PyTorch Geometric."""


MASKS = ("train", "val", "test")
ROWS = "`edges` is [2, E]: two rows of row numbers of `features`"


def load_graph_arrays(path: Path) -> dict[str, Any]:
    """The arrays of a file of one graph or many, under the names that they have here. Raises DataError."""
    arrays = load_arrays(path)
    own = {name: arrays[other] for name, other in NAMES.items() if other in arrays and name not in arrays}
    return own | arrays


def load_graphs(path: Path, single: bool = False, group: str = "") -> GraphArrays:
    """The graphs of a file or folder; `single`: a file may be one graph, without a word about it; `group`: the array of
    what graphs belong to. Raises DataError, which names the graph, the edge or the line."""
    arrays = _tu_arrays(path) if path.is_dir() else load_graph_arrays(path)
    for name in ("features", "edges", *([group] if group else [])):
        if name not in arrays:
            raise DataError("missing-column", f"{path} has no array `{name}`", f"it has {', '.join(arrays) or 'none'}")
    features = _floats(arrays["features"], "features", path)
    arrays = _as_one(arrays, len(features)) if single else arrays
    until = _until(arrays, len(features), path)
    given = edges_of(arrays["edges"], len(features), path)
    _check_inside(given, until, path)
    edges, taken = _both_ways(given, len(features))
    described = _described(arrays, given.shape[1], path)
    described = None if described is None else described[taken]
    edges_until = np.searchsorted(edges[1], until)
    labels = _each_graph(arrays.get("labels"), "labels", until, path, or_node=True)
    masks = _masks(arrays, until, path)
    names = _names(arrays, path)
    groups = arrays[group] if group else None
    return GraphArrays(path.name, features, edges, described, until, edges_until, labels, names, masks, groups)


def _as_one(arrays: dict[str, Any], nodes: int) -> dict[str, Any]:
    """The arrays of a file of one graph, where it does not say whose each node is; its labels are of no use."""
    if "sizes" in arrays or "graph" in arrays:
        return arrays
    return {n: x for n, x in arrays.items() if n not in ("labels", *MASKS)} | {"sizes": np.array([nodes])}


def edges_of(given: np.ndarray, nodes: int, path: Path) -> np.ndarray:
    """The edges of a file as they are given, int64 [2, E], numbers of `nodes` nodes. Raises DataError."""
    given = given if given.size else np.zeros((2, 0), np.int64)
    whole = given.dtype.kind in "iu" or (given.dtype.kind == "f" and bool((given == np.floor(given)).all()))
    if given.ndim != 2 or len(given) != 2 or not whole:
        have = f"{list(given.shape)} of {given.dtype}"
        raise DataError("unpaired-samples", f"{path}: `edges` is {have}, not whole numbers [2, E]", ROWS)
    if len(wrong := np.flatnonzero(((given < 0) | (given >= nodes)).any(0))):
        at = int(wrong[0])
        ends = f"{given[0, at]} and {given[1, at]}"
        message = f"{path}: edge {at} joins the nodes {ends}, and there are {nodes:,} nodes, counted from 0"
        raise DataError("data-value", message, ROWS)
    return given.astype(np.int64)


def _described(arrays: dict[str, Any], edges: int, path: Path) -> np.ndarray | None:
    """The features of the edges as they are given, where there are any."""
    if "edge_features" not in arrays:
        return None
    found = _floats(arrays["edge_features"], "edge_features", path)
    if len(found) != edges:
        message = f"{path}: `edge_features` has {len(found)} rows, and there are {edges} edges"
        raise DataError("unpaired-samples", message)
    return found


def _until(arrays: dict[str, Any], nodes: int, path: Path) -> np.ndarray:
    """Where each graph begins, and where the last one ends."""
    if "sizes" in arrays:
        sizes = arrays["sizes"]
    elif "graph" in arrays:
        sizes = _counted(arrays["graph"], nodes, path)
    else:
        hint = "`graph` [nodes] holds the number of each node's graph, `sizes` [graphs] their numbers of nodes"
        raise DataError("missing-column", f"{path} has neither `graph` nor `sizes`", hint)
    if sizes.ndim != 1 or sizes.dtype.kind not in "iu":
        have = f"{list(sizes.shape)} of {sizes.dtype}"
        raise DataError("unpaired-samples", f"{path}: `sizes` is {have}, not a whole number for each graph")
    if (total := sum(sizes.tolist())) != nodes:
        raise DataError("unpaired-samples", f"{path}: `sizes` adds up to {total}, and `features` has {nodes} rows")
    if len(empty := np.flatnonzero(sizes < 1)):
        raise DataError("data-value", f"{path}: graph {empty[0]} has no nodes", "leave it out, with its label")
    return np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)


def _counted(graph: np.ndarray, nodes: int, path: Path) -> np.ndarray:
    """How many nodes each graph has, from the number of each node's graph."""
    if graph.shape != (nodes,) or graph.dtype.kind not in "iu":
        message = f"{path}: `graph` is {list(graph.shape)} of {graph.dtype}, not a number for each of {nodes} nodes"
        raise DataError("unpaired-samples", message)
    if len(wrong := np.flatnonzero((graph < 0) | (graph >= nodes))):
        message = (
            f"{path}: node {wrong[0]} is of graph {graph[wrong[0]]}, and {nodes} nodes are of at most {nodes} graphs"
        )
        raise DataError("data-value", message, "graphs are numbered from 0, and none is left out")
    graph = graph.astype(np.int64)
    if len(back := np.flatnonzero(np.diff(graph) < 0)):
        at = int(back[0]) + 1
        message = f"{path}: node {at} is of graph {graph[at]}, behind nodes of graph {graph[at - 1]}"
        raise DataError("data-value", message, "the nodes of a graph stand together: sort `features` by `graph`")
    return np.bincount(graph)


def _check_inside(edges: np.ndarray, until: np.ndarray, path: Path) -> None:
    """Raise DataError for an edge to a node of another graph."""
    graph = np.searchsorted(until, edges, side="right") - 1
    if len(wrong := np.flatnonzero(graph[0] != graph[1])):
        at = int(wrong[0])
        message = (
            f"{path}: edge {at} joins node {edges[0, at]} of graph {graph[0, at]} and node {edges[1, at]} of graph"
        )
        hint = "nodes are numbered over all graphs: they are rows of `features`"
        raise DataError("data-value", f"{message} {graph[1, at]}", hint)


def _both_ways(edges: np.ndarray, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Edges [2, E], each once in both directions and none from a node to itself, in the order of the nodes that they
    lead to; and of each the number of the given edge that it comes from."""
    joined = np.concatenate((edges, edges[::-1]), 1)
    origin = np.tile(np.arange(edges.shape[1]), 2)
    kept = joined[0] != joined[1]
    joined, origin = joined[:, kept], origin[kept]
    numbers, first = np.unique(joined[1] * nodes + joined[0], return_index=True)
    return np.stack((numbers % max(nodes, 1), numbers // max(nodes, 1))), origin[first]


def _floats(array: np.ndarray, name: str, path: Path) -> np.ndarray:
    if array.ndim != 2 or array.dtype.kind not in "biuf":
        raise DataError("data-type", f"{path}: `{name}` is {list(array.shape)}, not rows of numbers")
    found = array.astype(np.float32)
    if not (good := np.isfinite(found).all(1)).all():
        row = int(np.argmin(good))
        raise DataError("not-finite-data", f"{path}: `{name}` has values that are not finite, first in row {row}")
    return found


def _each_graph(array: Any, name: str, until: np.ndarray, path: Path, or_node: bool = False) -> np.ndarray | None:
    """An array of a value for each graph, `or_node` for each node."""
    if array is None:
        return None
    graphs, nodes = len(until) - 1, int(until[-1])
    if array.ndim not in (1, 2) or len(array) not in ((graphs, nodes) if or_node else (graphs,)):
        more = f" of {nodes} nodes" if or_node else ""
        message = f"{path}: `{name}` is {list(array.shape)}, and there are {graphs} graphs{more}"
        raise DataError("unpaired-samples", message)
    found: np.ndarray = array
    return found


def _names(arrays: dict[str, Any], path: Path) -> tuple[str, ...]:
    """The names of the classes, where there are any."""
    names = arrays.get("class_names", np.array([], str))
    if names.ndim != 1 or names.dtype.kind not in "iuU":
        have = f"{list(names.shape)} of {names.dtype}"
        raise DataError("wrong-count", f"{path}: `class_names` is {have}, not a text for each class")
    return tuple(map(str, names))


def _masks(arrays: Mapping[str, Any], until: np.ndarray, path: Path) -> dict[str, np.ndarray]:
    """The masks by name: all of graphs, or all of nodes."""
    masks = {name: _mask(arrays[name], name, until, path) for name in MASKS if name in arrays}
    if len({len(mask) for mask in masks.values()}) > 1:
        have = ", ".join(f"`{name}` is [{len(mask)}]" for name, mask in masks.items())
        raise DataError("unpaired-samples", f"{path}: {have}: some divide graphs, and others nodes")
    return masks


def _mask(given: Any, name: str, until: np.ndarray, path: Path) -> np.ndarray:
    """The graphs of a split, as bool [graphs], or the nodes of all graphs, [nodes]."""
    mask = _each_graph(given, name, until, path, or_node=True)
    if mask is None or mask.ndim != 1 or mask.dtype.kind not in "biuf" or not np.isin(mask, (0, 1)).all():
        have = f"{list(given.shape)} of {given.dtype}"
        raise DataError("data-type", f"{path}: `{name}` is {have}, not true or false (1 or 0) for each graph, or node")
    return mask.astype(bool)


# The TU collection.


def _tu_arrays(folder: Path) -> dict[str, Any]:
    """The files of a data set of the TU collection as the arrays of one file; labels are made one-hot features."""
    found = sorted(folder.glob("*_A.txt"))
    if not found:
        hint = "a folder of the TU collection has NAME_A.txt and NAME_graph_indicator.txt"
        raise DataError("missing-data", f"{folder} has no file of edges, NAME_A.txt", hint)
    name = found[0].name.removesuffix("_A.txt")

    def read(what: str, kind: Any = np.int64) -> np.ndarray | None:
        file = folder / f"{name}_{what}.txt"
        return _table(file, kind) if file.exists() else None

    indicator = read("graph_indicator")
    if indicator is None:
        raise DataError("missing-data", f"{folder} has no file {name}_graph_indicator.txt")
    if len(wrong := np.flatnonzero(indicator[:, 0] < 1)):
        message = f"{folder / name}_graph_indicator.txt: line {wrong[0] + 1}: graph {indicator[wrong[0], 0]}"
        raise DataError("data-value", message, "graphs are numbered from 1")
    graph = indicator[:, 0] - 1
    arrays: dict[str, Any] = {"graph": graph, "edges": _table(found[0], np.int64).T - 1}
    features = _beside(read("node_attributes", np.float64), _one_hot(read("node_labels")), folder / f"{name}_node")
    arrays["features"] = np.ones((len(graph), 1)) if features is None else features
    described = _beside(read("edge_attributes", np.float64), _one_hot(read("edge_labels")), folder / f"{name}_edge")
    arrays |= {} if described is None else {"edge_features": described}
    if (labels := read("graph_labels")) is not None:
        values, arrays["labels"] = np.unique(labels[:, 0], return_inverse=True)
        arrays["class_names"] = values.astype(str)
    elif (numbers := read("graph_attributes", np.float64)) is not None:
        arrays["labels"] = numbers
    return arrays


def _table(file: Path, kind: Any) -> np.ndarray:
    """Lines of numbers with commas, [lines, columns]. Raises DataError."""
    try:
        return np.loadtxt(file, dtype=kind, delimiter=",", ndmin=2)
    except ValueError as error:
        raise DataError("unreadable-data", f"{file}: {error}") from None


def _beside(attributes: np.ndarray | None, labels: np.ndarray | None, start: Path) -> np.ndarray | None:
    """The columns of the tables that there are, side by side; `start`: of their files' names. Raises DataError."""
    if attributes is None or labels is None:
        return labels if attributes is None else attributes
    if len(attributes) != len(labels):
        message = f"{start}_attributes.txt has {len(attributes)} lines, {start.name}_labels.txt {len(labels)}"
        raise DataError("unpaired-samples", message)
    return np.concatenate((attributes, labels), 1)


def _one_hot(labels: np.ndarray | None) -> np.ndarray | None:
    """Each column's values as places of its own."""
    if labels is None:
        return None
    return np.concatenate([np.equal.outer(c, np.unique(c)).astype(np.float64) for c in labels.T], 1)
