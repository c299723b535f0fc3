"""Lessons as they are written: the commands of each, and the figures and the output below them."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from netdsl import open_spec
from netdsl.experiment.figure import svg
from netdsl.experiment.files import Outcome
from netdsl.experiment.results import Results, results
from netdsl.probe.model import Probed
from netdsl.probe.page import drawings

if TYPE_CHECKING:
    from netdsl.experiment.from_python import Experiment

HERE = Path(__file__).parent

_BLOCK = re.compile(r"^```console\n\$ (netdsl .*?)\n```\n\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A block of one command, and its output below it."""


class Lesson:
    """One lesson: the text of its `lesson.md` and what stands in it. `number` and `name` are those of its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number, _, self.name = folder.name.partition("-")
        self.path = folder / "lesson.md"
        self.text = self.path.read_text()

    @property
    def title(self) -> str:
        return self.text.partition("\n")[0].removeprefix("# ")

    @property
    def idea(self) -> str:
        """The first paragraph, as one line."""
        return " ".join(self.text.split("\n\n")[1].split())

    @property
    def commands(self) -> list[Command]:
        """The commands in order."""
        return [Command(self.folder, m[1], m[2]) for m in _BLOCK.finditer(self.text)]

    @property
    def figures(self) -> list[str]:
        """Paths of figures, below the lesson's folder."""
        return re.findall(r"!\[[^\]]*\]\(([^)]+)\)", self.text)

    def with_outputs(self) -> str:
        """The text with what its commands said last."""
        return _BLOCK.sub(
            lambda m: f"```console\n$ {m[1]}\n```\n\n```text\n{Command(self.folder, m[1]).said}```", self.text
        )


class Command:
    """A command of a lesson, which runs in the lesson's folder. `shown`: its output as the lesson shows it."""

    def __init__(self, folder: Path, text: str, shown: str = "") -> None:
        self.folder = folder
        self.text = text
        self.shown = shown

    @property
    def words(self) -> list[str]:
        """The arguments behind `netdsl`."""
        return shlex.split(self.text.replace("\\\n", " "))[1:]

    @property
    def kind(self) -> str:
        return self.words[0]

    @property
    def made(self) -> Path:
        """The folder of an experiment, or the JSON file of a probe; the lesson's own folder for what leaves no file."""
        if self.kind == "experiment":
            return self.folder / "experiments" / self.words[1].partition(":")[2]
        return self.folder / next((w for w in self.words if w.endswith(".json")), "")

    @property
    def said(self) -> str:
        """What the command found, as text: an experiment's tables, a probe's sentences, what a diff prints."""
        if self.kind == "experiment":
            return (self.made / "table.txt").read_text()
        if self.kind == "diff":
            return self.run().stdout
        found = json.loads(self.made.read_text())
        return "".join(f"{line}\n" for finding in found["findings"] for line in finding["said"])

    def drawn(self) -> dict[Path, str]:
        """The figures of the command's numbers as they are drawn today, by their files; nothing is run."""
        if self.kind == "diff":
            return {}
        if self.kind == "experiment":
            path, _, name = self.words[1].partition(":")
            found = kept(
                open_spec(self.folder / path).experiment(name), json.loads((self.made / "results.json").read_text())
            )
            figures = enumerate(found.experiment.figures, 1)
            return {self.made / "figures" / f"{n}-{f.kind}.svg": svg(found, f, alone=True) for n, f in figures}
        files = [self.folder / w for w in self.words if w.endswith(".svg")]
        return {file: drawings(msgspec.convert(json.loads(self.made.read_text()), Probed)) for file in files}

    @property
    def complete(self) -> bool:
        """Whether a command has done what it should though its exit code is not 0: nets that differ are what a diff is
        for, and a run whose loss is not finite is a result of an experiment."""
        if self.kind != "experiment":
            return self.kind == "diff"
        found = json.loads((self.made / "results.json").read_text()) if (self.made / "results.json").exists() else {}
        return bool(found) and found["ended"] == found["runs"]

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        """Run the command in the lesson's folder; what goes wrong is printed."""
        path = os.pathsep.join(filter(None, (str(HERE.parent), os.environ.get("PYTHONPATH"))))
        return subprocess.run(
            [sys.executable, "-m", "netdsl", *self.words, *more], cwd=self.folder, text=True, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip


def kept(experiment: Experiment, found: dict[str, Any]) -> Results:
    """The results of an experiment from its results.json."""
    outcomes, failures = {}, {}
    for cell, planned in zip(found["cells"], experiment.cells, strict=True):
        lost = {f["folder"]: f["why"] for f in cell["failed"]}
        failures |= lost
        for trial, run in zip(planned.trials, cell["runs"], strict=True):
            numbers = {name: value for name, value in run.items() if name not in ("seed", "folder")}
            outcomes[trial.path] = Outcome(trial, None if trial.path in lost else numbers)
    return results(experiment.setting.experiment, experiment.cells, outcomes, failures)


def lessons() -> list[Lesson]:
    """All lessons in order."""
    return [Lesson(path.parent) for path in sorted(HERE.glob("*/lesson.md"))]


def index() -> Iterator[str]:
    """The lines of the course's list of lessons."""
    for lesson in lessons():
        yield f"- [{lesson.title}]({lesson.folder.name}/lesson.md): {lesson.idea}"
