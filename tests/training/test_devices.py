"""Several processes train as one: whole nets and nets in shards, their checkpoints, statistics, and how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from resume_harness import assert_close, assert_same, commands, log
from safetensors.torch import load_file
from torch import nn

from netdsl.training.checkpoints.format import load_tensors
from netdsl.training.distributed.process_group import ProcessGroup
from netdsl.training.distributed.shards import LEAST, blocks

SPEC = """
block Wide(c) {
  input x [C, H, W]
  residual { conv(c, 3) -> groupnorm(4) -> relu -> conv(c, 3, groups=c) -> conv(c, 3) -> groupnorm(4) }
}

net Small(classes=10) {
  input image [1, 8, 8]
  conv(32, 3) -> groupnorm(4) -> relu -> maxpool(2)
  Wide(32) -> Wide(32)
  flatten -> linear(classes)
}
net Normed(classes=10) {
  input image [1, 8, 8]
  conv(6, 3) -> bn -> relu -> maxpool(2)
  flatten -> linear(classes)
}

recipe Everything for Small {
  data        = digits(test=0.8)
  steps       = 16
  batch       = 50
  micro_batch = 13
  optimizer   = adamw(lr=1e-2, weight_decay=0.1)
  schedule    = warmup(5 steps) -> cosine
  loss        = cross_entropy(label_smoothing=0.1)
  augment     = crop(padding=1)
  mix         = mixup(0.4)
  ema         = 0.8
  clip        = 0.5
  penalty     = l1(1e-4) -> group_lasso(1e-5)
  evaluate    = 4 steps
  checkpoint  = 3 steps
  group norm, bias { weight_decay = 0 }
}
recipe Statistics for Normed {
  data       = digits(test=0.8)
  steps      = 9
  batch      = 51
  optimizer  = sgd(lr=0.1, momentum=0.9)
  ema        = ema(0.6, buffers=average)
  evaluate   = 3 steps
}
"""


def train(folder: str, *settings: str, recipe: str = "Everything", processes: int = 1, **more: Any) -> dict[str, Any]:
    given = [part for s in settings for part in ("--set", s)]
    arguments = ["train", "small.net", "--recipe", recipe, "--no-onnx", "-q", "-o", folder, *given]
    return {"arguments": arguments, "processes": processes, **more}


def resume(folder: str, *settings: str, processes: int = 1) -> dict[str, Any]:
    given = [part for s in settings for part in ("--set", s)]
    return {"arguments": ["train", "--resume", folder, "--no-onnx", "-q", *given], "processes": processes}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "small.net").write_text(SPEC)
    return tmp_path


def test_shares_become_equally_many_parts() -> None:
    """So that processes that compute together compute equally often; no part is larger than asked for."""
    for count in (1, 2, 7, 50, 51):
        for world in (1, 2, 3):
            for micro in (0, 1, 2, 13):
                parts = [ProcessGroup(r, world).parts(count, micro) for r in range(world)]
                flat = [place for mine in parts for a, b in mine for place in range(a, b)]
                assert flat == list(range(count))
                assert not micro or all(b - a <= micro for mine in parts for a, b in mine)
                if count >= world and micro > 1:
                    assert len({len(mine) for mine in parts}) == 1


def test_blocks_are_the_outermost_that_are_worth_it() -> None:
    big = nn.Sequential(nn.Linear(100, 101), nn.ReLU())

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = big
            self.more = nn.Linear(2, 2)

    net = nn.Sequential(nn.Linear(2, 2), nn.ModuleList([Block(), Block()]), nn.Sequential(nn.Linear(1, 1)))
    assert [type(b).__name__ for b in blocks(net)] == ["Block", "Block"]
    assert sum(p.numel() for p in net[1][0].parameters()) >= LEAST


@pytest.mark.slow
@pytest.mark.parametrize("shard", ["none", "fsdp"])
def test_two_processes_train_as_one_with_everything_on(here: Path, shard: str) -> None:
    """Averages, clipping, penalties, accumulation, mixing: the curve and the file of one process."""
    codes = commands(train("one"), train("two", f"shard={shard}", processes=2), cwd=here)
    assert codes == [0, 0]
    assert_close(here / "two", here / "one")
    one, two = (load_tensors(here / n / "checkpoint.safetensors") for n in ("one", "two"))
    assert {n: t.shape for n, t in one[0].items()} == {n: t.shape for n, t in two[0].items()}
    assert one[1]["state"]["step"] == two[1]["state"]["step"] == 16


@pytest.mark.slow
def test_a_run_in_shards_resumes_with_any_number_of_processes(here: Path) -> None:
    """With as many: bit for bit. With one, or from one: to rounding."""
    shards = "shard=fsdp"
    codes = commands(
        train("whole", shards, processes=2),
        train("again", shards, processes=2, kill="step:8"), resume("again", processes=2),
        train("to_one", shards, processes=2, kill="step:8"), resume("to_one", "shard=none"),
        train("to_two", kill="step:8"), resume("to_two", shards, processes=2), cwd=here,
    )  # fmt: skip
    assert codes == [0, -9, 0, -9, 0, -9, 0]
    assert_same(here / "again", here / "whole")
    assert_close(here / "to_one", here / "whole")
    assert_close(here / "to_two", here / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["local", "reduce_at_eval"])
def test_statistics_that_are_saved_are_those_that_were_evaluated(here: Path, policy: str) -> None:
    """The last evaluation, of the average whose statistics are averaged too, gives what the saved file gives."""
    codes = commands(
        train("two", f"batch_norm={policy}", recipe="Statistics", processes=2),
        train("raw", f"batch_norm={policy}", "ema=none", recipe="Statistics", processes=2), cwd=here,
    )  # fmt: skip
    assert codes == [0, 0]
    for name in ("two", "raw"):
        result = json.loads((here / name / "run.json").read_text())["result"]
        measured = subprocess.run(
            [sys.executable, "-m", "netdsl", "eval", name, "--json"], cwd=here, capture_output=True, text=True
        )
        last = log(here / name)[-1]
        for numbers in (result, json.loads(measured.stdout)):
            assert numbers["loss"] == pytest.approx(last["loss"], rel=1e-5)


@pytest.mark.slow
def test_reduced_statistics_are_the_mean_over_processes(here: Path) -> None:
    """At the first evaluation: the mean of what each share gives, counted by hand on torch's own layer."""
    fields = ("steps=1", "ema=none", "optimizer.lr=1e-9")
    codes = commands(
        *(train(p, f"batch_norm={p}", *fields, recipe="Statistics", processes=2) for p in ("local", "reduce_at_eval")),
        train("one", *fields, "micro_batch=26", recipe="Statistics"), cwd=here,
    )  # fmt: skip
    assert codes == [0, 0, 0]
    local, reduced, one = (load_file(here / n / "model.safetensors") for n in ("local", "reduce_at_eval", "one"))
    mean = next(n for n in local if n.endswith("running_mean"))
    # One process with the same two shares as parts: 0.9 * (0.1 * a) + 0.1 * b; so b from that and a (the first's own).
    first, both = local[mean], one[mean]
    second = both - 0.9 * first
    torch.testing.assert_close(reduced[mean], (first + second) / 2, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(reduced[mean], first)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param(["batch_norm=sync"], "torch has no `batch_norm = sync` on a CPU", marks=pytest.mark.slow),
        (["batch=179"], "the last step of an epoch has 1 sample: too few for 2 processes"),
        pytest.param(
            ["shard=fsdp", "micro_batch=1"], "which 2 processes cannot take one by one", marks=pytest.mark.slow
        ),
    ],
)
def test_what_two_processes_cannot_do_is_said_before_the_run(here: Path, settings: list[str], words: str) -> None:
    """One message, from the first process; no traceback; nothing left behind."""
    given = [part for s in settings for part in ("--set", s)]
    done = subprocess.run(
        [sys.executable, "-m", "netdsl", "train", "small.net", "--recipe", "Statistics", "--devices", "2", *given],
        cwd=here, capture_output=True, text=True, timeout=120, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert done.stderr.count(words) == 1
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_ctrl_c_reaches_all_processes_and_saves(here: Path) -> None:
    command = [sys.executable, "-m", "netdsl", "train", "small.net", "--recipe", "Statistics", "--devices", "2"]
    process = subprocess.Popen(
        [*command, "-o", "run", "--set", "steps=100000", "--set", "evaluate=50 steps", "--set", "checkpoint=50 steps"],
        cwd=here, stderr=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    until = time.monotonic() + 120
    while not (here / "run" / "checkpoint.safetensors").exists() and time.monotonic() < until:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the launcher and both processes
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    step = load_tensors(here / "run" / "checkpoint.safetensors")[1]["state"]["step"]
    assert f"stopped at step {step}; continue with: netdsl train --resume run" in said
    assert "Traceback" not in said


@pytest.mark.slow
def test_torchrun_starts_the_processes_too(here: Path) -> None:
    given = ["--recipe", "Everything", "--no-onnx", "-q", "-o"]
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "netdsl"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    for start, name, more in (
        ([sys.executable, "-m", "netdsl"], "one", []),
        (launcher, "two", ["--set", "shard=fsdp"]),
    ):
        command = [*start, "train", "small.net", *given, name, *more]
        done = subprocess.run(command, cwd=here, env=env, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
    assert_close(here / "two", here / "one")
