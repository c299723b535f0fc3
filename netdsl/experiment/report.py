"""Writes what an experiment says into its folder: tables, figures and a page."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from netdsl.experiment.figure import svg
from netdsl.experiment.files import write, write_json
from netdsl.experiment.page import page
from netdsl.experiment.results import Results
from netdsl.experiment.table import as_markdown, data, latex, text
from netdsl.render.output import json_text
from netdsl.render.paint import paint_for


def printed(results: Results, form: str, stream: TextIO) -> str:
    """The tables in one of the forms of the command line."""
    if form == "json":
        return json_text(data(results)) + "\n"
    if form == "markdown":
        return as_markdown(results)
    return latex(results) if form == "latex" else text(results, paint_for(stream))


def write_reports(results: Results, folder: Path) -> None:
    """Write table.txt, table.md, table.tex, results.json, the figures and index.html. Raises UserError."""
    write(folder / "table.txt", text(results))
    write(folder / "table.md", as_markdown(results))
    write(folder / "table.tex", latex(results))
    write_json(folder / "results.json", data(results))
    for number, figure in enumerate(results.experiment.figures, 1):
        write(folder / "figures" / f"{number}-{figure.kind}.svg", svg(results, figure, alone=True))
    write(folder / "index.html", page(results))
