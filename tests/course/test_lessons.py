"""The lessons of the course: what they print is what their commands made, and what they claim holds."""

from __future__ import annotations

import json
import math
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from course.lessons import HERE, Command, Lesson, index, lessons
from course.make import MARK
from netdsl.cli.main import main
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec

LESSONS = {lesson.folder.name: lesson for lesson in lessons()}
by_lesson = pytest.mark.parametrize("lesson", LESSONS.values(), ids=LESSONS)

NEAR = 0.03
"""How far an accuracy on another machine may be from the one that a lesson shows."""


def claims(lesson: Lesson) -> list[dict[str, Any]]:
    return list(tomllib.loads((lesson.folder / "claims.toml").read_text())["claim"])


CLAIMS = [
    pytest.param(lesson, claim, id=f"{lesson.number}-{number}")
    for lesson in LESSONS.values()
    for number, claim in enumerate(claims(lesson))
]


@by_lesson
def test_a_lesson_shows_what_its_commands_made(lesson: Lesson) -> None:
    assert lesson.commands, "a lesson has a command"
    for command in lesson.commands:
        assert command.shown == command.said
    for figure in lesson.figures:
        assert (lesson.folder / figure).read_text().startswith("<svg")
        assert any(_makes(c, lesson.folder / figure) for c in lesson.commands), "a command above makes the figure"
    for heading in ("## The idea", "## Exercise"):
        assert heading in lesson.text


@by_lesson
def test_the_figures_of_a_lesson_are_what_its_numbers_look_like_today(lesson: Lesson) -> None:
    """`python -m course.make --draw` draws them again."""
    for command in lesson.commands:
        for path, svg in command.drawn().items():
            assert path.read_text() == svg, path.name


def _makes(command: Command, figure: Path) -> bool:
    if command.kind == "experiment":
        return command.made in figure.parents
    return figure in [command.folder / w for w in command.words]


@by_lesson
def test_the_specs_of_a_lesson_have_no_mistakes(lesson: Lesson) -> None:
    for path in lesson.folder.glob("*.net"):
        assert Spec(load_source(str(path)), read_import).diagnostics == ()
        assert main(["fmt", "--check", str(path)]) == 0


@by_lesson
def test_a_lesson_is_made_of_what_its_spec_says_now(
    lesson: Lesson, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The cells and seeds of an experiment's results are those of its spec."""
    from netdsl import open_spec

    for command in lesson.commands:
        if command.kind == "experiment":
            path, _, name = command.words[1].partition(":")
            planned = open_spec(lesson.folder / path).experiment(name)
            found = json.loads((command.made / "results.json").read_text())
            assert [c["values"] for c in found["cells"]] == [c.cell.values for c in planned.cells]
            assert found["seeds"] == planned.setting.experiment.seeds >= 3
            assert found["ended"] == found["runs"]


def test_the_index_lists_every_lesson() -> None:
    assert (HERE / "README.md").read_text().partition(MARK)[2].split("\n") == ["", *index(), ""]


@pytest.mark.parametrize(("lesson", "claim"), CLAIMS)
def test_a_claim_holds_in_what_the_lesson_shows(lesson: Lesson, claim: dict[str, Any]) -> None:
    text = " ".join(lesson.text.split())
    assert claim["says"] in text, "the lesson says it in these words"
    low, high = claim["between"]
    if "probe" in claim:
        value = read(json.loads((lesson.folder / claim["probe"]).read_text()), claim["reads"])
        assert low <= value <= high
        return
    found = json.loads((lesson.folder / "experiments" / claim["experiment"] / "results.json").read_text())
    values = measured(found, claim["measure"], claim["cell"])
    if "than" in claim:
        others = measured(found, claim["measure"], claim["cell"] | claim["than"])
        values = [a - b for a, b in zip(values, others, strict=True)]
        if claim.get("sure", True):
            assert len({math.copysign(1, v) for v in values}) == 1, "every seed says the same"
    assert len(values) >= 3
    assert low <= sum(values) / len(values) <= high


def read(found: dict[str, Any], pattern: str) -> float:
    """The number in a probe's sentence."""
    for finding in found["findings"]:
        for line in finding["said"]:
            match = re.search(pattern, line)
            if match:
                return float(match[1].rstrip(";,%"))
    raise AssertionError(f"no sentence has {pattern}")


def measured(found: dict[str, Any], measure: str, cell: dict[str, str]) -> list[float]:
    """A measure of every run of the cell with these values."""
    (one,) = (c for c in found["cells"] if cell.items() <= c["values"].items())
    return [run[measure] for run in one["runs"] if measure in run]


# What is run once more: probes whole, of each experiment the run that claims.toml names.

PROBES = [
    pytest.param(lesson, command, id=f"{lesson.number}-{command.made.stem}")
    for lesson in LESSONS.values()
    for command in lesson.commands
    if command.kind == "probe" and ".net" in command.words[1]  # and not the runs of an experiment
]


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("lesson", "command"), PROBES)
def test_a_probe_says_so_with_other_seeds(lesson: Lesson, command: Command, seed: int, tmp_path: Path) -> None:
    found = probed(command, tmp_path, "--seed", str(seed))
    held(lesson, command, found)


QUICK = [p for p in PROBES if p.id in ("01-plain", "04-curvature")]


@pytest.mark.parametrize(("lesson", "command"), QUICK)
def test_a_probe_says_so_again(lesson: Lesson, command: Command, tmp_path: Path) -> None:
    held(lesson, command, probed(command, tmp_path))


def probed(command: Command, folder: Path, *more: str) -> dict[str, Any]:
    words = [w for w in command.words if w != "-o" and not w.endswith((".svg", ".json"))]
    words = [str(command.folder / w) if ".net" in w else w for w in words]
    assert main([*words, *more, "-o", str(folder / "again.json")]) == 0
    found: dict[str, Any] = json.loads((folder / "again.json").read_text())
    return found


def held(lesson: Lesson, command: Command, found: dict[str, Any]) -> None:
    own = [c for c in claims(lesson) if c.get("probe") == command.made.name]
    assert own, "a probe holds a claim"
    for claim in own:
        assert claim["between"][0] <= read(found, claim["reads"]) <= claim["between"][1], claim["says"]


RUNS = [
    pytest.param(
        lesson, command, id=f"{lesson.number}-{command.made.name}",
        marks=() if lesson.number == "04" else (pytest.mark.slow,),
    )
    for lesson in LESSONS.values()
    for command in lesson.commands
    if command.kind == "experiment"
]  # fmt: skip


def restless(cell: dict[str, Any]) -> tuple[bool, float]:
    """Whether runs of a cell failed, and how far apart the others are."""
    runs = cell["runs"]
    measures = [m for m, v in runs[0].items() if isinstance(v, float) and all(m in r for r in runs)] if runs else []
    return cell["failed"] != [], max((max(r[m] for r in runs) - min(r[m] for r in runs) for m in measures), default=0.0)


@pytest.mark.parametrize(("lesson", "command"), RUNS)
def test_a_run_gives_what_the_lesson_shows(lesson: Lesson, command: Command, tmp_path: Path) -> None:
    """The run with the fewest steps, of the cell whose runs differ least: other machines round otherwise, and where
    seeds lead far apart, so does that."""
    from netdsl import open_spec
    from netdsl.experiment.files import outcome
    from netdsl.experiment.run import Options, job_of
    from netdsl.experiment.worker import attempt

    path, _, name = command.words[1].partition(":")
    planned = open_spec(lesson.folder / path).experiment(name)
    cells = json.loads((command.made / "results.json").read_text())["cells"]
    number = min(range(len(cells)), key=lambda i: (planned.cells[i].seconds or 0, *restless(cells[i])))
    trial = planned.cells[number].trials[0]
    answer = attempt(job_of(planned.setting, tmp_path, trial, Options()))
    assert answer.done, answer.said
    shown = cells[number]["runs"][0]
    found = outcome(tmp_path, trial, planned.setting.experiment.wanted()).measures
    assert found is not None
    for measure, value in found.items():
        assert value == pytest.approx(shown[measure], abs=NEAR, rel=10 * NEAR), measure
