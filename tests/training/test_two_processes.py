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
"""


def trained(base: Path, recipe: str, processes: int) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    (base / "n.net").write_text(SPEC)
    run = base / str(processes)
    args = ["-o", str(run), "-q", "--no-onnx", "--devices", str(processes), "--device", "cpu"]
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
