"""A run as a value: what `net.train` returns, and `netdsl.open_run` opens later."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from torch import nn

from netdsl.diagnostics.diagnostic import diagnostic, did_you_mean
from netdsl.recipe.metrics import described
from netdsl.recipe.schema import Recipe
from netdsl.render.markup import escape
from netdsl.training.checkpoints import run_dir as files
from netdsl.training.checkpoints.run_dir import About
from netdsl.training.errors import TrainingError
from netdsl.training.from_python import Wishes, go_on, in_words
from netdsl.training.opened import open_trained
from netdsl.training.report.charts import chart, charted, charts
from netdsl.training.report.style import in_notebook


class Run:
    """A training in its folder. What it says is read from the folder each time, also while the training continues."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        with in_words():
            files.read_about(self.folder)

    @property
    def about(self) -> About:
        """The net with its arguments, the data, the versions and the machine."""
        return files.read_about(self.folder)[0]

    @property
    def recipe(self) -> Recipe:
        """The recipe with every default filled in."""
        return files.read_about(self.folder)[1]

    @property
    def result(self) -> Mapping[str, Any]:
        """The metrics on the test split; empty until the run has ended."""
        return self.about.result

    @property
    def ended(self) -> bool:
        """Whether the run has come to its end; otherwise `resume` continues with it."""
        return bool(self.result)

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log of what was measured, in order: `kind` is `step` or `evaluation`, the rest are numbers by name."""
        return files.read_log(self.folder)

    @property
    def curves(self) -> dict[str, list[tuple[int, float]]]:
        """Every number of the log over the steps: `training_loss`, `lr`, `gradient`, and the metrics as evaluated."""
        found: dict[str, list[tuple[int, float]]] = {}
        for line in self.log:
            for name, value in line.items():
                if isinstance(value, float) and name not in ("epoch", "waiting"):
                    name = f"training_{name}" if name == "loss" and line["kind"] == "step" else name
                    found.setdefault(name, []).append((line["step"], value))
        return found

    def module(self) -> nn.Module:
        """The trained net as a PyTorch module on the CPU, in evaluation mode. Raises TrainingError before the end."""
        with in_words():
            module = open_trained(self.folder).module
        assert module is not None
        return module

    def resume(self, data: Any = None, **wishes: Unpack[Wishes]) -> Run:
        """Continue from the newest checkpoint, as if the run had never ended; what it takes is what `net.train` took.
        `data`: passed once more where they were.

        Raises TrainingError.
        """
        go_on(self.folder, data, wishes)
        return self

    def __repr__(self) -> str:
        about = self.about
        said = described(dict(about.result), about.task) if about.result else "not ended"
        return f"{about.net} on {about.data}: {said}; {self.folder}"

    def plot(self, *names: str) -> Plot:
        """The curves of some numbers of the log, of all without names: `run.plot("loss", "top1")`. A notebook shows
        them; `str()` of it is their SVG. Raises TrainingError for a name that the log does not have."""
        lines = self.log
        found = {name: chart(lines, name) for name in names or charted()}
        unknown = [name for name in names if not found[name]]
        if unknown:
            there = [name for name in charted() if chart(lines, name)]
            hint = did_you_mean(unknown[0], there) or f"it has {', '.join(there)}"
            message = f"the log of {self.folder} has no `{unknown[0]}`"
            raise TrainingError(diagnostic("unfit-metric", message, None, hint))
        return Plot("".join(found.values()))

    def _repr_html_(self) -> str:
        return in_notebook(f"<p><b>{escape(repr(self))}</b></p><div class=charts>{charts(self.log)}</div>")


class Plot:
    """Curves of a run, which a notebook shows."""

    def __init__(self, svg: str) -> None:
        self.svg = svg

    def __str__(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return in_notebook(f"<div class=charts>{self.svg}</div>")
