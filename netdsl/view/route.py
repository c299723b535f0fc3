"""Routing of lines from port to port: down from a port, along a track between two layers, down again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from msgspec import Struct

from netdsl.view.grid import Grid, Link, Node, hops
from netdsl.view.place import CORNER, JOG, Cell, Cells

Point = tuple[float, float]

SHAPE = 17.0
"""The room for a shape below a box."""

TRACK, ARROW, STUB = 7.0, 11.0, 6.0

ROUNDED = 0.3
"""What positions are away from one another because they are rounded."""

APART = 5.0
"""How near to one another lines may arrive."""


class Way(Struct, frozen=True, eq=False):
    """The corners of a link. `labelled`: its value's shape is written where it starts."""

    link: Link
    points: tuple[Point, ...]
    labelled: bool


class Run(Struct, frozen=True, eq=False):
    """A horizontal piece of a link in the gap below layer `gap`; those of one `key` share a track."""

    gap: int
    start: float
    end: float
    key: tuple[str, object]


class Routes:
    """The ways of all links of a grid, and how high its layers are."""

    def __init__(
        self,
        grid: Grid,
        cells: Cells,
        lanes: list[float],
        quiet: Collection[str],
        sides: Mapping[int, tuple[float, bool]],
    ) -> None:
        self._grid, self._cells, self._lanes, self._sides = grid, cells, lanes, sides
        self._quiet = quiet
        self._readers = Counter(link.value.name for link in grid.links)
        self._beside: dict[tuple[int, bool], list[int]] = {}
        for i, (_, right) in sorted(sides.items()):
            self._beside.setdefault((id(grid.links[i].target), right), []).append(i)
        self._arriving = self._ports()
        self._runs = [self._pieces(i, link) for i, link in enumerate(grid.links)]
        self._tracks: dict[tuple[int, tuple[str, object]], int] = {}
        gaps: list[list[Run]] = [[] for _ in grid.layers]
        for run in (r for runs in self._runs for r in runs):
            gaps[run.gap].append(run)
        counts = [self._assign(gap, runs) for gap, runs in enumerate(gaps)]
        self._stack(counts)
        self.ways = self._ways()

    def top(self, node: Node) -> float:
        """Where a node starts from the top: in the middle of its layer."""
        cell = self._cells[id(node)]
        return self._tops[node.layer] + (self._heights[node.layer] - cell.height) / 2

    def _ports(self) -> dict[int, float]:
        """Where each link arrives, along the top of its reader: straight below where it comes from if it can."""
        waiting: dict[int, list[tuple[float, int]]] = {}
        for i, link in enumerate(self._grid.links):
            if i not in self._sides:
                waiting.setdefault(id(link.target), []).append((self._from(i, link), i))
        found: dict[int, float] = {}
        for target, arriving in waiting.items():
            cell = self._cells[target]
            if not _is_closed(cell):
                for x, i in arriving:
                    port = cell.left + cell.ins[self._grid.links[i].port]
                    found[i] = x if abs(x - port) < ROUNDED else port
            else:
                found |= _spread(sorted(arriving), cell)
        return found

    def _from(self, number: int, link: Link) -> float:
        return self._lanes[number] if link.skip else from_above(link, self._cells)

    def _pieces(self, number: int, link: Link) -> list[Run]:
        """The horizontal pieces of a link, from the top down."""
        fan = self._readers[link.value.name] > 1
        into = self._into(link)
        key: tuple[str, object] = ("from", link.value.name) if fan else into
        if link.skip:
            start, lane = leaving(link, link.source, self._cells), self._lanes[number]
            pieces = [Run(link.source.layer, start, lane, key)]
            if number not in self._sides:
                pieces.append(Run(link.target.layer - 1, lane, self._arriving[number], into))
            return pieces
        stops = [leaving(link, a, self._cells) for a, _ in hops(link)]
        stops += [self._arriving[number]] if number not in self._sides else []
        return [
            Run(a.layer, x, to, key) for (a, _), x, to in zip(hops(link), stops, stops[1:], strict=False) if x != to
        ]

    def _into(self, link: Link) -> tuple[str, object]:
        """The track on which a link arrives: those of a closed box come together, of a frame each has its own place."""
        together = _is_closed(self._cells[id(link.target)])
        return ("to", id(link.target)) if together else ("into", (id(link.target), link.value.name))

    def _assign(self, gap: int, runs: list[Run]) -> int:
        """Give the pieces in a gap their tracks, so that those of different values do not overlap; how many."""
        spans: dict[tuple[str, object], tuple[float, float]] = {}
        for run in runs:
            low, high = sorted((run.start, run.end))
            before = spans.get(run.key, (low, high))
            spans[run.key] = min(low, before[0]), max(high, before[1])
        ends: list[list[tuple[float, float]]] = []
        for key, (low, high) in sorted(spans.items(), key=lambda s: (s[1][1] - s[1][0], s[1][0])):
            free = (i for i, taken in enumerate(ends) if all(high + STUB < a or b + STUB < low for a, b in taken))
            track = next(free, len(ends))
            if track == len(ends):
                ends.append([])
            ends[track].append((low, high))
            self._tracks[gap, key] = track
        return len(ends)

    def _stack(self, counts: list[int]) -> None:
        """Find where layers start, and the first track of each gap."""
        layers = self._grid.layers
        self._heights = [max((self._cells[id(n)].height for n in layer), default=0.0) for layer in layers]
        self._tops, self._first = [], []
        y = 0.0
        for number, layer in enumerate(layers):
            self._tops.append(y)
            y += self._heights[number]
            shapes = any(self._cells[id(n)].label for n in layer if not n.passing)
            y += SHAPE if shapes else STUB
            self._first.append(y)
            y += max(counts[number] - 1, 0) * TRACK + (STUB if counts[number] else 0) + ARROW
        self.height = self._tops[-1] + self._heights[-1]
        reach = [c.left + c.extent for c in self._cells.values()] + self._lanes
        self.width = max(reach)

    def _ways(self) -> list[Way]:
        ways, labelled = [], set()
        for number, link in enumerate(self._grid.links):
            shown = bool(self._cells[id(link.source)].label) and (id(link.source), link.out) not in labelled
            labelled.add((id(link.source), link.out))
            shown = shown and link.value.name not in self._quiet
            ways.append(Way(link, _simple(self._corners(number, link)), shown))
        return ways

    def _corners(self, number: int, link: Link) -> list[Point]:
        x = leaving(link, link.source, self._cells)
        points = [(x, self.top(link.source) + self._cells[id(link.source)].height)]
        for run in self._runs[number]:
            y = self._first[run.gap] + self._tracks[run.gap, run.key] * TRACK
            points += [(run.start, y), (run.end, y)]
        target = self._cells[id(link.target)]
        if number not in self._sides:
            return [*points, (self._arriving[number], self.top(link.target))]
        x, right = self._sides[number]
        beside = self._beside[id(link.target), right]
        y = self.top(link.target) + target.height * (beside.index(number) + 1) / (len(beside) + 1)
        return [*points, (x, y), (target.left + (target.width if right else 0.0), y)]


def leaving(link: Link, node: Node, cells: Cells) -> float:
    """Where a link comes out of a node on its way."""
    cell = cells[id(node)]
    return cell.left + (cell.outs[link.out] if node is link.source else 0.0)


def from_above(link: Link, cells: Cells) -> float:
    """Where a link comes from in the layer above its reader."""
    return leaving(link, hops(link)[-1][0], cells)


def _is_closed(cell: Cell) -> bool:
    """Whether its lines may share out the place among themselves."""
    return cell.width > 0 and not cell.frame


def _spread(arriving: list[tuple[float, int]], cell: Cell) -> dict[int, float]:
    """Share the top of a box among links, in the order in which they come: the straight one in the middle, and what
    would jog by a few pixels straight where it comes from."""
    found = _shares([x for x, _ in arriving], cell)
    places = [cell.left + CORNER - APART, *found, cell.left + cell.width - CORNER + APART]
    for place, (x, _) in enumerate(arriving, 1):
        if abs(x - places[place]) < JOG and places[place - 1] + APART <= x <= places[place + 1] - APART:
            places[place] = x
    return {i: x for x, (_, i) in zip(places[1:], arriving, strict=False)}


def _shares(coming: list[float], cell: Cell) -> list[float]:
    """Equal parts of the top of a box, or of both its halves where one line comes down on its middle and all fit."""
    middle = cell.left + cell.width / 2
    at = next((i for i, x in enumerate(coming) if abs(x - middle) < 0.5), None)
    half = cell.width / 2
    if at is None or half / (max(at, len(coming) - at - 1) + 1) < APART:
        return _parts(cell.left, cell.width, len(coming))
    return [*_parts(cell.left, half, at), coming[at], *_parts(middle, half, len(coming) - at - 1)]


def _parts(start: float, width: float, count: int) -> list[float]:
    return [start + width * (place + 1) / (count + 1) for place in range(count)]


def _simple(points: list[Point]) -> tuple[Point, ...]:
    """The corners without those on a straight line."""
    kept: list[Point] = []
    for point in points:
        point = round(point[0], 1), round(point[1], 1)
        if kept and kept[-1] == point:
            continue
        if len(kept) > 1 and any(kept[-2][axis] == kept[-1][axis] == point[axis] for axis in (0, 1)):
            kept[-1] = point
        else:
            kept.append(point)
    return tuple(kept)
