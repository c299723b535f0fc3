"""Commands in processes of their own, some of them killed, and the run directories they leave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paths import ROOT, TESTS
from safetensors.torch import load_file

from netdsl.training.checkpoints.format import load_tensors


def commands(*given: dict[str, Any] | list[str], cwd: Path) -> list[int]:
    """Exit codes of some commands, run one after the other."""
    listed = [{"arguments": c} if isinstance(c, list) else c for c in given]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}{os.pathsep}{TESTS / 'support'}"}
    done = subprocess.run(
        [sys.executable, str(TESTS / "support" / "kills.py"), json.dumps(listed)],
        cwd=cwd, env=env, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    codes: list[int] = json.loads(done.stdout)
    assert all(code in (0, -9) for code in codes), done.stderr
    return codes


def left(folder: Path) -> dict[str, Any]:
    """What a run leaves, but for its time: tensors as bytes, the numbers beside them, the log, the names of files."""
    found: dict[str, Any] = {"names": sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))}
    for path in folder.rglob("*.safetensors"):
        tensors, about = load_tensors(path)
        found[str(path.relative_to(folder))] = ({n: t.numpy().tobytes() for n, t in tensors.items()}, about)
    found["log"] = (folder / "metrics.jsonl").read_text()
    result = json.loads((folder / "run.json").read_text())["result"]
    return found | {"result": {n: v for n, v in result.items() if n != "seconds"}}


def assert_same(one: Path, other: Path) -> None:
    a, b = left(one), left(other)
    assert a.keys() == b.keys()
    for name in a:
        assert a[name] == b[name], name


def log(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def assert_close(one: Path, other: Path, loss: float = 1e-4, weights: float = 2e-5) -> None:
    """The same losses at every step and evaluation, and the same weights, to rounding."""
    lines = log(one), log(other)
    assert [(x["kind"], x["step"]) for x in lines[0]] == [(x["kind"], x["step"]) for x in lines[1]]
    for a, b in zip(*lines, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=loss), (a, b)
        assert a.get("n") == b.get("n")
        assert a.get("lr") == b.get("lr")
    for name in ("model.safetensors", "best.safetensors"):
        a, b = load_file(one / name), load_file(other / name)
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_allclose(a[key], b[key], rtol=2e-3, atol=weights, err_msg=key)
