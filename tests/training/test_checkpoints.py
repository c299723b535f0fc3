"""What a run keeps, what it ends with, what changes on resuming, and what happens when nothing can be written."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training_harness import loop_of

from netdsl.cli.main import main
from netdsl.training.checkpoints import format as files
from netdsl.training.checkpoints.clock import Clock
from netdsl.training.checkpoints.manager import State

SPEC = """
net Small(classes=10) {
  input image [1, 8, 8]
  conv(4, 3) -> bn -> relu -> maxpool(2)
  flatten -> linear(classes)
}
recipe Quick for Small {
  data       = digits(test=0.9)
  epochs     = 3
  batch      = 60
  optimizer  = sgd(lr=0.05, momentum=0.9)
  schedule   = constant
}
"""
FILES = {"small.net": SPEC}
PER_EPOCH = 3


def train(folder: str, **settings: str) -> int:
    given = [part for name, value in settings.items() for part in ("--set", f"{name.replace('__', '.')}={value}")]
    return main(["train", "small.net", "--no-onnx", "-o", folder, *given])


def resume(folder: str, **settings: str) -> int:
    given = [part for name, value in settings.items() for part in ("--set", f"{name.replace('__', '.')}={value}")]
    return main(["train", "--resume", folder, "--no-onnx", *given])


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def kept(folder: Path) -> list[str]:
    return sorted(p.name.removesuffix(".safetensors") for p in (folder / "checkpoints").iterdir())


def assert_same_weights(one: Path, other: Path) -> None:
    a, b = load_file(one), load_file(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[n], b[n]) for n in a)


# Changing a recipe in the middle of a run.


def test_a_run_made_longer_says_so_and_is_the_longer_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With a constant lr, one epoch and then two more are the bits of three at once."""
    assert train("whole") == 0
    assert train("long", epochs="1") == 0
    capsys.readouterr()
    assert resume("long", epochs="3") == 0
    said = capsys.readouterr().err
    assert "resumes after step 3 of 9\n  epochs: 1 -> 3\n" in said
    assert_same_weights(here / "long" / "model.safetensors", here / "whole" / "model.safetensors")
    assert log(here / "long") == log(here / "whole")
    assert json.loads((here / "long" / "recipe.json").read_text())["epochs"] == 3
    changes = json.loads((here / "long" / "run.json").read_text())["changes"]
    assert changes == [{"field": "epochs", "before": 1, "after": 3, "step": 3}]


def test_the_time_of_a_resumed_run_is_that_of_all_its_parts(here: Path) -> None:
    assert train("run", epochs="1") == 0
    known = json.loads((here / "run" / "time.json").read_text())
    assert known["step"] == PER_EPOCH
    assert 0 < known["seconds"] <= json.loads((here / "run" / "run.json").read_text())["result"]["seconds"]
    (here / "run" / "time.json").write_text(json.dumps({"step": PER_EPOCH, "seconds": 1000.0}))
    assert resume("run", epochs="2") == 0
    assert 1000 < json.loads((here / "run" / "run.json").read_text())["result"]["seconds"] < 2000
    clock = Clock(here / "run", time.perf_counter())
    clock.resume(PER_EPOCH)
    assert 490 < clock.seconds() < 700, "an earlier checkpoint has taken its part of the time"


def test_what_a_change_does_to_the_lr_is_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("run", schedule="cosine") == 0
    assert resume("run", epochs="6", optimizer__momentum="0.8") == 0
    said = capsys.readouterr().err
    assert "epochs: 3 -> 6" in said
    assert "optimizer.momentum: 0.9 -> 0.8" in said
    assert "lr of the next step: 0 -> 0.025" in said  # the end of 9; half of 18
    first = next(x for x in log(here / "run") if x["kind"] == "step" and x["step"] == 10)
    assert first["lr"] == pytest.approx(0.025)


def test_patience_that_grew_goes_on(here: Path) -> None:
    fields = {"optimizer": "sgd(lr=1e-9)", "validation": "0.2", "epochs": "20"}
    assert train("run", stop="early_stopping(2, least=0.1)", **fields) == 0
    assert files.load_tensors(here / "run" / "checkpoint.safetensors")[1]["state"]["stale"] == 2
    assert resume("run", stop__patience="4") == 0
    state = files.load_tensors(here / "run" / "checkpoint.safetensors")[1]["state"]
    assert (state["stale"], state["stopped"]) == (4, True)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--set", "batch=30"], 2, "`batch` cannot change in the middle of a run"),
        (["--set", "optimizer=adamw"], 2, "`optimizer` cannot become another"),
        (["--set", "epochs=1"], 1, "the run is at step 9, and `epochs = 1` ends at step 3"),
        (["--set", "epoch=9"], 1, "did you mean `epochs`?"),
        (["--seed", "3"], 2, "`--seed` cannot change"),
        (["--data", "digits"], 2, "`--data` cannot change"),
        (["-o", "other"], 2, "`-o` cannot change"),
    ],
)
def test_changes_that_are_refused(
    here: Path, arguments: list[str], code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("run") == 0
    before = (here / "run" / "checkpoint.safetensors").read_bytes(), (here / "run" / "recipe.json").read_text()
    assert main(["train", "--resume", "run", "--no-onnx", *arguments]) == code
    assert words in capsys.readouterr().err
    assert before == (
        (here / "run" / "checkpoint.safetensors").read_bytes(),
        (here / "run" / "recipe.json").read_text(),
    )


def test_going_back_to_a_kept_checkpoint(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run that is too far for a shorter end names the checkpoint to resume from; the log forgets what came after."""
    assert train("run", keep="4") == 0
    assert train("short", epochs="2") == 0
    assert kept(here / "run") == ["best-000009", "step-000003", "step-000006", "step-000009"]
    assert resume("run", epochs="2") == 1
    said = capsys.readouterr().err
    hint = "netdsl train --resume run/checkpoints/step-000003.safetensors"
    assert hint in said
    assert resume("run/checkpoints/step-000003.safetensors", epochs="2") == 0
    assert_same_weights(here / "run" / "model.safetensors", here / "short" / "model.safetensors")
    assert log(here / "run") == log(here / "short")


def test_a_file_that_is_no_checkpoint(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("run", keep="2") == 0
    path = here / "run" / "checkpoints" / "best-000009.safetensors"
    assert main(["train", "--resume", str(path)]) == 2
    assert "is not a checkpoint" in capsys.readouterr().err


# What is kept.


@pytest.mark.parametrize(
    ("keep", "steps"),
    [
        ("1", []),
        ("3", [7, 8, 9]),
        ("keep(every=2 epochs)", [6]),
        ("keep(2, every=4 steps)", [4, 8, 9]),
    ],
)
def test_checkpoints_that_are_kept(here: Path, keep: str, steps: list[int]) -> None:
    assert train("run", keep=keep, checkpoint="1 steps") == 0
    assert [n for n in kept(here / "run") if n.startswith("step")] == [f"step-{s:06d}" for s in steps]
    for step in steps:
        path = here / "run" / "checkpoints" / f"step-{step:06d}.safetensors"
        assert files.load_tensors(path)[1]["state"]["step"] == step
    newest = files.load_tensors(here / "run" / "checkpoint.safetensors")
    assert newest[1]["state"]["step"] == 9


def test_links_become_copies_where_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*paths: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    (tmp_path / "a").write_text("text")
    files.link(tmp_path / "a", tmp_path / "kept" / "b")
    assert (tmp_path / "kept" / "b").read_text() == "text"
    assert [p.name for p in (tmp_path / "kept").iterdir()] == ["b"]


# What it ends with.


def test_the_mean_of_the_last_improving_evaluations(here: Path) -> None:
    """torchvision's MobileNetV3: the last three that improved top-1, averaged weight by weight."""
    assert train("run", final="improving", evaluate="1 steps", checkpoint="1 steps") == 0
    best: list[int] = []
    highest = -1.0
    for line in log(here / "run"):
        if line["kind"] == "evaluation" and line["top1"] > highest:
            highest = line["top1"]
            best.append(line["step"])
    assert len(best) > 3
    assert kept(here / "run") == [f"best-{s:06d}" for s in best[-3:]]
    states = [load_file(here / "run" / "checkpoints" / f"best-{s:06d}.safetensors") for s in best[-3:]]
    final = load_file(here / "run" / "model.safetensors")
    for name, tensor in final.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, sum(s[name] for s in states) / 3, rtol=1e-6, atol=1e-7)
        else:
            assert int(tensor) == int(states[-1][name])
    assert_same_weights(
        here / "run" / "best.safetensors", here / "run" / "checkpoints" / f"best-{best[-1]:06d}.safetensors"
    )


@pytest.mark.parametrize("stop", ["none", "early_stopping(2, metric=top1)", "early_stopping(99, metric=top1)"])
@pytest.mark.parametrize("final", ["none", "best", "last"])
def test_which_weights_are_measured_and_exported(here: Path, stop: str, final: str) -> None:
    """The best whether or not training stopped early; the last where it is asked for, or where nothing is."""
    fields = {"validation": "0.3", "epochs": "12", "optimizer": "sgd(lr=1.0, momentum=0.9)"}
    assert train("run", stop=stop, final=final, **fields) == 0
    state = files.load_tensors(here / "run" / "checkpoint.safetensors")[1]["state"]
    assert state["best_step"] < state["step"]
    chosen = "best" if final == "best" or (final == "none" and stop != "none") else "last"
    if chosen == "best":
        assert_same_weights(here / "run" / "model.safetensors", here / "run" / "best.safetensors")
    else:
        last = files.part("model", files.load_tensors(here / "run" / "checkpoint.safetensors")[0])
        final_weights = load_file(here / "run" / "model.safetensors")
        assert all(torch.equal(final_weights[n], last[n]) for n in last)


def test_weights_of_an_evaluation_outlive_the_checkpoint_that_needs_them(tmp_path: Path) -> None:
    """Killed after a better evaluation and before the next checkpoint: what the old checkpoint calls best is there."""
    loop = loop_of("steps = 9\nfinal = best\nvalidation = 0.2", tmp_path)
    weights = {"w": torch.ones(1)}
    loop.store.save_best(State(step=2), weights)
    loop.store.save(State(step=3, best=0.5, best_step=2, improved=(2,)), {}, {})
    loop.store.save_best(State(step=4), {"w": torch.zeros(1)})
    found = loop.store.load()
    assert found is not None
    chosen = loop.store.chosen(found[2])
    assert chosen is not None
    assert torch.equal(chosen["w"], weights["w"])
    loop.store.save(State(step=5, best=0.4, best_step=4, improved=(4,)), {}, {})
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["best-000004.safetensors"]


# Nothing can be written.


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_full_disk_ends_a_run_in_words_and_harms_nothing(
    here: Path, number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("whole", checkpoint="1 steps") == 0
    sync, count = os.fsync, 0

    def fill(file: int) -> None:
        nonlocal count
        count += 1
        if count > 14:
            raise OSError(number, os.strerror(number))
        sync(file)

    with monkeypatch.context() as full:
        full.setattr("os.fsync", fill)
        assert train("run", checkpoint="1 steps") == 2
    said = capsys.readouterr().err
    assert os.strerror(number) in said
    assert "the file that was there is unharmed" in said
    assert said.count("--resume") == 1
    assert "internal error" not in said
    step = files.load_tensors(here / "run" / "checkpoint.safetensors")[1]["state"]["step"]
    assert 1 < step < 9
    assert not list((here / "run").rglob("*.tmp"))
    assert resume("run") == 0
    assert_same_weights(here / "run" / "model.safetensors", here / "whole" / "model.safetensors")


def test_a_log_that_cannot_be_written(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Full:
        name = "run/metrics.jsonl"

        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("netdsl.training.checkpoints.run_dir.open", lambda *a, **k: Full(), raising=False)
    assert train("run") == 2
    assert "cannot write run/metrics.jsonl: No space left on device" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("/proc/run") == 2
    said = capsys.readouterr().err
    assert "/proc/run" in said
    assert "internal error" not in said


# Data that are not what they were.


def test_a_run_does_not_go_on_with_other_data(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """More samples, or other pixels in as many: an epoch, and what the net standardises with, would be others."""
    images = np.random.default_rng(0).integers(0, 255, (90, 1, 8, 8), dtype=np.uint8)
    labels = np.arange(90) % 10

    def save(x: np.ndarray, y: np.ndarray) -> None:
        np.savez("mine.npz", x=x, y=y, x_test=x[:20], y_test=y[:20])

    save(images, labels)
    assert train("run", data='npz("mine.npz")', epochs="1") == 0
    for x, y, words in (
        (
            np.concatenate([images, images]),
            np.concatenate([labels, labels]),
            "other samples than when the run began: 180",
        ),
        (images // 2, labels, "other pixel statistics than when the run began"),
    ):
        save(x, y)
        assert resume("run", epochs="2") == 1
        assert words in capsys.readouterr().err
    save(images, labels)
    assert resume("run", epochs="2") == 0
