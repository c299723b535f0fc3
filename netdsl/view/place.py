"""Horizontal positions of the nodes of a grid: the main path straight down, branches beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from msgspec import Struct

from netdsl.view.grid import Grid, Link, Node, hops

BESIDE = 16.0
"""Between two boxes of a layer."""

LANE = 16.0
"""Between a side lane and what is left of it."""

JOG, CORNER = 10.0, 6.0
"""A line that would jog by less goes straight; how near to the corner of a box it may start or end."""

FIRM = 1e7
"""How firmly the main path holds its place."""

HOME = 0.3
"""How strongly all nodes are drawn to the axis, where the main path starts: a long net must not wander off."""


class Cell(Struct, eq=False):
    """The room a node takes: `left` is what `place` finds; `label` is the room its shapes need right of a port;
    `frame`: its ports are those of the drawing inside of it."""

    width: float
    height: float
    ins: Sequence[float]
    outs: Sequence[float]
    label: float = 0.0
    left: float = 0.0
    frame: bool = False

    @property
    def extent(self) -> float:
        """How far right of `left` it reaches."""
        return max(self.width, max(self.outs, default=0.0) + self.label)


STANDS = 8
"""How often columns that push one another aside are set upright again."""

STILL = 0.02
"""When a sweep down and up moves nothing by more than this, no further one will."""

Cells = dict[int, Cell]
Pull = tuple[int, float, float]
"""Another node, the offset at which a link would be straight, and how strongly it pulls."""


def place(grid: Grid, cells: Cells) -> None:
    """Set `left` of all cells."""
    firm = _straight(grid, cells)
    if max(map(len, grid.layers)) > 1:
        above, below = _pulls(grid, cells)
        chains = _chains(grid)
        before: list[float] = []
        for sweep in range(8):
            upward = sweep % 2 == 1
            for layer in grid.layers[::-1] if upward else grid.layers:
                pulls = [_pull(n, cells, above, below, upward, sweep > 1) for n in layer]
                _settle(layer, cells, pulls, firm)
            _align(chains, cells)
            if upward:
                now = [cell.left for cell in cells.values()]
                if before and all(abs(a - b) < STILL for a, b in zip(before, now, strict=True)):
                    break
                before = now
        _stand(grid, cells, firm)
    _shift(cells)


def _straight(grid: Grid, cells: Cells) -> set[int]:
    """Put the nodes of the main path below one another; gives them."""
    firm: set[int] = set()
    axis, before = 0.0, None
    into = {(id(a), id(b)): (link, i) for link in grid.links if not link.skip for i, (a, b) in enumerate(hops(link))}
    for node in _main_path(grid):
        cell = cells[id(node)]
        link = into.get((id(before), id(node)))
        if before is not None and link is not None:
            axis = cells[id(before)].left + _out(link[0], before, cells)
        cell.left = axis - (_in(link[0], node, cells) if link else _mean(cell.ins, cell.width))
        if link is None:
            axis = cell.left + _mean(cell.outs, cell.width)
        firm.add(id(node))
        before = node
        axis = cell.left + _mean(cell.outs, cell.width)
    return firm


def _main_path(grid: Grid) -> list[Node]:
    """Nodes that have a layer to themselves, and between them the longer of two branches."""
    rank = _ranks(grid) if max(map(len, grid.layers)) > 1 else {}
    found: list[Node] = []
    region: list[list[Node]] = []
    for layer in (*grid.layers, []):
        if len(layer) > 1:
            region.append(layer)
            continue
        if region and all(len(r) == 2 and rank[id(r[0])] != rank[id(r[1])] for r in region):
            found += [max(r, key=lambda n: rank[id(n)]) for r in region]
        region = []
        found += layer
    return found


def _ranks(grid: Grid) -> dict[int, int]:
    """How many items the longest path through each node has."""
    up = {id(n): int(not n.passing) for layer in grid.layers for n in layer}
    down = dict(up)
    pairs = [(a, b) for link in grid.links if not link.skip for a, b in hops(link)]
    pairs.sort(key=lambda p: p[0].layer)
    for a, b in pairs:
        up[id(b)] = max(up[id(b)], up[id(a)] + int(not b.passing))
    for a, b in reversed(pairs):
        down[id(a)] = max(down[id(a)], down[id(b)] + int(not a.passing))
    return {n: up[n] + down[n] for n in up}


def _chains(grid: Grid) -> list[tuple[Link, bool]]:
    """The longest link of every value that passes layers, and whether it is the only one from its node."""
    leaving = Counter(id(link.source) for link in grid.links)
    found: dict[str, Link] = {}
    for link in grid.links:
        if link.via and len(link.via) > len(found[link.value.name].via if link.value.name in found else ()):
            found[link.value.name] = link
    return [(link, leaving[id(link.source)] == 1) for link in found.values()]


def _align(chains: list[tuple[Link, bool]], cells: Cells) -> None:
    """Have every value pass straight down, below its node where it can; `_settle` then moves others out of its way."""
    for link, alone in chains:
        middle = sorted(cells[id(n)].left for n in link.via)[len(link.via) // 2]
        if alone:
            middle = cells[id(link.source)].left + _out(link, link.source, cells)
        for node in link.via:
            cells[id(node)].left = middle


def _pulls(grid: Grid, cells: Cells) -> tuple[dict[int, list[Pull]], dict[int, list[Pull]]]:
    above: dict[int, list[Pull]] = {}
    below: dict[int, list[Pull]] = {}
    pairs = [(link, a, b) for link in grid.links if not link.skip for a, b in hops(link)]
    leaving, arriving = Counter(id(a) for _, a, _ in pairs), Counter(id(b) for _, _, b in pairs)
    for link, a, b in pairs:
        offset = _out(link, a, cells) - _in(link, b, cells)
        alone = leaving[id(a)] == 1 and arriving[id(b)] == 1
        weight = 1e4 if a.passing and b.passing else 50.0 if alone else 1.0
        above.setdefault(id(b), []).append((id(a), offset, weight))
        below.setdefault(id(a), []).append((id(b), -offset, weight))
    return above, below


def _stand(grid: Grid, cells: Cells, firm: set[int]) -> None:
    """Have every chain of nodes stand straight, where its neighbours let it: a line does not jog by some pixels."""
    columns = _columns(grid, cells)
    bases = [_base(column, cells, firm) for column in columns]
    for _ in range(STANDS):
        for column, base in zip(columns, bases, strict=True):
            for node, offset in column:
                cells[node].left = base + offset
        for layer in grid.layers:
            _settle(layer, cells, [cells[id(n)].left for n in layer], firm)
        moved = [max((cells[n].left - o - b for n, o in c), key=abs) for c, b in zip(columns, bases, strict=True)]
        if max(map(abs, moved), default=0.0) < 0.01:
            return
        bases = [base + by for base, by in zip(bases, moved, strict=True)]


def _columns(grid: Grid, cells: Cells) -> list[list[tuple[int, float]]]:
    """Chains of nodes that read nothing but one another, and where each starts if the links between them are straight.

    A node of no chain is none of these.
    """
    pairs = [(link, a, b) for link in grid.links if not link.skip for a, b in hops(link)]
    leaving, arriving = Counter(id(a) for _, a, _ in pairs), Counter(id(b) for _, _, b in pairs)
    found: dict[int, list[tuple[int, float]]] = {}
    for link, a, b in sorted(pairs, key=lambda p: p[1].layer):
        if leaving[id(a)] == 1 and arriving[id(b)] == 1:
            column = found.setdefault(id(a), [(id(a), 0.0)])
            column.append((id(b), column[-1][1] + _out(link, a, cells) - _in(link, b, cells)))
            found[id(b)] = column
    return list({id(column): column for column in found.values()}.values())


def _base(column: list[tuple[int, float]], cells: Cells, firm: set[int]) -> float:
    """Where a column starts: where its firm nodes stand, or else the mean of all."""
    held = [(n, o) for n, o in column if n in firm] or column
    return sum(cells[n].left - o for n, o in held) / len(held)


def _pull(
    node: Node, cells: Cells, above: dict[int, list[Pull]], below: dict[int, list[Pull]], upward: bool, both: bool
) -> float:
    """Where the links of a node would have it."""
    near = below if upward else above
    pulls = near.get(id(node), [])
    if both or not pulls:
        pulls = pulls + (above if upward else below).get(id(node), [])
    if not pulls:
        return cells[id(node)].left
    weight = sum(w for _, _, w in pulls) + HOME
    return (sum((cells[n].left + o) * w for n, o, w in pulls) - HOME * cells[id(node)].width / 2) / weight


def _settle(layer: list[Node], cells: Cells, wanted: list[float], firm: set[int]) -> None:
    """Move the nodes of a layer as near to where they are wanted as their widths and their order allow.

    Least squares under an order: neighbours that would overlap become one block, which takes their mean.
    """
    blocks: list[list[float]] = []  # wanted start, weight, number of nodes
    offsets, offset = [], 0.0
    for node, where in zip(layer, wanted, strict=True):
        cell = cells[id(node)]
        weight = FIRM if id(node) in firm else 1e3 if node.passing else 1.0
        goal = cell.left if id(node) in firm else where
        offsets.append(offset)
        blocks.append([goal - offset, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            start, weight, size = blocks.pop()
            last = blocks[-1]
            last[0] = (last[0] * last[1] + start * weight) / (last[1] + weight)
            last[1] += weight
            last[2] += size
        offset += cell.extent + BESIDE
    starts = [start for start, _, size in blocks for _ in range(int(size))]
    for node, start, shift in zip(layer, starts, offsets, strict=True):
        cells[id(node)].left = start + shift


def _shift(cells: Cells) -> None:
    """Let the leftmost node start at 0, everything on whole pixels where it was."""
    least = min(c.left for c in cells.values())
    for cell in cells.values():
        cell.left = round(cell.left - least, 1)


def side_lanes(grid: Grid, cells: Cells) -> list[float]:
    """The position of the side lane of every link (0 for one that has none): of those that skip layers, short ones
    inside of long ones, right of all that they pass."""
    right = [max((cells[id(n)].left + cells[id(n)].extent for n in layer), default=0.0) for layer in grid.layers]
    for link in grid.links:
        if link.via and not link.skip:  # it may come down beside its reader
            right[link.target.layer] = max(right[link.target.layer], cells[id(link.via[-1])].left)
    lanes = [0.0] * len(grid.links)
    taken: dict[tuple[str, int], float] = {}
    order = sorted(range(len(grid.links)), key=lambda i: _span(grid.links[i]))
    for i in order:
        link = grid.links[i]
        if not link.skip:
            continue
        passed = range(link.source.layer + 1, link.target.layer + 1)
        lane = max(right[layer] for layer in passed) + LANE
        lane = taken.setdefault((link.value.name, link.target.layer), lane)
        lanes[i] = round(lane, 1)
        for layer in passed:
            right[layer] = max(right[layer], lane)
    return lanes


def _span(link: Link) -> int:
    return link.target.layer - link.source.layer


def _in(link: Link, node: Node, cells: Cells) -> float:
    return cells[id(node)].ins[link.port] if node is link.target else 0.0


def _out(link: Link, node: Node, cells: Cells) -> float:
    return cells[id(node)].outs[link.out] if node is link.source else 0.0


def _mean(offsets: Sequence[float], width: float) -> float:
    return sum(offsets) / len(offsets) if offsets else width / 2
