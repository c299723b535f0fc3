"""`netdsl verify FILE.onnx --against WEIGHTS`: the first layer that computes something else is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.numpy import load_file, save_file

from netdsl.cli.main import main

SPEC = """
net Small {
  input image [3, 16, 16]
  stem: conv(8, 3, bias=false) -> bn -> relu
  body: repeat 20 { residual { conv(8, 3, bias=false) -> bn -> relu } }
  head: gap -> linear(4)
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("against")
    (path / "small.net").write_text(SPEC)
    assert main(["compile", str(path / "small.net"), "-o", str(path), "--emit", "onnx,weights", "--no-verify"]) == 0
    return path


def against(folder: Path, weights: Path) -> int:
    return main(["verify", str(folder / "model.onnx"), "--against", str(weights)])


def test_the_same_weights_agree(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert against(folder, folder) == 0
    assert "computes what" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("key", "node"),
    [
        ("stem.0.weight", "/stem/0"),
        ("body.7.conv.weight", "/body/7/conv"),
        ("body.19.bn.bias", "/body/19/conv"),
        ("head.1.bias", "/head/1"),
    ],
)
def test_the_first_layer_that_differs_is_named(
    key: str, node: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = load_file(folder / "model.safetensors")
    state[key] = state[key] + 0.3
    save_file(state, tmp_path / "other.safetensors")
    assert against(folder, tmp_path / "other.safetensors") == 1
    assert f"part at {node} " in capsys.readouterr().out


def test_what_cannot_be_compared_is_refused(folder: Path, tmp_path: Path) -> None:
    assert main(["verify", str(folder / "small.net"), "--against", str(folder)]) == 2
    assert against(folder, tmp_path / "nothing.safetensors") == 2
    save_file({"x": load_file(folder / "model.safetensors")["stem.0.weight"]}, tmp_path / "one.safetensors")
    assert against(folder, tmp_path / "one.safetensors") == 1
