"""An experiment as a value in Python: what `Spec.experiment` returns, and what running it gives."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from msgspec.structs import replace

from netdsl.checks.experiments import MOST_NAMED
from netdsl.diagnostics.diagnostic import Diagnostic, Fault
from netdsl.experiment.figure import svg
from netdsl.experiment.files import check_folder
from netdsl.experiment.opened import opened
from netdsl.experiment.page import page
from netdsl.experiment.planned import Setting, Unfit
from netdsl.experiment.pool import Say
from netdsl.experiment.report import write_reports
from netdsl.experiment.results import Results as Found
from netdsl.experiment.run import Options, gathered, plan_cells, run_grid
from netdsl.experiment.search import found_so_far, search_plan, search_trials
from netdsl.experiment.table import data, text
from netdsl.experiment.text import plan_text
from netdsl.pipeline import Spec
from netdsl.render.figure import STYLE
from netdsl.render.markup import escape


class Results:
    """The results of an experiment. `str()` of it is its tables, and a notebook shows its page."""

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
            if run is not None
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
        return f"<style>{STYLE}</style>{figures}<pre>{escape(str(self))}</pre>"


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
            raise Fault(_refusal(unfit))

    @property
    def name(self) -> str:
        return self.setting.experiment.name

    def run(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        workers: int | None = None,
        device: str | None = None,
        batch_seeds: Literal["auto", "on", "off"] = "auto",
        say: Say | None = None,
    ) -> Results:
        """Train every run that has not ended, in `workers` processes (by default one for each core), and write the
        tables, figures and index.html into `folder` (by default `experiments/<name>`). `batch_seeds`: whether seeds of
        a cell are trained as one batched model; `auto`: where its first steps are faster.

        `say` is called with a line for each run. Raises UserError for a folder of something else or a full disk.
        """
        place = self.folder(folder)
        found = self.trained(place, Options(workers, device, batch=batch_seeds), say or _silent)
        write_reports(found, place)
        return Results(found, place)

    def trained(self, folder: Path, options: Options, say: Say) -> Found:
        """Train every run that has not ended; no report is written. Raises UserError."""
        if self.setting.experiment.search is not None:
            return search_trials(self.setting, folder, options, say)
        return run_grid(self.setting, folder, self.cells, options, say)

    def folder(self, given: str | os.PathLike[str] | None = None) -> Path:
        """Where runs go: what is given, else `experiments/<name>`."""
        return Path(given) if given is not None else Path("experiments") / self.name

    def results(self, folder: str | os.PathLike[str] | None = None) -> Results:
        """The results in a folder so far; nothing is run. Raises UserError for a folder of anything else."""
        place = self.folder(folder)
        check_folder(place, self.setting.experiment.name)
        if self.setting.experiment.search is not None:
            return Results(found_so_far(self.setting, place), place)
        return Results(gathered(self.setting, place, self.cells), place)

    def __str__(self) -> str:
        searched = self.setting.experiment.search is not None
        return "\n".join(search_plan(self.setting)) if searched else plan_text(self.setting, self.cells)


def _refusal(unfit: Sequence[Unfit]) -> Diagnostic:
    """One mistake for all cells that don't check."""
    notes = tuple(f"{u.cell.label}: {u.diagnostics[0].message}" for u in unfit[:MOST_NAMED])
    return replace(unfit[0].diagnostics[0], notes=notes)


def _silent(text: str) -> None: ...
