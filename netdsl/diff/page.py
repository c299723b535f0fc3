"""The page of a comparison: what changed as a list, and both nets side by side with the changes marked."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from netdsl.diff.groups import ARROW, Rest, groups
from netdsl.diff.marks import Marks
from netdsl.diff.model import Entry, Field, NetDiff, Pair, RecipeDiff
from netdsl.diff.text import Line, figures, lines, signed, state_dict, told
from netdsl.ir.model import Definition
from netdsl.render.markup import escape, packed
from netdsl.render.numbers import grouped, scaled
from netdsl.version import __version__
from netdsl.view.drawing import Drawings, fitting
from netdsl.view.svg import content, style

ROOM = 300_000
"""How many characters the images of one comparison may take, beside the first ones. Compressed they are a tenth."""


def page(nets: Sequence[NetDiff], recipes: Sequence[RecipeDiff]) -> str:
    """Comparisons as one HTML file that needs nothing else."""
    data = {"nets": list(map(_net, nets)), "recipes": list(map(_recipe, recipes))}
    title = _title(nets[0].before.name, nets[0].after.name) if nets else _title(recipes[0].before, recipes[0].after)
    return _document(title, packed(data))


def _title(before: str, after: str) -> str:
    return f"{before} {ARROW} {after}"


def _net(diff: NetDiff) -> dict[str, Any]:
    numbers: dict[Entry, int] = {}
    _number(diff.pair, numbers, set())
    found, rest = lines(*groups(diff.pair.entries))
    return {
        "title": _title(diff.before.name, diff.after.name),
        "equal": diff.equal,
        "names": [diff.before.name, diff.after.name],
        "figures": figures(diff),
        "fields": [_field(f) for f in (*diff.fields, *diff.pair.fields)],
        "groups": [_line(line, numbers) for line in found],
        "rest": _rest(rest) if rest.count else "",
        "keys": state_dict(diff.tensors),
        "sides": _sides(diff, numbers),
    }


def _recipe(diff: RecipeDiff) -> dict[str, Any]:
    return {
        "title": _title(diff.before, diff.after),
        "equal": diff.equal,
        "fields": [_field(f) for f in diff.fields],
        "follows": [_field(f) for f in diff.follows],
    }


def _field(field: Field) -> list[str]:
    return [field.name, field.before or "", field.after or ""]


def _number(pair: Pair, numbers: dict[Entry, int], seen: set[Pair]) -> None:
    """Give every entry that is told of a number, those of one pair of definitions once."""
    if pair in seen:
        return
    seen.add(pair)
    for entry in pair.entries:
        if entry.differs:
            numbers.setdefault(entry, len(numbers))
        if entry.body is not None:
            _number(entry.body, numbers, seen)


def _line(line: Line, numbers: dict[Entry, int]) -> dict[str, Any]:
    delta = line.group.delta
    return {
        "sign": line.sign,
        "text": line.text,
        "params": signed(delta.params, grouped),
        "macs": signed(delta.macs, scaled),
        "entries": sorted({numbers[e] for e in line.group.entries}),
        "inside": [_line(inner, numbers) for inner in line.inside],
        "rest": _rest(line.rest) if line.inside and (line.rest.cost.params or line.rest.cost.macs) else "",
    }


def _rest(rest: Rest) -> str:
    deltas = signed(rest.cost.params, grouped), signed(rest.cost.macs, scaled)
    return "  ".join([told(rest), *filter(None, deltas)])


def _sides(diff: NetDiff, numbers: dict[Entry, int]) -> list[dict[str, Any]]:
    """Both nets, drawn to the same depths, as far as there is room."""
    mains = diff.pair.before, diff.pair.after
    drawings = Drawings(*mains)
    start = max(fitting(drawings, main) for main in mains)
    deepest = max(drawings.depth(main) for main in mains)
    marks = [Marks(diff.pair, before, numbers) for before in (True, False)]
    found = {}
    left = ROOM
    for depth in (start, *range(start - 1, 0, -1), *range(start + 1, deepest + 1)):
        if depth != start and sum(drawings.boxes(main, depth) for main in mains) * 220 > left:
            continue
        found[depth] = [_drawn(drawings, main, depth, m) for main, m in zip(mains, marks, strict=True)]
        left -= sum(len(side["svg"]) for side in found[depth])
    depths = sorted(found)
    return [{"images": [found[d][side] for d in depths], "start": depths.index(start)} for side in (0, 1)]


def _drawn(drawings: Drawings, main: Definition, depth: int, marks: Marks) -> dict[str, Any]:
    drawing = drawings.of(main, depth)
    numbers: dict[Definition, int] = {}

    def number(definition: Definition) -> int:
        return numbers.setdefault(definition, len(numbers))

    number(drawing.definition)
    svg = content(drawing, number)
    found = marks.of(drawing, main)
    told = {f"{number(definition)} {i}": [mark.sign, *sorted(mark.entries)] for (definition, i), mark in found.items()}
    return {"w": drawing.width, "h": drawing.height, "svg": svg, "marks": told}


def _document(title: str, data: str) -> str:
    folder = Path(__file__).parent
    script, sheet = (folder / "page.js").read_text("utf-8"), (folder / "page.css").read_text("utf-8")
    sheet += style("svg")
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(title)}</title><meta name="generator" content="netdsl {escape(__version__)}">
<style>{sheet}</style></head>
<body><header><h1></h1><select id="which" aria-label="which comparison"></select>
<button id="flatter" title="fewer levels ( [ )">&minus;</button>
<button id="deeper" title="more levels ( ] )">+ levels</button>
<button id="theme" title="dark or light">◐</button>
<span class="legend"><b data-k="+">new</b><b data-k="-">gone</b><b data-k="~">changed</b>
<b data-k="&gt;">moved</b></span>
</header><nav></nav><main></main>
<script type="text/plain" id="data">{data}</script><script>{script}</script></body></html>
"""
