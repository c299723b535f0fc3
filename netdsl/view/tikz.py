"""A drawing as TikZ: a document that compiles by itself, that can also be put into a paper."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.view.drawing import Box, Drawing, Line, Port, is_long, title
from netdsl.view.svg import COLOURS

POINTS = 0.75
"""A pixel of a drawing in points of TeX."""

HEAD = r"""% {name}, drawn by netdsl. The drawing needs \usepackage{{tikz}} and \usetikzlibrary{{arrows.meta}}.
\documentclass[tikz,border=4pt]{{standalone}}
\usepackage{{tikz}}
\usetikzlibrary{{arrows.meta}}
\begin{{document}}
{colours}
\begin{{tikzpicture}}[x={unit}pt, y=-{unit}pt, every node/.style={{inner sep=0pt, outer sep=0pt}},
  font=\sffamily\fontsize{{9}}{{10}}\selectfont, line width=0.8pt, ink/.style={{netdslink}},
  small/.style={{font=\sffamily\fontsize{{7.5}}{{8}}\selectfont, netdslink!70}},
  edge/.style={{netdslink!80, rounded corners=3.5pt}}, skip/.style={{edge, netdslskip}},
  arrow/.style={{-{{Latex[length=4.5pt, width=4pt]}}}}]
"""

SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "_": r"\_", "%": r"\%",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{DIVISION SIGN}": r"$\div$", "\N{RIGHTWARDS ARROW}": r"$\to$",
}  # fmt: skip
"""What TeX reads otherwise than it is written, and the signs of drawings."""


def tikz(drawing: Drawing, name: str) -> str:
    """One TeX document."""
    head = HEAD.format(name=escaped(name), colours="\n".join(_colours()), unit=POINTS)
    lines = "\n".join(f"  {line}" for line in _content(drawing, 0.0, 0.0))
    return f"{head}{lines}\n\\end{{tikzpicture}}\n\\end{{document}}\n"


def _colours() -> Iterator[str]:
    """Names for the colours of boxes, and for what is written and drawn."""
    for name, (fill, border, _) in COLOURS.items():
        yield _colour(f"netdsl{name}", fill)
        yield _colour(f"netdsl{name}line", border)
    yield _colour("netdslink", "#1e293b")
    yield _colour("netdslskip", "#2563eb")


def _colour(name: str, value: str) -> str:
    return rf"\definecolor{{{name}}}{{HTML}}{{{value[1:].upper()}}}"


def _content(drawing: Drawing, x: float, y: float) -> Iterator[str]:
    """The boxes, lines, shapes and ports of a drawing whose corner is at a place."""
    for box in drawing.boxes:
        yield from _box(box, x + box.x, y + box.y)
    for line in drawing.lines:
        yield _line(line, x, y)
    for line in drawing.lines:
        if line.labelled:
            (left, top), shape = line.points[0], escaped(line.shape)
            place = f"({_n(x + left + 5)},{_n(y + top + 8.5)})"
            yield rf"\node[small, anchor=west] at {place} {{{shape}}};"
    for port in (*drawing.inputs, *drawing.outputs):
        if port.height:
            yield from _port(port, x, y)


def _box(box: Box, x: float, y: float) -> Iterator[str]:
    item = box.item
    dashed = ", dashed" if item.training else ""
    fill = f"fill=netdsl{item.family}, draw=netdsl{item.family}line{dashed}"
    middle = x + box.width / 2, y + box.height / 2
    if box.inner is not None:
        for left in (x + 5, x) if item.parallel else (x,):
            rect = _rect(left, y, box.width, box.height)
            yield rf"\draw[draw=netdslblockline!70, fill=netdslblock!35, rounded corners=4.5pt{dashed}] {rect};"
        fitted = rf"\resizebox{{{_n((box.height - 8) * POINTS)}pt}}{{!}}{{" if is_long(box) else "{"
        yield rf"\node[small, rotate=90] at ({_n(x + 9)},{_n(middle[1])}) {{{fitted}{escaped(title(item))}}}}};"
        yield from _content(box.inner, x, y)
    elif box.sign:
        yield rf"\draw[{fill}] ({_n(middle[0])},{_n(middle[1])}) circle[radius={_n(box.width / 2 * POINTS)}pt];"
        yield _node(box.sign, *middle)
    else:
        corner = 6.5 if item.family in ("activation", "dropout") else 3
        if item.count > 1:
            behind = (x + 5, y) if item.parallel else (x + 3, y + 3)
            yield rf"\draw[{fill}, rounded corners={corner}pt] {_rect(*behind, box.width, box.height)};"
        yield rf"\draw[{fill}, rounded corners={corner}pt] {_rect(x, y, box.width, box.height)};"
        yield _node(title(item), middle[0], y + 11.5 if item.detail else middle[1])
        if item.detail:
            yield rf"\node[small] at ({_n(middle[0])},{_n(y + 25)}) {{{escaped(item.detail)}}};"


def _rect(x: float, y: float, width: float, height: float) -> str:
    return f"({_n(x)},{_n(y)}) rectangle ({_n(x + width)},{_n(y + height)})"


def _node(text: str, x: float, y: float) -> str:
    return rf"\node[ink] at ({_n(x)},{_n(y)}) {{{escaped(text)}}};"


def _line(line: Line, x: float, y: float) -> str:
    style = "skip" if line.skip else "edge"
    way = " -- ".join(f"({_n(x + a)},{_n(y + b)})" for a, b in line.points)
    return rf"\draw[{style}{', arrow' if line.arrow else ''}] {way};"


def _port(port: Port, x: float, y: float) -> Iterator[str]:
    rect = _rect(x + port.x - port.width / 2, y + port.y, port.width, port.height)
    yield rf"\draw[draw=netdslink!80, fill=white, rounded corners=8pt] {rect};"
    yield _node(port.name, x + port.x, y + port.y + port.height / 2)


def escaped(text: str) -> str:
    """A text as TeX prints it. What is neither ASCII nor a sign of drawings becomes a question mark."""
    return "".join(SPECIAL.get(c, c if c.isascii() and c.isprintable() else "?") for c in text)


def _n(number: float) -> str:
    """A number with at most one digit after the point."""
    return f"{number:.1f}".removesuffix(".0")
