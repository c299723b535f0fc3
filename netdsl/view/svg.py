"""A drawing as SVG: for papers, documentation and READMEs, in light and dark."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from netdsl.ir.model import Definition
from netdsl.render.markup import escape
from netdsl.view.drawing import Box, Drawing, Line, Port, is_long, title
from netdsl.view.route import Point

Ids = Callable[[Definition], int]

EDGE = 14.0
"""Around the whole drawing."""

COLOURS = {
    "conv": ("#dbeafe", "#3b82f6", "#1e3a5f"), "linear": ("#dcfce7", "#22a559", "#14432a"),
    "norm": ("#fef3c7", "#d69e1c", "#4a3a10"), "activation": ("#ffe4d6", "#e8742c", "#55290f"),
    "pool": ("#fce0e4", "#dc4a5e", "#55202a"), "attention": ("#ede4fd", "#8b5cf6", "#3a2668"),
    "weights": ("#d6f5f3", "#14a19a", "#0f4542"), "dropout": ("#f1f1f1", "#9a9a9a", "#3a3a3a"),
    "merge": ("#ffffff", "#475569", "#22262e"), "shape": ("#f4f4f5", "#a1a1aa", "#303036"),
    "block": ("#eef2f7", "#64748b", "#2a3442"),
}  # fmt: skip
"""Fill and border by what an item is, and its fill on dark pages."""


def style(scope: str = "") -> str:
    """The style sheet of drawings. `scope` stands before every rule; a page with one may have the classes `dark` and
    `light` on its root, against what the system prefers."""
    rules = [
        "text{font:12px 'Helvetica Neue',Helvetica,Arial,sans-serif;fill:#1e293b;text-anchor:middle}",
        ".s{font-size:10px;fill:#64748b}",
        ".l{font-size:10px;fill:#64748b;text-anchor:start;paint-order:stroke;stroke:#fff;stroke-width:3px}",
        ".e{fill:none;stroke:#64748b;stroke-width:1.2}.e.k{stroke:#2563eb}",
        ".a{fill:#64748b}.a.k{fill:#2563eb}",
        ".f{fill:#94a3b8;fill-opacity:.07;stroke:#94a3b8;stroke-width:1}",
        ".p{fill:#fff;stroke:#64748b;stroke-width:1.2}",
        ".t{stroke-dasharray:4 3}",
    ]
    rules += [f".{name}{{fill:{fill};stroke:{border};stroke-width:1.2}}" for name, (fill, border, _) in COLOURS.items()]
    night = [
        "text{fill:#e5e9f0}",
        ".s,.l{fill:#9aa7b8}",
        ".l{stroke:#0d1117}",
        ".p{fill:#1b2028}",
        ".e.k{stroke:#6ea8fe}",
        ".a.k{fill:#6ea8fe}",
    ]
    night += [f".{name}{{fill:{fill}}}" for name, (_, _, fill) in COLOURS.items()]
    by_system = scoped(night, f":root:not(.light) {scope}" if scope else "")
    chosen = scoped(night, f":root.dark {scope}") if scope else ""
    return f"{scoped(rules, scope)}@media (prefers-color-scheme:dark){{{by_system}}}{chosen}"


def scoped(rules: list[str], scope: str) -> str:
    """Rules that hold only inside of a selector."""
    return "".join(f"{scope} {rule.replace(',.', f',{scope} .')}" if scope else rule for rule in rules)


def svg(drawing: Drawing, name: str) -> str:
    """One SVG document. `name`: of the net, for those who hear it."""
    width, height = drawing.width + 2 * EDGE, drawing.height + 2 * EDGE
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(width)} {_n(height)}" width="{_n(width)}" '
        f'height="{_n(height)}" role="img"><title>{escape(name)}</title><style>{style()}</style>'
        f'<g transform="translate({_n(EDGE)} {_n(EDGE)})">{content(drawing)}</g></svg>\n'
    )


def content(drawing: Drawing, ids: Ids | None = None) -> str:
    """The elements of a drawing, its open boxes included. `ids`: numbers of definitions, by which a page finds them."""
    parts = [_box(box, number, ids) for number, box in enumerate(drawing.boxes)]
    parts += [_line(line) for line in drawing.lines]
    parts += [_label(line) for line in drawing.lines if line.labelled]
    parts += [_port(port) for port in (*drawing.inputs, *drawing.outputs) if port.height]
    return "".join(parts)


def _box(box: Box, number: int, ids: Ids | None) -> str:
    item = box.item
    dashed = " t" if item.training else ""
    known = f' data-i="{number}"' if ids else ""
    if ids and box.inner:
        known += f' data-d="{ids(box.inner.definition)}"'
    at = f'<g transform="translate({_n(box.x)} {_n(box.y)})"{known}>'
    middle = _n(box.width / 2)
    size = f'width="{_n(box.width)}" height="{_n(box.height)}"'
    if box.inner is not None:
        return f"{at}{_frame(box)}{content(box.inner, ids)}</g>"
    if box.sign:
        radius = _n(box.width / 2)
        return f'{at}<circle class="merge" cx="{radius}" cy="{radius}" r="{radius}"/>{_text(box.sign, middle, 15)}</g>'
    corner = 9 if item.family in ("activation", "dropout") else 4
    rect = f'<rect class="{item.family}{dashed}" {size} rx="{corner}"/>'
    if item.count > 1:
        shift = 'x="5"' if item.parallel else 'x="3" y="3"'
        rect = f'<rect class="{item.family}" {shift} {size} rx="{corner}"/>{rect}'
    small = f'<text class="s" x="{middle}" y="28">{escape(item.detail)}</text>' if item.detail else ""
    return f"{at}{rect}{_text(title(item), middle, 15 if item.detail else 16)}{small}</g>"


def _frame(box: Box) -> str:
    """The border of an open box, with what it is along its side."""
    dashed = " t" if box.item.training else ""
    rect = f'width="{_n(box.width)}" height="{_n(box.height)}" rx="6"/>'
    behind = f'<rect class="f{dashed}" x="5" {rect}' if box.item.parallel else ""
    fitted = f' textLength="{_n(box.height - 8)}" lengthAdjust="spacingAndGlyphs"' if is_long(box) else ""
    turn = f'transform="translate(12 {_n(box.height / 2)}) rotate(-90)"'
    return f'{behind}<rect class="f{dashed}" {rect}<text class="s" {turn}{fitted}>{escape(title(box.item))}</text>'


def _text(text: str, x: str, y: float) -> str:
    return f'<text x="{x}" y="{_n(y)}">{escape(text)}</text>'


def _line(line: Line) -> str:
    kind = " k" if line.skip else ""
    head = _head(line.points, kind) if line.arrow else ""
    return f'<path class="e{kind}" d="{_path(line.points)}"><title>{escape(line.shape)}</title></path>{head}'


def _head(points: tuple[Point, ...], kind: str) -> str:
    x, y = points[-1]
    before = points[-2][0]
    shape = "l6 -3.5v7z" if before > x else "l-6 -3.5v7z" if before < x else "l-3.5 -6h7z"
    return f'<path class="a{kind}" d="M{_n(x)} {_n(y)}{shape}"/>'


def _label(line: Line) -> str:
    x, y = line.points[0]
    return f'<text class="l" x="{_n(x + 5)}" y="{_n(y + 12)}">{escape(line.shape)}</text>'


def _port(port: Port) -> str:
    left = _n(port.x - port.width / 2)
    rect = f'<rect class="p" x="{left}" y="{_n(port.y)}" width="{_n(port.width)}" height="{_n(port.height)}" rx="11"/>'
    return rect + _text(port.name, _n(port.x), port.y + 15)


def _path(points: tuple[Point, ...]) -> str:
    """Lines with round corners."""
    text = f"M{_n(points[0][0])} {_n(points[0][1])}"
    for (ax, ay), (x, y), (bx, by) in zip(points, points[1:], points[2:], strict=False):
        radius = min(6.0, (abs(x - ax) + abs(y - ay)) / 2, (abs(bx - x) + abs(by - y)) / 2)
        text += f"L{_n(x - _sign(x - ax) * radius)} {_n(y - _sign(y - ay) * radius)}"
        text += f"Q{_n(x)} {_n(y)} {_n(x + _sign(bx - x) * radius)} {_n(y + _sign(by - y) * radius)}"
    return text + f"L{_n(points[-1][0])} {_n(points[-1][1])}"


def _sign(number: float) -> int:
    return (number > 0) - (number < 0)


@cache
def _n(number: float) -> str:
    """A number with at most one digit after the point."""
    return f"{number:.1f}".removesuffix(".0")
