"""The cell magic `%%net`: the nets of a cell become variables, and the cell shows what the first of them amounts to."""

from __future__ import annotations

import os
from typing import Any

from netdsl.api import Spec, SpecError, open_spec
from netdsl.render.diagnostics import Diagnostics
from netdsl.render.markup import escape
from netdsl.source import Source

CELL = "cell.net"


class Cell:
    """A checked cell: its nets by name, shown as a summary of the one that is chosen."""

    def __init__(self, spec: Spec, shown: str) -> None:
        self.spec = spec
        self.shown = shown
        self.warnings = Diagnostics(spec.diagnostics)

    @property
    def text(self) -> str:
        """The summary of the chosen net; the names of what the cell declares, where it has no complete net."""
        if self.shown:
            return str(self.spec.net(self.shown).summary())
        names = ", ".join(self.spec.module.names) or "nothing"
        return f"no mistakes; declares {names}"

    def __repr__(self) -> str:
        return f"{self.warnings}\n\n{self.text}" if self.warnings else self.text

    def _repr_html_(self) -> str:
        table = f"<pre>{escape(self.text)}</pre>"
        return f"{self.warnings._repr_html_()}\n{table}" if self.warnings else table


def run_cell(line: str, cell: str, names: dict[str, Any]) -> Cell | Diagnostics:
    """Check a cell and put its complete nets into a notebook's variables; none where there are mistakes, and warnings
    are shown above the table. `line`: the net to show, or nothing."""
    try:
        spec = open_spec(Source(cell, os.path.join(os.getcwd(), CELL)))
        if any(d.severity == "error" for d in spec.diagnostics):
            return Diagnostics(spec.diagnostics)
        shown = line.strip() or next(iter(spec.nets), "")
        if shown:
            spec.net(shown)
        names.update({name: spec.net(name) for name in spec.nets})
    except SpecError as error:
        return Diagnostics(error.diagnostics)
    return Cell(spec, shown)
