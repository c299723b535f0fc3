"""Lines that would jog by a few pixels go straight: what has no width moves, lines leave a box beside its middle."""

from __future__ import annotations

from netdsl.view.grid import Grid, Link, Node, hops
from netdsl.view.place import CORNER, JOG, Cells

Going = dict[int, list[tuple[Link, Node]]]
"""The links of each node to the layer below, by the node's id."""


def straighten(grid: Grid, cells: Cells) -> None:
    """Move ports of frames and values that pass below what gives them, and starts of lines above the ports of frames.

    Where a line arrives at a closed box is decided when it is drawn.
    """
    going: Going = {}
    given: dict[int, float] = {}
    for link in grid.links:
        for a, b in () if link.skip else hops(link):
            going.setdefault(id(a), []).append((link, b))
    for number, layer in enumerate(grid.layers):
        for place, node in enumerate(layer):
            goal = given.get(id(node), _port_below(node, going, cells) if not number else None)
            if goal is not None and not cells[id(node)].width:
                _slide(layer, place, goal, cells)
        for node in layer:
            _lean(node, going.get(id(node), []), cells)
            for link, b in going.get(id(node), []):
                given[id(b)] = _start(link, node, cells)


def _start(link: Link, node: Node, cells: Cells) -> float:
    cell = cells[id(node)]
    return cell.left + (cell.outs[link.out] if node is link.source else 0.0)


def _port_below(node: Node, going: Going, cells: Cells) -> float | None:
    """Where the only reader of a node has its port, if that cannot move."""
    ends = [_end(link, below, cells) for link, below in going.get(id(node), [])]
    return ends[0] if len(ends) == 1 else None


def _slide(layer: list[Node], place: int, goal: float, cells: Cells) -> None:
    """Move what has no width by a few pixels, if it stays between its neighbours."""
    cell = cells[id(layer[place])]
    before = cells[id(layer[place - 1])] if place else None
    after = cells[id(layer[place + 1])] if place + 1 < len(layer) else None
    free = (before is None or before.left + before.extent + CORNER <= goal) and (
        after is None or goal + CORNER <= after.left
    )
    if abs(goal - cell.left) < JOG and free:
        cell.left = goal


def _lean(node: Node, going: list[tuple[Link, Node]], cells: Cells) -> None:
    """Let the lines of a closed box leave it above the ports of the frames that they go to."""
    cell = cells[id(node)]
    if cell.frame or not cell.width:
        return
    for out in range(len(cell.outs)):
        ends = [_end(link, below, cells) for link, below in going if link.out == out]
        if len(ends) == 1 and ends[0] is not None:
            shifted = ends[0] - cell.left
            if abs(shifted - cell.outs[out]) < JOG and CORNER <= shifted <= cell.width - CORNER:
                cell.outs = [*cell.outs[:out], shifted, *cell.outs[out + 1 :]]


def _end(link: Link, below: Node, cells: Cells) -> float | None:
    """The port of a frame; None for all that shares its places out among lines."""
    cell = cells[id(below)]
    return cell.left + cell.ins[link.port] if cell.frame else None
