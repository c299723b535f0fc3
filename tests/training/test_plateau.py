"""lr that falls at plateaus: torch's own rule, its state in the checkpoint, what the file of metrics shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from recipe_harness import recipe, resolved
from training_harness import loop_of, stop_after

from netdsl.cli.main import main
from netdsl.planning.schedule import Schedule
from netdsl.training.optim.plateau import Falls, judged

LOSSES = [3.0, 2.0, 2.1, 2.0, 1.5, 1.6, 1.7, 1.55, 1.51, 1.49, 1.49, 1.5, 1.6, 1.7, 1.2, 1.3, 1.4, 1.3, 1.3, 1.3]


@pytest.mark.parametrize("patience", [1, 2, 3])
@pytest.mark.parametrize(("metric", "mode"), [("loss", "min"), ("top1", "max")])
@pytest.mark.parametrize("least", [0.0, 0.15])
def test_it_falls_when_torchs_does(patience: int, metric: str, mode: str, least: float) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode, 0.3, patience - 1, threshold=least, threshold_mode="abs", min_lr=0.5 * 0.3**4
    )
    found = recipe(
        f"schedule = plateau(0.3, {patience}, metric={metric}, least={least}, to={0.5 * 0.3**4})\nvalidation=0.1"
    )
    schedule = Schedule(found.schedule, 0.5, 1000, 10)
    assert schedule.plateau is not None
    falls, seen = Falls(), set()
    for loss in LOSSES:
        value = loss if metric == "loss" else 4 - loss
        theirs.step(value)
        falls = judged(schedule.plateau, falls, {"loss": loss, "top1": 4 - loss})
        got = schedule(100, falls.count)
        assert got == pytest.approx(optimizer.param_groups[0]["lr"])
        seen.add(got)
    assert len(seen) > 1


def test_it_falls_so_often_at_most() -> None:
    (word,) = recipe("validation=0.1\nschedule = plateau(0.1, 1, times=3)").schedule
    falls = Falls()
    for _ in range(20):
        falls = judged(word, falls, {"loss": 1.0})  # type: ignore[arg-type]
    assert falls.count == 3


RECIPE = """
steps = 24
batch = 10
optimizer = sgd(lr=0.1, momentum=0.9)
schedule = warmup(4 steps) -> plateau(0.5, 1, metric=top1)
evaluate = 2 steps
checkpoint = 1 steps
validation = 0.1
"""


def run(loop: Any, stop: int | None = None) -> list[float]:
    """The lr of every step."""
    lrs: list[float] = []

    def watch(what: str, numbers: dict[str, Any]) -> None:
        if what == "step":
            lrs.append(numbers["lr"])

    loop.watch = watch
    if stop is None:
        loop.run()
    else:
        stop_after(loop, stop)
    return lrs


@pytest.mark.parametrize("at", [7, 15])
def test_a_resumed_run_falls_as_the_whole_one(tmp_path: Path, at: int) -> None:
    whole = loop_of(RECIPE)
    lrs = run(whole)
    assert lrs[:5] == pytest.approx([0, 0.025, 0.05, 0.075, 0.1])
    assert whole.state.falls.count >= 2
    assert sorted(set(lrs[4:]), reverse=True) == pytest.approx([0.1 * 0.5**i for i in range(len(set(lrs[4:])))])
    first = run(loop_of(RECIPE, tmp_path), at)
    resumed = loop_of(RECIPE, tmp_path)
    resumed.restore()
    assert first + run(resumed) == lrs
    assert resumed.state == whole.state
    a, b = whole.module.state_dict(), resumed.module.state_dict()
    assert all(torch.equal(a[n], b[n]) for n in a)


def test_evaluations_before_it_begins_do_not_count() -> None:
    loop = loop_of(RECIPE.replace("warmup(4 steps)", "warmup(22 steps)"))
    lrs = run(loop)
    assert lrs[-1] == pytest.approx(0.1)


def test_it_is_the_last_phase_and_wants_a_validation_split() -> None:
    _, mistakes = resolved("recipe A {\n schedule = plateau -> cosine\n}")
    assert [d.code for d in mistakes if d.severity == "error"] == ["unreachable-phase"]
    found, mistakes = resolved("recipe A {\n schedule = plateau(0.1, 5)\n}")
    assert found is not None
    assert [d.code for d in mistakes] == ["stops-on-test"]


def test_a_run_shows_where_it_fell(tmp_path: Path) -> None:
    text = """net Small(classes=10) {
      input image [1, 8, 8]
      flatten -> linear(classes)
    }
    recipe R for Small {
      epochs = 8
      validation = 0.1
      optimizer = sgd(lr=50)
      schedule = plateau(0.1, 1, times=2)
    }"""
    (tmp_path / "small.net").write_text(text)
    assert main(["train", str(tmp_path / "small.net"), "-o", str(tmp_path / "run"), "--quiet", "--no-onnx"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    lrs = [r["lr"] for r in rows if "lr" in r]
    assert (lrs[0], lrs[-1]) == (50.0, pytest.approx(0.5))
