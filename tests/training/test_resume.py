"""A run that is killed and resumed leaves the same bits as one that is not: weights, averages, best, log."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from resume_harness import assert_same, commands, left

from netdsl.training.checkpoints.format import load_tensors

SPEC = """
net Small(classes=10) {
  input image [1, 8, 8]
  conv(4, 3) -> bn -> relu -> dropout(0.1) -> maxpool(2)
  residual { conv(4, 3) -> bn }
  flatten -> linear(classes)
}

recipe Everything for Small {
  data        = digits(test=0.8)
  steps       = 40
  batch       = 50
  micro_batch = 20
  optimizer   = adamw(lr=1e-2, weight_decay=0.1)
  schedule    = warmup(5 steps) -> cosine
  loss        = cross_entropy(label_smoothing=0.1)
  augment     = crop(padding=1) -> random_erasing(0.3)
  mix         = mixup(0.4) | cutmix(1.0)
  drop_path   = linear(0.1, 0.3)
  dropout     = linear(0.0, 0.3)
  ema         = ema(0.9, every=2, warmup=true, buffers=average)
  clip        = 1.0
  evaluate    = 8 steps
  checkpoint  = 3 steps
  keep        = keep(2, every=12 steps)
  final       = improving(2)
}
recipe Averaged for Small {
  data      = digits(test=0.8)
  epochs    = 6
  batch     = 60
  optimizer = sgd(lr=0.1, momentum=0.9)
  swa       = swa(0.5)
  dropout   = constant(0.2)
  checkpoint = 4 steps
}
recipe Patient for Small {
  data       = digits(test=0.8)
  validation = 0.3
  steps      = 400
  batch      = 50
  optimizer  = sgd(lr=0.3, momentum=0.95)
  schedule   = constant
  stop       = early_stopping(6, metric=top1)
  evaluate   = 3 steps
  checkpoint = 7 steps
}
"""


def train(recipe: str, folder: str, kill: str | None = None) -> dict[str, Any]:
    arguments = ["train", "small.net", "--recipe", recipe, "--no-onnx", "-q", "-o", folder]
    return {"arguments": arguments, **({"kill": kill} if kill else {})}


def resume(folder: str, kill: str | None = None) -> dict[str, Any]:
    return {"arguments": ["train", "--resume", folder, "--no-onnx", "-q"], **({"kill": kill} if kill else {})}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "small.net").write_text(SPEC)
    return tmp_path


def test_killed_at_any_step_with_everything_on(here: Path) -> None:
    """A step at random, one before the first checkpoint, and one that is killed twice."""
    steps = [2, random.Random(7).randrange(3, 40)]
    plan = [train("Everything", "whole")]
    for step in steps:
        plan += [train("Everything", f"at{step}", f"step:{step}"), resume(f"at{step}")]
    plan += [train("Everything", "twice", "step:14"), resume("twice", "step:31"), resume("twice")]
    codes = commands(*plan, cwd=here)
    assert codes == [0, *[-9, 0] * len(steps), -9, -9, 0]
    for name in (*(f"at{step}" for step in steps), "twice"):
        assert_same(here / name, here / "whole")
    steps_in_log = [(x["kind"], x["step"]) for x in map(json.loads, left(here / "twice")["log"].splitlines())]
    assert len(steps_in_log) == len(set(steps_in_log))
    kept = {p.name for p in (here / "whole" / "checkpoints").iterdir()}
    steps_kept = {"step-000012.safetensors", "step-000024.safetensors", "step-000036.safetensors"}
    assert {n for n in kept if n.startswith("step")} == steps_kept | {
        "step-000039.safetensors",
        "step-000040.safetensors",
    }


@pytest.mark.slow
def test_killed_while_a_file_is_written(here: Path) -> None:
    """Every kind of file is hit: run.json, checkpoints, best weights; half written, or not yet renamed."""
    places = ["write:9", "write:14", "rename:10", "rename:15", "rename:20"]
    plan = [train("Everything", "whole")]
    for place in places:
        plan += [train("Everything", place.replace(":", ""), place), resume(place.replace(":", ""))]
    codes = commands(*plan, cwd=here)
    assert codes == [0, *[-9, 0] * len(places)]
    for place in places:
        assert_same(here / place.replace(":", ""), here / "whole")


def test_killed_before_there_is_a_run(here: Path) -> None:
    (code,) = commands(train("Everything", "early", "write:2"), cwd=here)
    assert code == -9
    done = subprocess.run(
        [sys.executable, "-m", "netdsl", "train", "--resume", "early"], cwd=here, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "not a run directory" in done.stderr


@pytest.mark.slow
def test_killed_with_an_average_at_the_end(here: Path) -> None:
    """Before the average begins, within it, and after the last step, when statistics are computed again."""
    plan = [train("Averaged", "whole")]
    for step in (8, 25, 36):
        plan += [train("Averaged", f"at{step}", f"step:{step}"), resume(f"at{step}")]
    codes = commands(*plan, resume("whole"), cwd=here)
    assert codes == [0, *[-9, 0] * 3, 0]
    for step in (8, 25, 36):
        assert_same(here / f"at{step}", here / "whole")


@pytest.mark.slow
def test_killed_within_its_patience(here: Path) -> None:
    """The best so far and the evaluations since then continue; the best weights are those of the unbroken run."""
    commands(train("Patient", "whole"), cwd=here)
    _, about = load_tensors(here / "whole" / "checkpoint.safetensors")
    state = about["state"]
    assert state["stopped"]
    assert state["stale"] == 6
    assert state["step"] < 400
    middle = state["best_step"] + 10
    assert middle < state["step"]
    codes = commands(
        train("Patient", "middle", f"step:{middle}"), resume("middle"),
        train("Patient", "before", f"step:{state['best_step'] - 1}"), resume("before", f"step:{middle}"),
        resume("before"), resume("whole"), cwd=here,
    )  # fmt: skip
    assert codes == [-9, 0, -9, -9, 0, 0]
    for name in ("middle", "before"):
        assert_same(here / name, here / "whole")
    best, _ = load_tensors(here / "whole" / "best.safetensors")
    final, _ = load_tensors(here / "whole" / "model.safetensors")
    assert all(best[n].equal(final[n]) for n in final)
