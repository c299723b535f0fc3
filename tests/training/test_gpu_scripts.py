"""The GPU test and the GPU benchmark, rehearsed on a CPU. None of this has run on a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from paths import SPECS

import netdsl

SCRIPTS = SPECS.parent / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs some parts of a script in this process; its exit code and the rows of its report."""
    monkeypatch.syspath_prepend(str(SCRIPTS))

    def run(name: str, only: str) -> tuple[int, list[dict[str, Any]]]:
        module = __import__(name)
        out = tmp_path / "report.json"
        monkeypatch.setattr(sys, "argv", [name, "--device", "cpu", "--out", str(out), "--only", only])
        code = module.main() or 0
        rows = json.loads(out.read_text())["rows"]
        shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
        assert [json.loads(line) for line in shown] == rows
        return code, rows

    return run


def test_the_gpu_test_is_rehearsed(script: Any) -> None:
    code, rows = script("gpu_test", "diagnosis,groups")
    assert code == 0, rows
    assert [(row["part"], row["ok"]) for row in rows] == [("diagnosis", True), ("groups", True)]
    assert rows[0]["found"] == "it ceases to be between the layer `first` and `second`"


def test_a_part_that_fails_is_said_and_the_others_run(script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import gpu_test

    def broken(device: torch.device) -> str:
        raise AssertionError("3 apart, 2 allowed")

    monkeypatch.setattr(gpu_test, "PARTS", ((broken, 1), (gpu_test.diagnosis, 1), (gpu_test.devices, 1e6)))
    code, rows = script("gpu_test", "broken,diagnosis,devices")
    assert code == 1
    assert [row["ok"] for row in rows] == [False, True, False]
    assert "3 apart" in rows[0]["error"]
    assert "s left, it needs" in rows[2]["skipped"]


def test_the_gpu_benchmark_is_rehearsed(script: Any) -> None:
    code, rows = script("gpu_bench", "airbench")
    assert code == 0
    assert rows[0]["part"] == "airbench94"
    assert rows[0]["seconds_an_epoch"] > 0


def test_the_nets_by_hand_are_those_of_the_zoo(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last parameter, by shape."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import gpu_bench

    for contest in gpu_bench.CONTESTS:
        with torch.device("meta"):
            theirs = sorted(p.numel() for p in contest.hand().parameters())
        rows = netdsl.load(contest.spec, net=contest.net).summary()
        assert sum(theirs) == rows.params, contest.net


@pytest.mark.slow
@pytest.mark.parametrize("target", ["gpu-test", "gpu-bench"])
def test_all_of_it_is_rehearsed(target: str, tmp_path: Path) -> None:
    made = ["make", target, "DEVICE=cpu", f"GPU_PYTHON={sys.executable}"]
    done = subprocess.run(made, cwd=SCRIPTS.parent, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((SCRIPTS.parent / "out" / f"{target}.json").read_text())["rows"]
    assert len(rows) == (10 if target == "gpu-test" else 6)
    assert not [row for row in rows if "skipped" in row or row.get("ok") is False]
