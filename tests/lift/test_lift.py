"""`netdsl lift`: an ONNX file becomes a spec that is proven to compute what the file computes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from foreign_nets import exported, stored
from safetensors.numpy import load_file

from netdsl.api import load
from netdsl.cli.main import main


def test_lenet_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The spec and the weights, compiled by the ordinary commands, compute what the file computes."""
    path = stored(exported("lenet", "LeNet5"), tmp_path)
    spec, weights, out = (str(tmp_path / n) for n in ("lifted.net", "lifted.safetensors", "out"))
    assert main(["lift", path, "-o", spec, "--weights", weights, "--name", "Digits"]) == 0
    assert "12 nodes" in capsys.readouterr().err
    assert main(["check", spec]) == 0
    assert main(["compile", spec, "--weights", weights, "-o", out, "--emit", "onnx"]) == 0
    x = np.random.default_rng(1).standard_normal((3, 1, 32, 32)).astype("float32")
    first, second = (onnxruntime.InferenceSession(p).run(None, {"image": x})[0] for p in (path, f"{out}/model.onnx"))
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-5 * np.abs(first).max())
    assert sum(a.size for a in load_file(weights).values()) == 61_706
    assert load(spec).name == "Digits"


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lift", stored(exported("lenet", "LeNet5"), tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["nodes"] == 12
    assert found["tensors"] == 10
    assert [p["batch"] for p in found["proof"]] == [1, 2, 3]
    assert found["spec"].startswith("net Net {")
