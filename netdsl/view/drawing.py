"""The drawing of a definition: boxes, and the lines between their ports; drawn once for every depth, then nested."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from msgspec import Struct

from netdsl.ir.model import Definition, Value
from netdsl.view.grid import Grid, Node, arrange
from netdsl.view.item import Body, Item
from netdsl.view.items import Bodies
from netdsl.view.place import Cell, Cells, place, side_lanes
from netdsl.view.route import APART, Point, Routes, Way, from_above
from netdsl.view.straighten import straighten

CHAR, SMALL = 7.0, 5.9
"""The width of a character of a label, and of one in small print."""

BAND, MARGIN, LEAST = 18.0, 12.0, 52.0
CIRCLE, ROOM, ARRIVAL = 22.0, 10.0, 8.0

TIMES = "\N{MULTIPLICATION SIGN}"
SIGNS = {"add": "+", "mul": TIMES, "sub": "-", "div": "÷"}
"""Ops that are drawn as a sign in a circle."""


class Box(Struct, frozen=True, eq=False):
    """An item where it stands, relative to the drawing around it; open, with the drawing of its body."""

    item: Item
    x: float
    y: float
    width: float
    height: float
    inner: Drawing | None = None

    @property
    def sign(self) -> str:
        """The sign of an arithmetic op; empty for all else."""
        return sign(self.item)


class Line(Struct, frozen=True, eq=False):
    """A value's way to one reader: corners from port to port. `shape`: of the value, or of all that run together.
    `source`, `target`: boxes by number, -1 for the drawing's own ports. `labelled`: whether the shape is written where
    it starts; `arrow`: whether it ends in an arrow (at a frame it continues inside)."""

    value: Value
    points: tuple[Point, ...]
    shape: str
    source: int
    target: int
    skip: bool = False
    labelled: bool = False
    arrow: bool = False


class Port(Struct, frozen=True, eq=False):
    """An input or output of a definition: its middle and its top; without a size where a frame is around it."""

    name: str
    value: Value
    x: float
    y: float
    width: float = 0.0
    height: float = 0.0


class Drawing(Struct, frozen=True, eq=False):
    """A definition, drawn: relative to its own top left corner."""

    definition: Definition
    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def count(self) -> int:
        """All boxes, those inside of open ones included."""
        return sum(1 + (b.inner.count() if b.inner else 0) for b in self.boxes)


class Drawings:
    """Draws definitions: each once for every depth. `mains`: the nets among them."""

    def __init__(self, *mains: Definition) -> None:
        self.bodies = Bodies(*mains)
        self._made: dict[tuple[Definition, int, bool], Drawing] = {}
        self._depths: dict[Definition, int] = {}
        self._grids: dict[Definition, Grid] = {}

    def of(self, definition: Definition, depth: int, nested: bool = False) -> Drawing:
        """The drawing with `depth` levels of boxes; `nested`: inside of another, without its ports' names."""
        depth = max(1, min(depth, self.depth(definition)))
        key = definition, depth, nested
        if key not in self._made:
            self._made[key] = self._draw(definition, depth, nested)
        return self._made[key]

    def _inside(self, around: Definition, body: Definition | None, depth: int) -> Drawing | None:
        if body is None or not depth - _level(around, body):
            return None
        return self.of(body, depth - _level(around, body), True)

    def depth(self, definition: Definition) -> int:
        """How many levels of boxes a definition has. A block inside of its like (of a U-Net) is on the same level."""
        if definition not in self._depths:
            items = self.bodies.of(definition).items
            inner = (self.depth(i.body) + _level(definition, i.body) for i in items if i.body)
            self._depths[definition] = max(inner, default=1)
        return self._depths[definition]

    def boxes(self, definition: Definition, depth: int) -> int:
        """How many boxes the drawing to a depth has."""
        total = 0
        for item in self.bodies.of(definition).items:
            deeper = depth - _level(definition, item.body) if item.body else 0
            total += 1 + (self.boxes(item.body, deeper) if item.body and deeper else 0)
        return total

    def _grid(self, definition: Definition, body: Body) -> Grid:
        """Assign every item its layer, and the order within it: the same at all depths."""
        if definition not in self._grids:
            inputs = [Node(0, outs=gate.values, port=i) for i, gate in enumerate(body.inputs)]
            items = [Node(1, i.inputs, i.outs, number) for number, i in enumerate(body.items)]
            outputs = [Node(1, gate.values, port=i) for i, gate in enumerate(body.outputs)]
            self._grids[definition] = arrange([*inputs, *items, *outputs])
        return self._grids[definition]

    def _draw(self, definition: Definition, depth: int, nested: bool) -> Drawing:
        body = self.bodies.of(definition)
        if not body.inputs and not body.items:
            return Drawing(definition, 40, 20, (), (), (), ())
        grid = self._grid(definition, body)
        inner = [self._inside(definition, i.body, depth) for i in body.items]
        cells = _cells(grid, body, inner, nested)
        place(grid, cells)
        straighten(grid, cells)
        lanes = side_lanes(grid, cells)
        left = BAND if nested else 0.0
        quiet = _given(body) if nested else set()
        routes = Routes(grid, cells, lanes, quiet, _sides(grid, cells, lanes, body, inner))
        boxes, given, results = _finished(body, inner, grid, cells, routes, left)
        return Drawing(
            definition,
            round(routes.width + left + (MARGIN if nested else 0.0), 1),
            round(routes.height, 1),
            tuple(boxes),
            tuple(_line(way, body, inner, left) for way in routes.ways),
            tuple(given),
            tuple(results),
        )


def _given(body: Body) -> set[str]:
    """The values that leave a drawing each by itself: their shapes are written around it."""
    return {gate.values[0].name for gate in body.outputs if len(gate.values) == 1}


def _finished(
    body: Body, inner: list[Drawing | None], grid: Grid, cells: Cells, routes: Routes, left: float
) -> tuple[list[Box], list[Port], list[Port]]:
    """The boxes and ports of a drawing, in the order of the program."""
    nodes = [n for layer in grid.layers for n in layer if not n.passing]
    boxes, inputs, outputs = [], [], []
    for node in sorted(nodes, key=lambda n: (n.index, n.port)):
        cell, y = cells[id(node)], routes.top(node)
        x, middle = cell.left + left, cell.left + left + cell.width / 2
        if node.index >= 0:
            boxes.append(Box(body.items[node.index], x, y, cell.width, cell.height, inner[node.index]))
        elif node.outs:
            inputs.append(Port(body.inputs[node.port].name, node.outs[0], middle, y, cell.width, cell.height))
        else:
            outputs.append(Port(body.outputs[node.port].name, node.inputs[0], middle, y, cell.width, cell.height))
    return boxes, inputs, outputs


def _line(way: Way, body: Body, inner: list[Drawing | None], left: float) -> Line:
    link = way.link
    arrow = not left if link.target.index < 0 else inner[link.target.index] is None
    points = tuple((round(x + left, 1), y) for x, y in way.points)
    shape = body.shape(link.value)
    return Line(link.value, points, shape, link.source.index, link.target.index, link.skip, way.labelled, arrow)


def _cells(grid: Grid, body: Body, inner: list[Drawing | None], nested: bool) -> Cells:
    """The room of every node. Shapes are written below what makes them, unless the frame around has written them."""
    read = {link.value.name for link in grid.links}
    given = _given(body) if nested else set()
    cells: Cells = {}
    for node in (n for layer in grid.layers for n in layer):
        label = max(
            (shape_width(body.shape(v)) for v in node.outs if v.name in read and v.name not in given), default=0.0
        )
        if node.passing:
            cells[id(node)] = Cell(0.0, 0.0, (0.0,), (0.0,))
        elif node.index < 0:
            cells[id(node)] = _port_cell(node, body, nested, label)
        else:
            cells[id(node)] = _item_cell(body.items[node.index], inner[node.index], label)
    return cells


def _port_cell(node: Node, body: Body, nested: bool, label: float) -> Cell:
    if nested:
        return Cell(0.0, 0.0, (0.0,) * len(node.inputs), (0.0,))
    name = body.inputs[node.port].name if node.outs else body.outputs[node.port].name
    width = len(name) * CHAR + 20
    width = max(width, _room(node.inputs))
    return Cell(width, 22.0, (width / 2,) * len(node.inputs), (width / 2,), label)


def _item_cell(item: Item, inner: Drawing | None, label: float) -> Cell:
    if inner is not None:
        ins, outs = [p.x for p in inner.inputs], [p.x for p in inner.outputs]
        return Cell(inner.width, inner.height, ins, outs, label, frame=True)
    many = len(item.outs)
    if sign(item):
        width = height = CIRCLE
    else:
        width = max(len(title(item)) * CHAR, len(item.detail) * SMALL, LEAST - 18) + 18
        height = 36.0 if item.detail else 24.0
        width = max(width, _room(item.inputs))
    if many > 1:  # their shapes stand beside one another
        width = max(width, many * (label + SMALL))
    outs = [width * (i + 0.5) / many for i in range(many)]
    return Cell(width, height, [width / 2] * len(item.inputs), outs, label)


def _room(arriving: Collection[Value]) -> float:
    """How wide a box must be for arrows that end on its top."""
    return (len(arriving) + 1) * ARRIVAL


def _sides(
    grid: Grid, cells: Cells, lanes: list[float], body: Body, inner: list[Drawing | None]
) -> dict[int, tuple[float, bool]]:
    """The links, by number, that enter their reader from a side: where they come down, and whether on the right.

    Skips enter from their lanes, and one of two values where it comes from beside the reader; it is closed, and nothing
    stands in between.
    """
    arriving = Counter(id(link.target) for link in grid.links)
    found = {}
    for i, link in enumerate(grid.links):
        target = link.target
        if target.index < 0 or inner[target.index] is not None:
            continue
        two = arriving[id(target)] == 2 == len(body.items[target.index].inputs)
        x = lanes[i] if link.skip else from_above(link, cells)
        side = _beside(x, target, grid, cells[id(target)])
        if side and (link.skip or two):
            found[i] = x, side > 0
    crowd = Counter((id(grid.links[i].target), right) for i, (_, right) in found.items())
    return {i: side for i, side in found.items() if _fits(grid.links[i].target, side[1], crowd, cells)}


def _fits(node: Node, right: bool, crowd: Counter[tuple[int, bool]], cells: Cells) -> bool:
    """Whether a side of a box has room for all lines that would enter there."""
    return cells[id(node)].height / (crowd[id(node), right] + 1) > APART


def _beside(x: float, node: Node, grid: Grid, cell: Cell) -> int:
    """Whether a line that comes down at `x` has a free way to a node: from the right (1), the left (-1), or not."""
    layer = grid.layers[node.layer]
    if layer[-1] is node and x > cell.left + max(cell.extent, cell.width + ROOM):
        return 1
    return -1 if layer[0] is node and x < cell.left - ROOM else 0


def _level(around: Definition, body: Definition) -> int:
    """How many levels deeper a body is than the definition around it."""
    return int(around.name != body.name)


def sign(item: Item) -> str:
    """The sign of an arithmetic op; empty for all else."""
    callee = item.steps[0].callee
    return "" if isinstance(callee, Definition) or len(item.steps) > 1 else SIGNS.get(callee.kind, "")


def title(item: Item) -> str:
    """The text in a box: the label, and how many equal ones there are."""
    return f"{item.label} {TIMES} {item.count:,}" if item.count > 1 else item.label


def is_long(box: Box) -> bool:
    """Whether the text along an open box must be made narrower."""
    return len(title(box.item)) * SMALL > box.height - 8


def shape_width(shape: str) -> float:
    """The room that a value's shape needs beside its line."""
    return len(shape) * SMALL + 8


ROOMY = 48
"""A drawing opens as many levels as have this many boxes."""


def fitting(drawings: Drawings, definition: Definition) -> int:
    """How deep to draw a definition where nobody says: as deep as it stays easy to read, at least one level."""
    deepest = drawings.depth(definition)
    return max((d for d in range(1, deepest + 1) if drawings.boxes(definition, d) <= ROOMY), default=1)
