"""Seeds of a cell as one batched model: decided once, kept, and the same numbers however it is resumed."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from experiments import experiment, interrupted, spec
from msgspec.structs import replace

import netdsl
from netdsl.diagnostics.codes.experiments import NET
from netdsl.experiment import files
from netdsl.experiment.decisions import BATCHED, Decision, Decisions, parts
from netdsl.experiment.jobs import Answer, Job, Orders
from netdsl.experiment.run import Engine, Options
from netdsl.experiment.worker import attempt

ENTRIES = """
  vary width = [4, 8]
  seeds   = 4
  measure = [test.loss, train.loss]
"""


def made(entries: str = ENTRIES, net: str = NET, name: str = "e.net") -> Any:
    return netdsl.open_spec(netdsl.Source(f"{net}\nexperiment E for Example {{{entries}}}\n", name)).experiment()


def sizes(found: Any, folder: Path, decisions: Decisions, workers: int = 1, mode: str = "auto") -> list[int]:
    return [len(part) for part in parts(found.cells, folder, decisions, workers, mode)]


def test_seeds_of_a_cell_are_tried_as_one_where_there_are_enough(tmp_path: Path) -> None:
    none = Decisions(tmp_path)
    assert sizes(made(), tmp_path, none) == [4, 4]
    assert sizes(made(), tmp_path, none, mode="off") == [1] * 8
    assert sizes(made(ENTRIES.replace("= 4\n", "= 3\n")), tmp_path, none) == [1] * 6, "bit for bit `netdsl train`"
    assert sizes(made(ENTRIES.replace("= 4\n", "= 40\n")), tmp_path, none) == [32, 8] * 2
    one = made(ENTRIES.replace("[4, 8]", "[4]").replace("= 4\n", "= 16\n"))
    assert sizes(one, tmp_path, none, workers=2) == [8, 8], "each core has something to do"
    dropped = NET.replace("flatten", "flatten -> dropout(0.1)")
    assert sizes(made(net=dropped), tmp_path, none) == [1] * 8


def test_what_is_decided_stays(tmp_path: Path) -> None:
    found, decisions = made(), Decisions(tmp_path)
    decisions.keep("width=4", Decision(1, 1.1))
    decisions.keep("width=8", Decision(2, 2.0))
    again = Decisions(tmp_path)
    assert sizes(found, tmp_path, again, workers=8) == [1, 1, 1, 1, 2, 2]
    (tmp_path / BATCHED).unlink()
    files.write_json(tmp_path / "width=4" / "seed-0" / files.TRIAL, files.Mark("key", "begun by an earlier version"))
    assert sizes(found, tmp_path, Decisions(tmp_path)) == [1, 1, 1, 1, 4]


class Talk:
    """The pipes of a worker, whose questions are answered by an engine."""

    def __init__(self, ask: Any) -> None:
        self.ask = ask
        self.orders: SimpleQueue[Orders] = SimpleQueue()

    def say(self, answer: Answer) -> None:
        assert answer.report is not None
        self.orders.put(Orders(go=self.ask(*answer.report)))


def engine(found: Any, folder: Path, said: list[str], **options: Any) -> Engine:
    from collections import deque

    trials = [t for cell in found.cells for t in cell.trials]
    decisions = Decisions(folder)
    given = [p for p in parts(found.cells, folder, decisions, 1, "auto") if not all(done(folder, found, t) for t in p)]
    return Engine(found.setting, folder, Options(**options), deque(given), decisions, said.append, {}, tuple(trials))


def done(folder: Path, found: Any, trial: Any) -> bool:
    return files.is_done(folder, trial, found.setting.experiment.wanted())


def test_a_worker_measures_asks_and_trains_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.fsync", lambda file: None)
    monkeypatch.setattr("netdsl.training.together.speedup", lambda prepared, rows: 2.5)
    (tmp_path / "e.net").write_text("")
    found = made(ENTRIES.replace("[4, 8]", "[4]"), NET.replace("epochs = 3", "steps = 4"), str(tmp_path / "e.net"))
    said: list[str] = []
    grid = engine(found, tmp_path / "out", said)
    job = grid.next()
    assert job is not None
    assert (job.label, job.rows, job.decided) == ("width = 4, seeds 0 to 3", 4, False)
    answer = attempt(job, Talk(lambda step, value: grid.may_continue(job, step, value)))  # type: ignore[arg-type]
    grid.end(job, answer)
    assert [a.done for a in answer.each] == [True] * 4
    assert grid.ended == 4
    assert "4 at once, whose first steps are 2.5 times faster" in said[0]
    assert json.loads((tmp_path / "out" / BATCHED).read_text()) == {"width=4": {"at_once": 4, "faster": 2.5}}
    splits = json.loads((tmp_path / "out" / "width=4" / "seed-3" / "splits.json").read_text())
    assert splits["train"]["n"] == 1438

    (tmp_path / "out" / "width=4" / "seed-2" / "splits.json").unlink()
    grid = engine(found, tmp_path / "out", said)
    job = grid.next()
    assert job is not None
    assert ([j.row for j in job.together], job.rows, job.decided) == ([2], 4, True)
    assert attempt(job, Talk(None)).each == (Answer(done=True),)  # type: ignore[arg-type]


def test_what_is_not_faster_or_ends_its_worker_is_trained_one_by_one(tmp_path: Path) -> None:
    said: list[str] = []
    found = made()
    grid = engine(found, tmp_path, said)
    first = grid.next()
    assert first is not None
    assert not grid.may_continue(first, 0, 1.2)
    grid.end(first, Answer(apart=True))
    one = grid.next()
    assert one is not None
    assert (one.label, one.together) == ("width = 4, seed 0", ())
    for _ in range(3):
        grid.next()
    other = grid.next()
    assert other is not None
    assert grid.may_continue(other, 0, 9.0)
    grid.end(other, Answer(code="worker-died", message="worker 1 was ended by SIGKILL"))
    assert [j.label for _ in range(4) if (j := grid.next())] == [f"width = 8, seed {k}" for k in range(4)]
    assert "its runs are trained one by one" in said[-1]
    assert {c: d.at_once for c, d in Decisions(tmp_path).each.items()} == {"width=4": 1, "width=8": 1}


def test_a_run_that_fails_fails_alone(tmp_path: Path) -> None:
    said: list[str] = []
    found = made()
    grid = engine(found, tmp_path, said)
    job = grid.next()
    assert isinstance(job, Job)
    bad = Answer(code="not-finite", message="lost")
    grid.end(job, Answer(each=(Answer(stopped=True), bad, Answer(stopped=True), Answer(stopped=True))))
    assert list(grid.failures) == ["width=4/seed-1"]
    assert grid.stopped is None
    assert replace(job, together=()) != job


@pytest.mark.slow
def test_killed_at_random_moments_it_gives_the_same_bytes(tmp_path: Path) -> None:
    path = spec(tmp_path, ENTRIES)
    words = [str(path), "-q", "--batch-seeds", "on", "--workers", "1"]
    assert experiment(*words, "-o", tmp_path / "whole") == 0
    draw = random.Random(1)
    for _ in range(6):
        interrupted(tmp_path, [*words, "-o", str(tmp_path / "cut")], draw.uniform(4, 14), signal.SIGKILL)
    assert experiment(*words, "-o", tmp_path / "cut") == 0
    decided = json.loads((tmp_path / "cut" / BATCHED).read_text())
    assert {d["at_once"] for d in decided.values()} == {4}
    for name in ("table.txt", "table.md", "table.tex", "results.json"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
