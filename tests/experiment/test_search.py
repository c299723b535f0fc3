"""Searches: trials drawn by Optuna, stopped, resumed and pruned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("optuna")

from netdsl import Source, open_spec
from netdsl.diagnostics.codes.experiments import NET

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


def test_trials_are_drawn_and_the_best_is_first(tmp_path: Path) -> None:
    found = open_spec(spec("random(4)")).experiment().run(tmp_path, workers=1)
    measured = [row.amounts["validation.top1"].mean for row in found.found.rows]
    assert measured == sorted(measured, reverse=True)
    assert all(4 <= int(r["width"]) <= 32 for r in found.rows)
    assert {r["optimizer"] for r in found.rows} <= {"adamw(3e-3)", "sgd(0.1)"}
    assert len(found.rows) <= 4
    assert (tmp_path / "search.journal").exists()
    again = open_spec(spec("random(4)")).experiment().run(tmp_path, workers=1)
    assert again.rows == found.rows, "nothing is drawn anew"
    more = open_spec(spec("random(5)")).experiment().run(tmp_path, workers=1)
    assert len(more.rows) >= len(found.rows)
    assert str(open_spec(spec("random(5)")).experiment().results(tmp_path)) == str(more)


@pytest.mark.slow
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
