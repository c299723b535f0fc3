"""The combinatorial half of a drawing: which layer every item is in, the order within it, and which links are skips.

A value that passes a layer without being used there runs through a `Pass`, or, where another path leads from the same
source to the same reader (a residual link, a long skip), in a side lane.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from itertools import pairwise

from msgspec import Struct

from netdsl.ir.model import Value


class Node(Struct, eq=False):
    """Something with a place in a layer: an item (`index`), an input or output (`port`), or a value that passes."""

    layer: int
    inputs: tuple[Value, ...] = ()
    outs: tuple[Value, ...] = ()
    index: int = -1
    port: int = -1
    passing: bool = False
    key: float = 0.0


class Link(Struct, eq=False):
    """A value on its way from the node that makes it to input number `port` of a reader, through `via`."""

    value: Value
    source: Node
    out: int
    target: Node
    port: int
    via: list[Node]
    skip: bool = False


class Grid(Struct, eq=False):
    """Layers of nodes from the top down, each from left to right, and the links between them."""

    layers: list[list[Node]]
    links: list[Link]


def arrange(nodes: list[Node]) -> Grid:
    """Give nodes (inputs first, in an order in which they can run, outputs last) layers and an order."""
    links = _links(nodes)
    _layer(nodes, links)
    _find_skips(nodes, links)
    passes = _pass(links)
    layers: list[list[Node]] = [[] for _ in range(max(n.layer for n in nodes) + 1)]
    for node in (*nodes, *passes):
        layers[node.layer].append(node)
    _order(layers, links)
    return Grid(layers, links)


def _links(nodes: list[Node]) -> list[Link]:
    made = {v.name: (n, i) for n in nodes for i, v in enumerate(n.outs)}
    return [Link(v, *made[v.name], n, i, []) for n in nodes for i, v in enumerate(n.inputs)]


def _layer(nodes: list[Node], links: list[Link]) -> None:
    """Every node one layer below the lowest that it reads; what reads nothing just above its first reader."""
    into: dict[int, list[Node]] = {}
    outof: dict[int, list[Node]] = {}
    for link in links:
        into.setdefault(id(link.target), []).append(link.source)
        outof.setdefault(id(link.source), []).append(link.target)
    lowest = 1
    for node in nodes:
        if node.index >= 0:
            node.layer = 1 + max((n.layer for n in into.get(id(node), [])), default=0)
            lowest = max(lowest, node.layer + 1)
        elif node.inputs:
            node.layer = lowest
    for node in reversed(nodes):
        if node.index >= 0 and not node.inputs and id(node) in outof:
            node.layer = max(1, min(n.layer for n in outof[id(node)]) - 1)


def _find_skips(nodes: list[Node], links: list[Link]) -> None:
    """Mark the links beside which a longer path leads to the same reader."""
    number = {id(n): i for i, n in enumerate(nodes)}
    after: list[set[int]] = [set() for _ in nodes]
    for link in links:
        after[number[id(link.source)]].add(number[id(link.target)])
    reached = [0] * len(nodes)
    for i in range(len(nodes) - 1, -1, -1):
        for j in after[i]:
            reached[i] |= reached[j] | 1 << j
    for link in links:
        source, target = number[id(link.source)], number[id(link.target)]
        link.skip = link.target.layer - link.source.layer > 1 and any(
            reached[j] >> target & 1 for j in after[source] if j != target
        )


def _pass(links: list[Link]) -> list[Node]:
    """The nodes that long links which are no skips run through: one a layer for all readers of a value."""
    found: dict[tuple[str, int], Node] = {}
    for link in links:
        if not link.skip:
            for layer in range(link.source.layer + 1, link.target.layer):
                node = found.setdefault((link.value.name, layer), Node(layer, outs=(link.value,), passing=True))
                link.via.append(node)
    return list(found.values())


def hops(link: Link) -> list[tuple[Node, Node]]:
    """The pairs of nodes in neighbouring layers that a link connects."""
    return list(pairwise([link.source, *link.via, link.target])) if link.via else [(link.source, link.target)]


def _order(layers: list[list[Node]], links: list[Link]) -> None:
    """Sort each layer by the middle of what its nodes are connected to, above and below in turn; few links cross."""
    above, below = _neighbours(links)
    for layer in layers:
        _number(layer)
    if max(map(len, layers)) < 2:
        return
    best, fewest = [list(layer) for layer in layers], _crossings(layers, below)
    for sweep in range(6 if fewest else 0):
        near, order = (above, layers) if sweep % 2 == 0 else (below, layers[::-1])
        for layer in order:
            keys = {id(n): _middle(near.get(id(n), []), n) for n in layer}
            layer.sort(key=lambda n: keys[id(n)])
            _number(layer)
        crossed = _crossings(layers, below)
        if crossed < fewest:
            best, fewest = [list(layer) for layer in layers], crossed
    for layer, kept in zip(layers, best, strict=True):
        layer[:] = kept


def _neighbours(links: list[Link]) -> tuple[dict[int, list[Node]], dict[int, list[Node]]]:
    """The neighbours of every node in the layer above, and in the layer below."""
    above: dict[int, list[Node]] = {}
    below: dict[int, list[Node]] = {}
    for a, b in (pair for link in links if not link.skip for pair in hops(link)):
        above.setdefault(id(b), []).append(a)
        below.setdefault(id(a), []).append(b)
    return above, below


def _number(layer: list[Node]) -> None:
    for i, node in enumerate(layer):
        node.key = (i + 0.5) / len(layer)


def _middle(near: list[Node], node: Node) -> float:
    return sum(n.key for n in near) / len(near) if near else node.key


def _crossings(layers: list[list[Node]], below: dict[int, list[Node]]) -> int:
    """How many links between neighbouring layers cross: for each, those from further left that end further right."""
    count = 0
    for layer in layers:
        seen: list[float] = []
        for node in layer:
            ends = [n.key for n in below.get(id(node), [])]
            count += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return count
