"""What two processes compute together is what one does: metrics over the order of all samples, phases of freezing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from paths import ROOT

import netdsl

pytestmark = pytest.mark.slow

SPEC = """net Small {
  input image [1, 8, 8]
  stem: conv(4, 3) -> relu
  middle: conv(8, 3, stride=2) -> relu
  head: flatten -> linear(10)
}
recipe Ordered for Small {
  epochs  = 1
  batch   = 64
  metrics = [auroc, average_precision, f1, per_class]
}
recipe Phases for Small {
  steps     = 12
  batch     = 64
  optimizer = sgd(lr=0.05, momentum=0.9)
  schedule  = constant
  unfreeze  = after(4 steps, ["middle"], lr=0.1) -> after(8 steps)

  freeze stem, middle
}
recipe Steps for Small {
  steps     = 12
  batch     = 64
  optimizer = sgd(lr=0.05, momentum=0.9)
  schedule  = constant
}
"""


def trained(
    base: Path, recipe: str, processes: int, *more: str, run: Path | None = None
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    (base / "n.net").write_text(SPEC)
    run = run or base / str(processes)
    args = ["-o", str(run), "-q", "--no-onnx", "--devices", str(processes), "--device", "cpu", *more]
    command = [sys.executable, "-m", "netdsl", "train", f"{base}/n.net:{recipe}", *args]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads((run / "run.json").read_text())["result"], netdsl.open_run(run).module().state_dict()


@pytest.mark.parametrize("recipe", ["Ordered", "Phases"])
def test_two_processes_compute_what_one_does(tmp_path: Path, recipe: str) -> None:
    (alone, weights), (together, theirs) = (trained(tmp_path, recipe, count) for count in (1, 2))
    assert together.keys() == alone.keys()
    for name, value in alone.items():
        if name != "seconds":
            assert together[name] == pytest.approx(value, rel=2e-3), name
    for name, tensor in weights.items():
        torch.testing.assert_close(theirs[name], tensor, rtol=1e-3, atol=1e-5, msg=name)


def test_gradients_may_be_exchanged_in_half_the_bytes(tmp_path: Path) -> None:
    """The weights differ by the rounding of the gradients, and not by more."""
    (_, whole), (_, half) = (
        trained(tmp_path, "Steps", 2, "--set", f"exchange={how}", run=tmp_path / how) for how in ("fp32", "fp16")
    )
    assert any(not torch.equal(half[name], tensor) for name, tensor in whole.items())
    for name, tensor in whole.items():
        torch.testing.assert_close(half[name], tensor, rtol=2e-2, atol=2e-3, msg=name)


def test_a_run_of_four_parts_goes_on_in_two_and_in_one(tmp_path: Path) -> None:
    """A checkpoint holds whole weights, whatever they were cut into: the rest of the run is that of one process."""
    settings = ("--set", "shard=fsdp")
    alone = trained(tmp_path, "Steps", 1, run=tmp_path / "alone")[1]
    for count in (2, 1):
        run = tmp_path / f"to{count}"
        trained(tmp_path, "Steps", 4, *settings, "--set", "steps=6", run=run)
        command = [sys.executable, "-m", "netdsl", "train", "--resume", str(run)]
        more = ["--set", "steps=12", "-q", "--no-onnx", "--devices", str(count), "--device", "cpu"]
        done = subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        for name, tensor in netdsl.open_run(run).module().state_dict().items():
            torch.testing.assert_close(tensor, alone[name], rtol=1e-3, atol=1e-5, msg=name)
