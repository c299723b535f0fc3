"""The cell magic `%%net`: the nets of a cell become variables, and the cell shows what the first of them amounts to."""

from __future__ import annotations

import os
from html import escape
from typing import Any

from netdsl.api import Spec, SpecError, open_spec
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.render.diagnostics import render
from netdsl.source import Source

CELL = "cell.net"


class Mistakes:
    """The mistakes of a cell, as the command line shows them."""

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        self.diagnostics = diagnostics

    def __repr__(self) -> str:
        return "\n\n".join(render(d) for d in self.diagnostics)

    def _repr_html_(self) -> str:
        parts = (f'<pre style="color: {_colour(d)}">{escape(render(d))}</pre>' for d in self.diagnostics)
        return "\n".join(parts)


def _colour(found: Diagnostic) -> str:
    return "#b00020" if found.severity == "error" else "#8a6d00"


class Cell:
    """A checked cell: its nets by name, shown as a summary of the one that is chosen."""

    def __init__(self, spec: Spec, shown: str) -> None:
        self.spec = spec
        self.shown = shown

    @property
    def text(self) -> str:
        """The summary of the chosen net; the names of what the cell declares, where it has no complete net."""
        if self.shown:
            return str(self.spec.net(self.shown).summary())
        names = ", ".join(self.spec.module.names) or "nothing"
        return f"no mistakes; declares {names}"

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return f"<pre>{escape(self.text)}</pre>"


def run_cell(line: str, cell: str, names: dict[str, Any]) -> Cell | Mistakes:
    """Check a cell and put its complete nets into a notebook's variables. `line`: the net to show, or nothing."""
    try:
        spec = open_spec(Source(cell, os.path.join(os.getcwd(), CELL)))
        if spec.diagnostics:
            return Mistakes(spec.diagnostics)
        shown = line.strip() or next(iter(spec.nets), "")
        if shown:
            spec.net(shown)
        names.update({name: spec.net(name) for name in spec.nets})
    except SpecError as error:
        return Mistakes(error.diagnostics)
    return Cell(spec, shown)
