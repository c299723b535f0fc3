"""The page of a net: one HTML file with all its drawings, what every box costs, and the source beside them.

Every distinct definition is drawn once, as a card. Opening a box shows the card of what it calls in the next column.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

from netdsl.analysis.count import Memo as CountMemo
from netdsl.analysis.count import totals
from netdsl.analysis.receptive_field import Memo as FieldMemo
from netdsl.analysis.receptive_field import receptive_field
from netdsl.ir.model import Definition, Output, Program, Step
from netdsl.render.markup import escape, packed
from netdsl.render.numbers import grouped, in_bytes, scaled
from netdsl.sizes.dims import Dim, substitute, symbols
from netdsl.source import Source
from netdsl.version import __version__
from netdsl.view.drawing import Drawing, Drawings, fitting, title
from netdsl.view.item import Body, Item
from netdsl.view.svg import Ids, content, style

ROOM = 200_000
"""How many characters the images of the whole net may take, beside the first one. Compressed they are a tenth."""

MOST_BOXES = 2000
"""How many boxes, over all cards, a page knows the facts of."""

TYPICAL = 256
"""What a named size is taken for where costs are compared by colour."""


def page(program: Program, name: str, depth: int | None = None) -> str:
    """A net as one HTML file. `depth`: how many levels of blocks are open at first."""
    main = program.main
    drawings = Drawings(main)
    cards = _Cards(drawings)
    cards.add(main)
    start = min(depth or fitting(drawings, main), drawings.depth(main))
    images, first = _images(drawings, main, start, cards.number)
    data = {
        "net": name,
        "rows": _net_rows(program, drawings.bodies.costs, cards.reaches),
        "root": cards.number(main),
        "start": first,
        "images": images,
        "cards": cards.data,
        "sources": [[s.name.rpartition("/")[2], s.text] for s in cards.sources],
    }
    return _document(name, program.doc, packed(data))


class _Cards:
    """The drawings of all definitions, each once, with the facts of their boxes."""

    def __init__(self, drawings: Drawings) -> None:
        self.data: dict[int, dict[str, Any]] = {}
        self.sources: list[Source] = []
        self._drawings = drawings
        self._numbers: dict[Definition, int] = {}
        self.reaches: FieldMemo = {}
        self._fields: dict[object, str] = {}

    def number(self, definition: Definition) -> int:
        """The card of a definition."""
        return self._numbers.setdefault(definition, len(self._numbers))

    def add(self, main: Definition) -> None:
        """Draw a definition and what is inside it, level by level, as far as there is room for boxes."""
        waiting, left = deque([(main, "", (0, 0))]), MOST_BOXES
        while waiting and left > 0:
            definition, path, parent = waiting.popleft()
            number = self.number(definition)
            if number in self.data:
                continue
            body = self._drawings.bodies.of(definition)
            facts = [self._facts(item, path, body) for item in body.items]
            self.data[number] = {
                **_drawn(self._drawings.of(definition, 1), self.number),
                "parent": parent,
                "items": facts,
            }
            left -= len(body.items)
            for i, item in enumerate(body.items):
                if item.body is not None:
                    waiting.append((item.body, f"{path}{item.name}." if item.name else path, (number, i)))
        for facts in (f for card in self.data.values() for f in card["items"] if f.get("child", 0) not in self.data):
            del facts["child"]
            facts["rows"].append(("inside", "left out: the net is too large for one page (`summary` shows all of it)"))

    def _facts(self, item: Item, path: str, body: Body) -> dict[str, Any]:
        place = item.steps[0].place
        if place.source not in self.sources:
            self.sources.append(place.source)
        facts: dict[str, Any] = {
            "title": title(item),
            "path": f"{path}{item.name}" if item.name else path.rstrip("."),
            "rows": self._rows(item, path, body),
            "params": item.params,
            "macs": _number(item.macs),
            "memory": _number(item.bytes),
            "source": self.sources.index(place.source),
            "line": place.line,
            "end": place.source.position(max(place.span.end - 1, place.span.start))[0],
        }
        if item.body is not None:
            facts["child"] = self.number(item.body)
        return facts

    def _rows(self, item: Item, path: str, body: Body) -> list[tuple[str, str]]:
        rows = [
            ("layer", f"{path}{item.name}" if item.name else "(no parameters)"),
            ("inputs", ", ".join(map(body.shape, item.inputs))),
            ("outputs", ", ".join(map(body.shape, item.outs))),
            ("parameters", grouped(item.params)),
            ("MACs", scaled(item.macs)),
            ("activation memory", in_bytes(item.bytes)),
            ("receptive field", self._field(item)),
            ("arguments", ", ".join(f"{n}={v}" for n, v in _plain(item.body))),
            ("exists", "only while training" if item.training else ""),
        ]
        return [(what, value) for what, value in rows if value]

    def _field(self, item: Item) -> str:
        """How far one call looks, in positions of its input."""
        key = item.body or (item.steps[0].callee, item.steps[0].inputs[:1])
        if key not in self._fields:
            alone = Program(item.body or _alone(item.steps[0]), ())
            found = receptive_field(alone, memo=self.reaches) if item.inputs else None
            size = "" if found is None else "everything" if found.size is None else str(found.size)
            stride = f", stride {found.stride}" if found and found.size and found.stride != 1 else ""
            self._fields[key] = f"{size}{stride} of its input" if size else ""
        return self._fields[key]


def _alone(step: Step) -> Definition:
    """A step as a definition of its own."""
    inputs = tuple({v.name: v for v in step.inputs}.values())
    return Definition("", inputs, (), (step,), tuple(Output(v.name, v) for v in step.outs), step.place)


def _plain(body: Definition | None) -> list[tuple[str, object]]:
    arguments = body.arguments if body else ()
    return [(n, v) for n, v in arguments if isinstance(v, int | float | str | tuple | None)]


def _images(drawings: Drawings, main: Definition, start: int, ids: Ids) -> tuple[list[dict[str, Any]], int]:
    """The whole net, opened to each depth that there is room for, and which of them comes first."""
    found = {start: _drawn(drawings.of(main, start), ids)}
    left = ROOM
    for depth in (*range(start - 1, 0, -1), *range(start + 1, drawings.depth(main) + 1)):
        if drawings.boxes(main, depth) * 200 > left:
            continue
        drawn = _drawn(drawings.of(main, depth), ids)
        left -= len(drawn["svg"])
        if left < 0:
            break
        found[depth] = drawn
    depths = sorted(found)
    return [found[d] for d in depths], depths.index(start)


def _drawn(drawing: Drawing, ids: Ids) -> dict[str, Any]:
    return {"w": drawing.width, "h": drawing.height, "svg": content(drawing, ids)}


def _net_rows(program: Program, costs: CountMemo, reaches: FieldMemo) -> list[tuple[str, str]]:
    main, counted = program.main, totals(program.main, costs)
    field = receptive_field(program, memo=reaches)
    rows = [(v.name, str(v.type)) for v in main.inputs] + [(o.name, str(o.value.type)) for o in main.outputs]
    rows += [
        ("parameters", grouped(counted.params)),
        ("MACs", scaled(counted.macs)),
        ("activation memory", in_bytes(counted.activation_bytes)),
        ("receptive field", "" if field is None else "the whole image" if field.size is None else str(field.size)),
        ("needs", ", ".join(map(str, program.constraints))),
    ]
    return [(what, value) for what, value in rows if value]


def _number(size: Dim) -> int:
    """A cost as a number; a symbolic one at a typical size."""
    if isinstance(size, int):
        return size
    value = substitute(size, dict.fromkeys(symbols(size), TYPICAL))
    return value if isinstance(value, int) else 0


def _document(name: str, doc: str, data: str) -> str:
    folder = Path(__file__).parent
    script, sheet = (folder / "page.js").read_text("utf-8"), (folder / "page.css").read_text("utf-8")
    sheet += style("svg")
    first = doc.strip().partition("\n")[0]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(name)}</title><meta name="generator" content="netdsl {escape(__version__)}"><style>{sheet}</style></head>
<body><header><h1>{escape(name)}</h1><span>{escape(first)}</span>
<div id="search"><input id="query" type="search" placeholder="search  ( / )" aria-label="search" autocomplete="off">
<div id="found"></div></div>
<label>colour by <select id="heat"><option value="kind">kind<option value="params">parameters<option value="macs">MACs
<option value="memory">memory</select></label>
<button id="flatter" title="fewer levels ( [ )">&minus;</button>
<button id="deeper" title="more levels ( ] )">+ levels</button>
<button id="theme" title="dark or light">◐</button></header>
<main></main><aside><div id="panel"></div><div id="source"></div></aside>
<script type="text/plain" id="data">{data}</script><script>{script}</script></body></html>
"""
