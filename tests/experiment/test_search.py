"""Searches: trials drawn by Optuna, stopped, resumed and pruned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna")

from netdsl import Source, open_spec
from netdsl.diagnostics.codes.experiments import NET
from netdsl.diagnostics.diagnostic import UserError
from netdsl.experiment.files import Mark, write_json
from netdsl.experiment.jobs import Answer

HELD = NET.replace("epochs = 3", "epochs = 3\n  validation = 0.2")


def spec(search: str, seeds: int = 1) -> Source:
    entries = f"""
      vary width = log(4, 32)
      vary optimizer = [adamw(3e-3), sgd(0.1)]
      vary depth = [1, 2]
      search  = {search}
      seeds   = {seeds}
      measure = [validation.top1, params]
      plot scatter(x=width, y=validation.top1)
    """
    return Source(f"{HELD}\nexperiment E for Example {{{entries}}}\n", "e.net")


@pytest.mark.slow
def test_pruned_trials_end_early(tmp_path: Path) -> None:
    said: list[str] = []
    found = open_spec(spec("tpe(8, prune=median)", 2)).experiment(settings={"epochs": 6}).run(
        tmp_path, workers=1, say=said.append
    )  # fmt: skip
    pruned = [line for line in said if line.endswith("pruned")]
    assert pruned, said
    full = [r for r in found.rows if "validation.top1" in r]
    assert len(full) >= 2
    steps = [json.loads(p.read_text().splitlines()[-1])["step"] for p in tmp_path.rglob("metrics.jsonl")]
    assert min(steps) < max(steps)


def test_the_plan_of_a_search() -> None:
    text = str(open_spec(spec("tpe(60, prune=hyperband)")).experiment())
    assert "60 trials by tpe, pruned by hyperband" in text
    assert "width: 4 to 32, by its logarithm" in text
    assert "the largest validation.top1 is sought" in text


class Pool:
    """Ends every run at once: as done, with an accuracy of its width and its seed, or as an answer says."""

    def __init__(self, answer: Answer | None = None) -> None:
        self.answer = answer or Answer(done=True)
        self.given: list[str] = []

    def run(self, source: Any) -> None:
        while (job := source.next()) is not None:
            self.given.append(job.path)
            if self.answer.done:
                result = {"top1": 0.01 * int(job.arguments["width"]) + 0.1 * int(job.settings["seed"]), "seconds": 1.0}
                write_json(Path(job.folder) / "run.json", {"result": result})
                write_json(Path(job.folder) / "trial.json", Mark(job.key, job.label))
            source.end(job, self.answer)


def quick(entries: str, net: str = NET) -> Source:
    return Source(f"{net}\nexperiment E for Example {{{entries}}}\n", "e.net")


def run(source: Source, folder: Path, monkeypatch: pytest.MonkeyPatch, pool: Pool) -> tuple[Any, list[str]]:
    said: list[str] = []
    monkeypatch.setattr("netdsl.experiment.search.pool_of", lambda *a: pool)
    return open_spec(source).experiment().run(folder, say=said.append), said


def test_trials_are_drawn_and_the_best_is_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = """
      vary width = log(4, 32)
      vary optimizer = [adamw(3e-3), sgd(0.1)]
      search  = random(4)
      measure = [test.top1, params]
    """
    found, _ = run(quick(entries), tmp_path, monkeypatch, Pool())
    measured = [row.amounts["test.top1"].mean for row in found.found.rows]
    assert len(measured) == 4
    assert measured == sorted(measured, reverse=True)
    assert all(4 <= int(r["width"]) <= 32 for r in found.rows)
    assert {r["optimizer"] for r in found.rows} <= {"adamw(3e-3)", "sgd(0.1)"}
    pool = Pool()
    again, _ = run(quick(entries), tmp_path, monkeypatch, pool)
    assert again.rows == found.rows
    assert not pool.given, "nothing is drawn twice"
    longer = quick(entries.replace("random(4)", "random(5)"))
    more, _ = run(longer, tmp_path, monkeypatch, pool)
    assert len(pool.given) == 1
    assert str(open_spec(longer).experiment().results(tmp_path)) == str(more)


@pytest.mark.slow
def test_a_search_that_trains(tmp_path: Path) -> None:
    found = open_spec(spec("random(2)")).experiment().run(tmp_path, workers=1)
    assert all(0 < row["validation.top1"] <= 1 for row in found.rows)
    assert (tmp_path / "search.journal").exists()


def test_a_trial_whose_cell_does_not_check_has_failed_and_the_search_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = NET.replace("  flatten\n", '  require width != 5, "five is too odd"\n  flatten\n')
    source = quick("vary width = uniform(4, 7)\n search = random(12)\n measure = [test.top1]", net)
    found, said = run(source, tmp_path, monkeypatch, Pool())
    assert any("width = 5 does not check: five is too odd" in line for line in said)
    widths = [r["width"] for r in found.rows]
    assert len(widths) > 1
    assert "5" not in widths
    assert widths == sorted(widths, reverse=True), "the best first"
    assert open_spec(source).experiment().results(tmp_path).rows == found.rows


def test_a_trial_is_worth_the_mean_over_its_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = quick("vary width = uniform(4, 64)\n search = random(3)\n seeds = 3\n measure = [test.top1]")
    found, said = run(source, tmp_path, monkeypatch, Pool())
    assert len(found.rows) == len(said) == 9
    for frozen in found_trials(tmp_path):
        assert frozen.value == pytest.approx(0.01 * frozen.params["width"] + 0.1)


def found_trials(folder: Path) -> list[Any]:
    import optuna

    backend = optuna.storages.journal.JournalFileBackend(str(folder / "search.journal"))
    return list(optuna.load_study(study_name="E", storage=optuna.storages.JournalStorage(backend)).trials)


def test_a_changed_spec_does_not_mix_with_earlier_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = "vary width = [4, 8]\n search = random(4)\n measure = [test.top1]"
    run(quick(entries), tmp_path, monkeypatch, Pool())
    longer = entries.replace("random(4)", "random(8)")
    with pytest.raises(UserError, match="another form of this experiment"):
        run(quick(longer, NET.replace("epochs = 3", "epochs = 4")), tmp_path, monkeypatch, Pool())
    with pytest.raises(UserError, match="drawn from other values"):
        run(quick(longer.replace("[4, 8]", "[4, 16]")), tmp_path, monkeypatch, Pool())


def test_a_run_that_fails_says_why_and_what_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(Answer(code="worker-died", message="it died", hint="`--workers 1`"))
    found, said = run(
        quick("vary width = [4]\n search = random(1)\n measure = [test.top1]"), tmp_path, monkeypatch, pool
    )
    assert said == ["trial 1: width = 4, seed 0: it died; `--workers 1`"]
    assert found.rows == []
