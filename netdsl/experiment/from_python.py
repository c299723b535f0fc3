"""An experiment as a value in Python: what `Spec.experiment` returns, and what running it gives."""

from __future__ import annotations

import os
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from netdsl.diagnostics.diagnostic import Fault
from netdsl.experiment.figure import svg
from netdsl.experiment.opened import opened
from netdsl.experiment.page import SHEET, page
from netdsl.experiment.planned import Setting
from netdsl.experiment.pool import Say
from netdsl.experiment.report import write_reports
from netdsl.experiment.results import Results as Found
from netdsl.experiment.run import Options, gathered, plan_cells, run_grid
from netdsl.experiment.search import found_so_far, search_plan, search_trials
from netdsl.experiment.table import data, text
from netdsl.experiment.text import plan_text
from netdsl.pipeline import Spec


class Results:
    """What an experiment has found. `str()` of it is its tables, and a notebook shows its page."""

    def __init__(self, found: Found, folder: Path) -> None:
        self.found = found
        self.folder = folder

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A dict for every run that has ended: its values, its seed, its measures and its folder. What pandas'
        `DataFrame` takes."""
        return [
            {**row.cell.values, "seed": trial.seed, **run, "folder": str(self.folder / trial.path)}
            for row in self.found.rows
            for trial, run in zip(row.trials, row.runs, strict=True)
            if run
        ]

    @property
    def data(self) -> dict[str, Any]:
        """All of it as plain values: cells with means and deviations, runs, comparisons with intervals and p."""
        return data(self.found)

    def figure(self, number: int = 1) -> str:
        """One of the plots, counted from 1, as SVG."""
        return svg(self.found, self.found.experiment.figures[number - 1], alone=True)

    def page(self) -> str:
        """The HTML page with all of it."""
        return page(self.found)

    def __str__(self) -> str:
        return text(self.found)

    def _repr_html_(self) -> str:
        figures = "".join(svg(self.found, f) for f in self.found.experiment.figures)
        return f"<style>{SHEET.partition('body{')[0]}</style>{figures}<pre>{escape(str(self))}</pre>"


class Experiment:
    """One experiment of a spec, free of mistakes; `str()` of it is its plan."""

    def __init__(
        self, spec: Spec, name: str | None, settings: Mapping[str, str], sizes: Mapping[str, int], seeds: int | None
    ) -> None:
        setting, self.warnings = opened(spec, name, settings, sizes)
        if seeds is not None:
            setting = replace(setting, experiment=replace(setting.experiment, seeds=seeds))
        self.setting: Setting = setting
        self.cells, unfit = plan_cells(setting) if setting.experiment.search is None else ([], [])
        if unfit:
            raise Fault(unfit[0].diagnostics[0])

    @property
    def name(self) -> str:
        return self.setting.experiment.name

    def run(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        workers: int | None = None,
        device: str | None = None,
        say: Say | None = None,
    ) -> Results:
        """Train every run that has not ended, in `workers` processes (by default one for each core), and write the
        tables, figures and index.html into `folder` (by default `experiments/<name>`).

        `say` is called with a line for each run. Raises UserError for a folder of something else or a full disk.
        """
        place = Path(folder) if folder is not None else Path("experiments") / self.name
        options = Options(workers, device)
        if self.setting.experiment.search is not None:
            found = search_trials(self.setting, place, options, say or _silent)
        else:
            found = run_grid(self.setting, place, self.cells, options, say or _silent)
        write_reports(found, place)
        return Results(found, place)

    def results(self, folder: str | os.PathLike[str] | None = None) -> Results:
        """What has ended in a folder by now; nothing is run."""
        place = Path(folder) if folder is not None else Path("experiments") / self.name
        if self.setting.experiment.search is not None:
            return Results(found_so_far(self.setting, place), place)
        return Results(gathered(self.setting, place, self.cells), place)

    def __str__(self) -> str:
        searched = self.setting.experiment.search is not None
        return "\n".join(search_plan(self.setting)) if searched else plan_text(self.setting, self.cells)


def _silent(text: str) -> None: ...
