"""`netdsl lift`: an ONNX file becomes a spec that is proven to compute what the file computes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from foreign_nets import exported, stored, written
from onnx import numpy_helper
from safetensors.numpy import load_file

from netdsl.api import load
from netdsl.cli.main import main
from netdsl.ir.model import Value
from netdsl.lift.decompose import Decomposer
from netdsl.lift.lift import lift_model
from netdsl.lift.model import Call, Lifted, Output
from netdsl.lift.proof import hiding
from netdsl.lift.term import items
from netdsl.ops import REGISTRY
from netdsl.tensors import TensorType


def test_lenet_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The spec and the weights, compiled by the ordinary commands, compute what the file computes."""
    path = stored(exported("lenet", "LeNet5"), tmp_path)
    spec, weights, out = (str(tmp_path / n) for n in ("lifted.net", "lifted.safetensors", "out"))
    assert main(["lift", path, "-o", spec, "--weights", weights, "--name", "Digits", "--no-library"]) == 0
    assert "12 nodes" in capsys.readouterr().err
    assert main(["check", spec]) == 0
    assert main(["compile", spec, "--weights", weights, "-o", out, "--emit", "onnx"]) == 0
    x = np.random.default_rng(1).standard_normal((3, 1, 32, 32)).astype("float32")
    first, second = (onnxruntime.InferenceSession(p).run(None, {"image": x})[0] for p in (path, f"{out}/model.onnx"))
    np.testing.assert_allclose(first, second, rtol=0, atol=1e-5 * np.abs(first).max())
    assert sum(a.size for a in load_file(weights).values()) == 61_706
    assert load(spec).name == "Digits"


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lift", stored(exported("lenet", "LeNet5"), tmp_path), "--json", "--no-library"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["nodes"] == 12
    assert found["tensors"] == 10
    assert [p["batch"] for p in found["proof"]] == [1, 2, 3]
    assert found["spec"].startswith("net Net {")
    assert found["zoo"] is None


def lifted(text: str) -> str:
    """The body of the net that is lifted from a graph, whose first output is `y`."""
    found = lift_model(written(f"net {text}"))
    assert all(c.difference < 1e-5 for c in found.proof)
    return found.text


def test_zeros_are_proven_with_other_weights() -> None:
    """A last layer that begins at zero: its outputs prove nothing, so that other weights are compared."""
    model = written("net (float[N,4] x) => (float[N,3] y) <float[4,3] w = {}> { y = MatMul(x, w) }")
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.zeros((4, 3), "float32"), "w"))
    found = lift_model(model)
    assert all(c.tells for c in found.proof)
    assert not found.state["linear.weight"].any()


def test_a_branch_that_begins_at_zero_is_compared_with_other_weights_too() -> None:
    """Its last layer hides it: what stands before, lifted wrongly, would give the same outputs."""
    model = written(
        "net (float[N,4] x) => (float[N,4] y) <float[4,8] u = {}, float[8,4] w = {}>"
        "{ a = MatMul(x, u) b = Tanh(a) c = MatMul(b, w) y = Add(x, c) }"
    )
    plain = lift_model(model)
    zeros = numpy_helper.from_array(np.zeros((8, 4), "float32"), "w")
    model.graph.initializer[1].CopyFrom(zeros)
    found = lift_model(model)
    assert hiding(model) == {"w"}
    assert found.text == plain.text
    assert len(found.proof) == 2 * len(plain.proof)
    assert not found.state["linear2.weight"].any()


def test_long_chains() -> None:
    """A graph of 1,500 nodes one after another: nothing recurs over its length."""
    value = Value("x", TensorType((4,)))
    calls = []
    for i in range(1500):
        after = Value(f"v{i}", value.type)
        calls.append(Call(REGISTRY["relu" if i % 2 else "tanh"](), (value,), (after,), {}))
        value = after
    net = Lifted((calls[0].inputs[0],), tuple(calls), (Output("y", value),))
    assert len(items(Decomposer(net).body())) == 1500


UNEVEN = {
    (0, 0, 1, 1): "bias=false) -> pad(((0, -1), (0, -1)))",
    (1, 1, 0, 0): "bias=false) -> pad(((-1, 0), (-1, 0)))",
    (2, 0, 1, 3): "padding=(1, 0), bias=false) -> pad(((-1, 0), (0, -3)))",
    (1, 1, 1, 1): "padding=1, bias=false)",
}


@pytest.mark.parametrize("pads", UNEVEN)
def test_transposed_convolution_of_uneven_pads(pads: tuple[int, ...]) -> None:
    attributes = f"<strides = [2, 2], pads = [{', '.join(map(str, pads))}]>"
    head = "(float[N,2,4,4] x) => (float[N,3,h,w] y) <float[2,3,5,5] k = {}>"
    text = f"{head} {{ y = ConvTranspose {attributes} (x, k) }}"
    assert f"upconv(3, 5, stride=2, {UNEVEN[pads]}" in lifted(text)


def test_infinities_can_be_written() -> None:
    text = """(float[N,2,6] x) => (float[N,2,3] y) {
        p = Constant <value = int64[6] {0, 0, 1, 0, 0, 0}> ()  n = Constant <value = float {-inf}> ()
        a = Pad(x, p, n)  y = MaxPool <kernel_shape = [3], strides = [2]> (a) }"""
    assert "pad((1, 0), value=-3.4028235e+38)" in lifted(text)


def test_names_are_names() -> None:
    """Inputs and sizes whose names are the same in a spec stay apart, and words of the language are none."""
    found = lifted(
        """(float[N,H,4] true, float[N,height,4] "Größe", float[N,h,4] "gr-e") => (float[N,4] y) {
        i = Constant <value = int64[1] {1}> ()  a = ReduceMean <keepdims = 0> (true, i)
        b = ReduceMean <keepdims = 0> ("Größe", i)  c = ReduceMean <keepdims = 0> ("gr-e", i)
        d = Add(a, b)  y = Add(c, d) }""",
    )
    assert [line.strip() for line in found.splitlines()[1:4]] == [
        "input true_ [H, 4]", "input gr_e [H2, 4]", "input gr_e2 [H3, 4]"
    ]  # fmt: skip
