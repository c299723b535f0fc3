"""Samples that are graphs: a batch of them is one graph whose parts are not joined.

The nodes of the batch stand one graph behind the other, edges count them through, and every node knows the number of
its graph. So a net sees one graph with more nodes, whatever it is; what it gives for each graph, [1, graphs, ...], is
what others give for a batch, [graphs, ...]. What it gives for each node, [1, nodes, ...], is put beside the targets of
its graph: [graphs, nodes of the largest, ...].
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import Tensor

from netdsl.inference.graphs import GraphArrays


class Graphs(Struct, frozen=True, eq=False):
    """Graphs one behind the other, as in `GraphArrays`, and which of them are the samples [N]. `takes`: the names of
    the net's inputs, in order. `absent`: where every node has a target, what stands in those of a graph that has fewer
    nodes than the largest; None: graphs have targets."""

    features: Tensor
    edges: Tensor
    edge_features: Tensor | None
    nodes_until: Tensor
    edges_until: Tensor
    which: Tensor
    takes: tuple[str, ...] = ("nodes", "edges", "graph", "sizes")
    absent: float | None = None

    @classmethod
    def of(cls, arrays: GraphArrays) -> Graphs:
        described = arrays.edge_features
        return cls(
            torch.from_numpy(arrays.features), torch.from_numpy(arrays.edges),
            None if described is None else torch.from_numpy(described), torch.from_numpy(arrays.nodes_until),
            torch.from_numpy(arrays.edges_until), torch.arange(len(arrays)),
        )  # fmt: skip

    @property
    def sizes(self) -> Tensor:
        """How many nodes each sample has, int64 [N]."""
        return self.nodes_until[self.which + 1] - self.nodes_until[self.which]

    def batch(self, index: Tensor) -> tuple[Tensor, ...]:
        """The graphs of some samples as one, [1, ...] for each input of the net."""
        graphs = self.which[index]
        rows, graph = _spans(self.nodes_until, graphs)
        places, of = _spans(self.edges_until, graphs)
        sizes = self.nodes_until[graphs + 1] - self.nodes_until[graphs]
        moved = sizes.cumsum(0) - sizes - self.nodes_until[graphs]
        found = {
            "nodes": self.features[rows],
            "edges": self.edges[:, places] + moved[of],
            "graph": graph,
            "sizes": sizes,
        }
        if self.edge_features is not None and "edge_features" in self.takes:
            found["edge_features"] = self.edge_features[places]
        return tuple(found[name][None] for name in self.takes)

    def by_sample(self, result: Any, target: Tensor) -> tuple[Any, Tensor]:
        """Outputs for a batch, and its targets, sample by sample."""
        if self.absent is None:
            return by_graph(result), target
        there = target != self.absent
        there = there.flatten(2).any(2) if target.ndim > 2 else there
        return by_node(result, there), target.clamp(min=-1) if self.absent == NO_NODE else target

    def subset(self, index: Tensor) -> Graphs:
        return replace(self, which=self.which[index])

    def to(self, device: torch.device) -> Graphs:
        moved = {n: x.to(device) for n, x in self._tensors().items()}
        return replace(self, **moved)

    @property
    def nbytes(self) -> int:
        return sum(x.nbytes for x in self._tensors().values())

    def _tensors(self) -> dict[str, Tensor]:
        found = {n: getattr(self, n) for n in self.__struct_fields__}
        return {n: x for n, x in found.items() if isinstance(x, Tensor)}


def _spans(until: Tensor, graphs: Tensor) -> tuple[Tensor, Tensor]:
    """The places of some graphs, one graph behind the other, and to which of them each belongs."""
    first, counts = until[graphs], until[graphs + 1] - until[graphs]
    of = torch.repeat_interleave(torch.arange(len(graphs), device=graphs.device), counts)
    ahead = counts.cumsum(0) - counts
    return torch.arange(len(of), device=graphs.device) + (first - ahead)[of], of


NO_NODE = -2
"""The class, or label, where a graph has fewer nodes than the largest; that of a node without one is -1."""
NO_NUMBER = -math.inf
"""The number there; one that is not known is not a number."""


def by_node(result: Any, there: Tensor) -> Any:
    """Arrange the outputs for the nodes of a batch, [1, nodes, C], as [graphs, places, C]: in the places that are
    `there`, [graphs, places], in order, and zeros in the others."""
    return each(result, lambda x: x.new_zeros(*there.shape, x.shape[-1]).masked_scatter(there[..., None], x))


def by_graph(result: Any) -> Any:
    """Reshape the output for a batch of graphs, [1, graphs, ...], to that of other nets, [graphs, ...]."""
    return each(result, lambda x: x.flatten(0, 1))


def each(result: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The results of a module, one tensor, several or by name, with each tensor changed."""
    if isinstance(result, Mapping):
        return {name: each(x, change) for name, x in result.items()}
    return tuple(each(x, change) for x in result) if isinstance(result, tuple | list) else change(result)
