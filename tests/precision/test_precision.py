"""Smaller ONNX files: what they lose is what `eval` measures, and a file that loses too much is not written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto
from safetensors.numpy import load_file, save_file

from netdsl.backends.onnx.file import load, metadata, save
from netdsl.backends.onnx.session import Session
from netdsl.cli.main import main
from netdsl.pipeline import Spec
from netdsl.precision.convert import half
from netdsl.precision.measure import Agreement, largest, largest_difference
from netdsl.precision.shrink import bound
from netdsl.source import Source

SPEC = """
net Digits(classes=10) {
  input image [1, 8, 8]
  conv(8, 3) -> relu -> flatten
  hidden: linear(32)
  relu
  head: linear(classes)
}
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("precision")
    (base / "nets.net").write_text(SPEC)
    given = ["--recipe", "none", "--data", "digits", "--set", "epochs=4", "-q", "-o", str(base / "run")]
    assert main(["train", f"{base}/nets.net", *given]) == 0
    state = load_file(base / "run" / "model.safetensors")
    save_file(_stretched(state), base / "stretched.safetensors")
    return base


def _stretched(state: dict[str, Any]) -> dict[str, Any]:
    """The same function, in which one channel is 3,000 times as large: 8 bits of its layer leave nothing of others."""
    found = {k: v.copy() for k, v in state.items()}
    found["conv.weight"][0] *= 3000
    found["conv.bias"][0] *= 3000
    found["hidden.weight"][:, :64] /= 3000
    return found


def compiled(capsys: pytest.CaptureFixture[str], *arguments: Any) -> Any:
    capsys.readouterr()
    assert main(["compile", *map(str, arguments), "--emit", "onnx", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def measured(capsys: pytest.CaptureFixture[str], file: Path) -> Any:
    capsys.readouterr()
    assert main(["eval", str(file), "--data", "digits", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("kind", "share"), [("int8", 0.45), ("fp16", 0.6)])
def test_what_is_lost_is_what_eval_measures(
    base: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, kind: str, share: float
) -> None:
    said = compiled(capsys, base / "run", "--precision", kind, "-o", tmp_path)["precision"]
    file = tmp_path / f"model.{kind}.onnx"
    whole = base / "run" / "model.onnx"
    assert sorted(p.name for p in tmp_path.iterdir()) == [file.name]
    assert file.stat().st_size <= share * whole.stat().st_size
    assert json.loads(metadata(load(file))["precision"]) == said
    assert said["before"] == measured(capsys, whole)["top1"]
    assert said["after"] == measured(capsys, file)["top1"]
    assert said["drop"] == said["before"] - said["after"] <= 0.005
    assert (said["kind"], said["metric"], said["kept"]) == (kind, "top1", [])
    x = np.random.default_rng(0).random((64, 1, 8, 8), dtype=np.float32)
    exact, found = (next(iter(Session(f).run({"image": x}).values())) for f in (whole, file))
    assert np.abs(exact - found).max() <= (0.2 if kind == "int8" else 2e-3) * np.abs(exact).max()
    assert main(["predict", str(file), str(_digits(tmp_path)), "--json"]) == 0
    assert main(["verify", str(file)]) == 0


def _digits(folder: Path) -> Path:
    np.save(folder / "x.npy", np.zeros((2, 1, 8, 8), dtype=np.uint8))
    return folder / "x.npy"


def test_int8_is_8_bits_for_each_channel(base: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    compiled(capsys, base / "run", "--precision", "int8", "-o", tmp_path)
    model = load(tmp_path / "model.int8.onnx")
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    typed = {v.name for v in (*model.graph.value_info, *model.graph.output)}
    assert typed >= {name for node in model.graph.node for name in node.output}
    kernels = [a for a in weights.values() if a.dtype == np.int8 and a.ndim > 1]
    assert len(kernels) == 3
    assert max(int(np.abs(k).max()) for k in kernels) <= 64  # 7 bits: sums of two products fit into 16
    assert any(a.shape == (8,) and a.dtype == np.float32 for n, a in weights.items() if "scale" in n)
    compiled(capsys, base / "run", "--precision", "int8", "-o", tmp_path, "--full-range")
    wide = [onnx.numpy_helper.to_array(t) for t in load(tmp_path / "model.int8.onnx").graph.initializer]
    assert max(int(np.abs(a.astype(int)).max()) for a in wide if a.dtype == np.int8 and a.ndim > 1) > 64


def test_layers_that_lose_most_stay_in_float(base: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    given = [f"{base}/nets.net", "--weights", base / "stretched.safetensors", "--calibrate", "digits", "-o", tmp_path]
    given += ["--max-drop", "1%"]  # 66% without it
    said = compiled(capsys, *given, "--precision", "int8")["precision"]
    assert set(said["kept"]) <= {"conv", "hidden"}
    assert said["drop"] <= 0.01
    assert measured(capsys, tmp_path / "model.int8.onnx")["top1"] == said["after"]
    by_name = compiled(capsys, *given, "--precision", "int8", "--keep", ",".join(said["kept"]))["precision"]
    assert by_name["after"] == said["after"]


def test_a_file_that_loses_too_much_is_not_written(
    base: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    given = [f"{base}/nets.net", "--weights", f"{base}/stretched.safetensors", "--calibrate", "digits"]
    given += ["--precision", "int8", "--keep", "none", "-o", str(tmp_path / "out"), "--emit", "onnx"]
    assert main(["compile", *given]) == 1
    err = capsys.readouterr().err
    assert "error[precision-loss]: int8 loses" in err
    assert "0.50% is accepted: accuracy" in err
    assert not (tmp_path / "out").exists()
    assert main(["compile", *given, "--max-drop", "100%"]) == 0


def test_half_precision_of_random_weights(base: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Without data the outputs are compared on random inputs; numbers beyond float16 are refused."""
    said = compiled(capsys, f"{base}/nets.net", "--precision", "fp16", "-o", tmp_path)["precision"]
    assert said["largest_difference"] < 2e-3
    state = load_file(base / "run" / "model.safetensors")
    save_file({k: v * 1e5 for k, v in state.items()}, tmp_path / "large.safetensors")
    given = [
        f"{base}/nets.net",
        "--weights",
        str(tmp_path / "large.safetensors"),
        "--no-verify",
        "-o",
        f"{tmp_path}/no",
    ]
    assert main(["compile", *given, "--precision", "fp16", "--emit", "onnx"]) == 1
    assert "fp16 gives values that are not finite" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("SPEC", "--precision", "int8"), "int8 needs samples to calibrate on"),
        (("RUN", "--precision", "int8", "--keep", "heads"), "did you mean `head`"),
        (("RUN", "--precision", "int8", "--max-drop", "much"), "is not a share"),
        (("RUN", "--precision", "int8", "--samples", "0"), "a whole number from 1"),
        (("RUN", "--precision", "int8", "--calibrate", "nowhere"), "nowhere"),
        (("RUN", "--precision", "int8", "--calibrate", 'npz("BASE/nan.npz")'), "not finite"),
        (("RUN", "--precision", "int8", "--emit", "torch"), "makes an ONNX file"),
        (("RUN", "--calibrate", "digits"), "`--calibrate` belongs to `--precision int8`"),
        (("RUN", "--samples", "9"), "`--samples` belongs to `--precision int8`"),
        (("RUN", "--precision", "fp16", "--keep", "head"), "`--keep` belongs to `--precision int8`"),
        (("RUN", "--precision", "fp16", "--full-range"), "`--full-range` belongs to `--precision int8`"),
        (("RUN", "-p", "classes=3"), "compiled as it was trained"),
        (("EMPTY", "--precision", "int8"), "has no model.safetensors"),
    ],
)
def test_what_is_wrong_is_said(
    base: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    x = np.full((40, 1, 8, 8), np.nan, dtype=np.float32)
    np.savez(base / "nan.npz", x=x, y=np.zeros(40, dtype=np.int64))
    if "EMPTY" in arguments:
        shutil.copytree(base / "run", tmp_path / "EMPTY")
        (tmp_path / "EMPTY" / "model.safetensors").unlink()
    names = {"SPEC": f"{base}/nets.net", "RUN": f"{base}/run", "EMPTY": f"{tmp_path}/EMPTY"}
    given = [names.get(a, a.replace("BASE", str(base))) for a in arguments]
    assert main(["compile", *given, "-o", str(tmp_path / "out")]) in (1, 2)
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("expected", "found", "difference"),
    [
        ([1, -3], [1.5, -3], 0.5),
        ([NAN, 2], [NAN, 1], 1),
        ([NAN, 2], [1, 2], INF),
        ([1, 2], [1, NAN], INF),
        ([INF, 2], [INF, 2], 0),
        ([INF, 2], [-INF, 2], INF),
        ([], [], 0),
    ],
)
def test_a_number_is_infinitely_far_from_none(expected: list[float], found: list[float], difference: float) -> None:
    assert largest_difference(np.float32(expected), np.float32(found)) == difference


def test_agreement_counts_what_is_no_number() -> None:
    count = Agreement("classes")
    count.add(np.float32([[1, 2], [NAN, 2], [NAN, 2]]), np.float32([[1, 3], [0, 2], [NAN, 2]]))
    assert count.share == 2 / 3
    assert largest(np.float32([NAN, -2])) == 2
    labels = Agreement("labels")
    labels.add(np.float32([[1, -1, NAN]]), np.float32([[2, NAN, NAN]]))
    assert labels.share == 2 / 3
    for task in ("numbers", "pairs"):
        none = Agreement(task)
        none.add(np.float32([[1, 2]]), np.float32([[1, 2]]))
        assert none.share is None


@pytest.mark.parametrize(
    ("drop", "said"), [(0.0, "0%"), (0.0121, "1.3%"), (0.5, "50%"), (0.991, "100%"), (2e-5, "0.0021%")]
)
def test_a_bound_that_is_advised_is_enough(drop: float, said: str) -> None:
    assert bound(drop) == said
    assert float(bound(drop).rstrip("%")) / 100 >= drop


def test_recurrent_layers_stay_in_float(tmp_path: Path) -> None:
    """onnxruntime ended the process at a file with an LSTM, or what turns its values, in float16."""
    text = "net A {\n  input x [L, 4]\n  body: lstm(6, num_layers=2, bidirectional=true) -> gru(5) -> linear(3)\n}\n"
    net = Spec(Source(text, "a.net"), lambda *_: None).net("A")
    module = net.module(seed=0).eval()
    save(net.onnx({k: v.numpy() for k, v in module.state_dict().items()}), tmp_path / "a.onnx")
    model = half(tmp_path / "a.onnx")
    types = {t.name: t.data_type for t in model.graph.initializer}
    recurrent = [types[i] for n in model.graph.node if n.op_type in ("LSTM", "GRU") for i in n.input if i in types]
    assert set(recurrent) == {TensorProto.FLOAT}
    assert TensorProto.FLOAT16 in types.values()  # the linear layer
    x = torch.randn(2, 7, 4)
    with torch.no_grad():
        assert np.abs(Session(model.SerializeToString())(x.numpy()) - module(x).numpy()).max() < 2e-3
