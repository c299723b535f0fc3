"""`netdsl train`, `eval`, `predict` as whole processes: runs, resuming after a kill, two processes, bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from paths import SPECS
from PIL import Image
from safetensors.torch import load_file
from sklearn.datasets import load_digits

from netdsl.cli.main import main

LENET = str(SPECS / "lenet.net")

SPEC = """
net Small(classes=10) {
  input image [1, 8, 8]
  conv(8, 3) -> bn -> relu -> dropout(0.1) -> maxpool(2)
  residual { conv(8, 3) -> bn }
  flatten -> linear(classes)
}

net Open(classes=3) {
  input series [L, 2]
  reduce_mean(axis=0) -> linear(classes)
}

recipe Quick for Small {
  epochs    = 2
  batch     = 64
  optimizer = sgd(lr=0.1, momentum=0.9, nesterov=true)
  augment   = crop(padding=1)
  mix       = mixup(0.2)
  drop_path = linear(0, 0.1)
  ema       = 0.9
  group norm, bias { weight_decay = 0 }
}
recipe Wrong for Small extends Quick { epoch = 3 }
"""


def netdsl(*args: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [sys.executable, "-m", "netdsl", *args], cwd=cwd, env=env, capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    path = tmp_path / "small.net"
    path.write_text(SPEC)
    return path


def weights(folder: Path) -> dict[str, bytes]:
    return {n: t.numpy().tobytes() for n, t in load_file(folder / "model.safetensors").items()}


@pytest.mark.slow
def test_the_main_job(tmp_path: Path) -> None:
    """LeNet on the digits: at least 97%, and the ONNX file gives the same accuracy."""
    done = netdsl("train", LENET, "-o", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "run"
    names = {"spec.net", "recipe.json", "run.json", "metrics.jsonl", "model.safetensors", "model.py", "model.onnx"}
    assert names <= {p.name for p in run.iterdir()}
    result = json.loads((run / "run.json").read_text())["result"]
    assert result["top1"] >= 0.97
    assert result["onnx"]["top1"] == result["top1"]
    assert result["onnx_difference"] < 1e-5
    assert "onnxruntime" in done.stderr


def test_a_run_is_measured_and_used_from_torch_and_from_onnx(
    tmp_path: Path, spec: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    def printed(*arguments: str) -> Any:
        assert main([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert main(["train", str(spec), "-o", "run", "--recipe", "Quick", "--quiet"]) == 0
    result = json.loads((tmp_path / "run" / "run.json").read_text())["result"]
    for what in (["run"], ["run", "--onnx"], ["run/model.onnx", "--data", "digits"]):
        measured = printed("eval", *what)
        assert measured["n"] == 359
        assert measured["top1"] == pytest.approx(result["top1"])
    digits = load_digits()
    for i in range(3):
        Image.fromarray((digits.images[i] * 255 / 16).astype(np.uint8)).save(tmp_path / f"{i}.png")
    a, b = (printed("predict", model, "0.png", "1.png", "2.png") for model in ("run", "run/model.onnx"))
    assert [r["guesses"][0]["class"] for r in a] == [r["guesses"][0]["class"] for r in b]
    assert a[0]["guesses"][0]["probability"] == pytest.approx(b[0]["guesses"][0]["probability"], abs=1e-4)
    drawn = printed("predict", "run", "0.png", "--mc", "20")
    assert drawn[0]["guesses"][0]["deviation"] > 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert {line["kind"] for line in lines} == {"step", "evaluation"}


@pytest.mark.slow
def test_two_runs_are_identical_and_a_killed_one_resumes_to_the_same_weights(tmp_path: Path, spec: Path) -> None:
    """Killed at some step, with EMA, mixup, dropout and drop-path on; twice, because it may be killed again."""
    arguments = [
        "train",
        str(spec),
        "--recipe",
        "Quick",
        "--no-onnx",
        "--set",
        "epochs=4",
        "--set",
        "checkpoint=1 steps",
    ]
    for name in ("a", "b"):
        done = netdsl(*arguments, "-o", name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert weights(tmp_path / "a") == weights(tmp_path / "b")
    _kill_in_the_middle([*arguments, "-o", "c"], tmp_path, tmp_path / "c" / "checkpoint.safetensors")
    resumed = netdsl("train", "--resume", "c", "--no-onnx", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert weights(tmp_path / "c") == weights(tmp_path / "a")
    assert (tmp_path / "c" / "metrics.jsonl").read_text() == (tmp_path / "a" / "metrics.jsonl").read_text()


def _kill_in_the_middle(arguments: list[str], cwd: Path, checkpoint: Path, how: int = signal.SIGKILL) -> int:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-m", "netdsl", *arguments], cwd=cwd, env=env, stderr=subprocess.PIPE)
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(0.1)
    assert process.poll() is None, "it ended before it could be killed"
    process.send_signal(how)
    process.communicate()
    assert not (checkpoint.parent / "model.safetensors").exists()
    return process.returncode


def test_ctrl_c_keeps_a_checkpoint(tmp_path: Path, spec: Path) -> None:
    arguments = [
        "train",
        str(spec),
        "--recipe",
        "Quick",
        "--no-onnx",
        "--set",
        "epochs=200",
        "--set",
        "checkpoint=1 steps",
        "-o",
        "run",
    ]
    code = _kill_in_the_middle(arguments, tmp_path, tmp_path / "run" / "checkpoint.safetensors", signal.SIGINT)
    assert code == 130


def test_two_processes_train_as_one(tmp_path: Path, spec: Path) -> None:
    """The same global batch: the same losses and weights to rounding; every test sample counted once."""
    fields = [
        "mix=none",
        "drop_path=none",
        "ema=none",
        "evaluate=5 steps",
        "dropout=constant(0)",
        "batch=50",
        "steps=10",
        "batch_norm=sync",
    ]
    plain = spec.with_name("plain.net")
    plain.write_text(SPEC.replace("bn", "groupnorm(2)"))
    settings = [part for field in fields for part in ("--set", field)]
    for name, more in (("one", []), ("two", ["--devices", "2"])):
        done = netdsl("train", str(plain), "--recipe", "Quick", "--no-onnx", "-o", name, *settings, *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    one, two = (
        [json.loads(line) for line in (tmp_path / n / "metrics.jsonl").read_text().splitlines() if "evaluation" in line]
        for n in ("one", "two")
    )
    for a, b in zip(one, two, strict=True):
        assert a["n"] == b["n"] == 359
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-4)
    a, b = (load_file(tmp_path / n / "model.safetensors") for n in ("one", "two"))
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["train"], 2, "which spec?"),
        (["train", "missing.net"], 2, "missing.net"),
        (["train", "small.net", "--recipe", "Wrong"], 1, "did you mean `epochs`?"),
        (["train", "small.net", "--recipe", "Quik"], 1, "did you mean `Quick`?"),
        (["train", "small.net:Small", "--recipe", "Quick", "--set", "batch=0"], 1, "`batch` takes a whole number"),
        (["train", "small.net", "--recipe", "Quick", "--set", "batch"], 2, "FIELD=VALUE"),
        (["train", "small.net", "--recipe", "Quick", "-p", "classes=7"], 1, "-p classes=10"),
        (["train", "small.net", "--recipe", "Quick", "--data", 'cifar10("none")'], 1, "takes [1, 8, 8]"),
        (["train", "small.net", "--recipe", "Quick", "--data", 'npz("small.net")'], 1, "not an npz file"),
        (["train", "small.net:Open", "--data", "synthetic", "--recipe", "none"], 1, "`--size L=32`"),
        (["train", "--resume", "nothing"], 2, "not a run directory"),
        (["train", "small.net", "--recipe", "Quick", "-o", "small.net"], 2, "not empty"),
        (["train", "small.net", "--recipe", "Quick", "--set", "data=graph(\"x\")"], 1, "are classes of nodes"),
        (["eval", "small.net"], 2, "small.net"),
        (["eval", "nothing"], 2, "there is no file"),
        (["predict", "small.net", "x.png"], 2, "small.net"),
        (["train", "small.net", "--recipe", "Quick", "--set", "init=weights(\"small.net\")"], 1, "small.net"),
        (["train", "small.net", "--recipe", "Quick", "--set", "optimizer.lr=1e30"], 1, "not finite"),
    ],
)  # fmt: skip
def test_bad_input_is_answered_in_words(
    spec: Path,
    arguments: list[str],
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(spec.parent)
    assert main(arguments) == code
    said = capsys.readouterr().err
    assert words in said
    assert "internal error" not in said
