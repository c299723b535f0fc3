"""Drawings of nets: an image for papers and documentation, a page to explore."""

from __future__ import annotations

from netdsl.ir.model import Program
from netdsl.view.drawing import Drawings, fitting
from netdsl.view.page import page
from netdsl.view.svg import svg
from netdsl.view.tikz import tikz

__all__ = ["image", "page", "tex"]


def image(program: Program, name: str, depth: int | None = None) -> str:
    """A net as SVG. `depth`: how many levels of blocks are open (without it, as many as stay easy to read)."""
    drawings = Drawings(program.main)
    return svg(drawings.of(program.main, depth or fitting(drawings, program.main)), name)


def tex(program: Program, name: str, depth: int | None = None) -> str:
    """A net as a TeX document with a TikZ drawing. `depth`: as for `image`."""
    drawings = Drawings(program.main)
    return tikz(drawings.of(program.main, depth or fitting(drawings, program.main)), name)
