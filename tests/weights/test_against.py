"""`netdsl verify FILE.onnx --against WEIGHTS`: the first layer that computes something else is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, numpy_helper
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


EDITED = """
net Edited {
  input image [3, 8, 8]
  stem: conv(6, 3) -> relu -> conv(6, 3) -> relu
  flatten(start=1) -> permute((1, 0))
  body: repeat 4 { residual { layernorm -> linear(6) -> silu -> linear(6) } }
  take(0)
}
"""


@pytest.fixture(scope="module")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A net whose weights are all different, with its file."""
    path = tmp_path_factory.mktemp("edited")
    (path / "e.net").write_text(EDITED)
    words = ["compile", str(path / "e.net"), "-o", str(path), "--emit", "onnx,weights", "--no-verify"]
    assert main(words) == 0
    draw = np.random.default_rng(0)
    state = {
        k: v + draw.normal(0, 0.3, v.shape).astype(v.dtype) for k, v in load_file(path / "model.safetensors").items()
    }
    save_file(state, path / "other.safetensors")
    assert main([*words, "--weights", str(path / "other.safetensors")]) == 0
    return path


def node(model: ModelProto, path: str) -> NodeProto:
    (found,) = (n for n in model.graph.node if n.name == path)
    return found


def other_eps(model: ModelProto) -> None:
    (eps,) = (a for a in node(model, "/body/1/layernorm").attribute if a.name == "epsilon")
    eps.f = 0.1


def no_bias(model: ModelProto) -> None:
    del node(model, "/stem/2").input[2]


def transposed_kernel(model: ModelProto) -> None:
    (kernel,) = (t for t in model.graph.initializer if t.name == "stem.2.weight")
    turned = numpy_helper.to_array(kernel).transpose(0, 1, 3, 2)
    kernel.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(turned), kernel.name))


def other_activation(model: ModelProto) -> None:
    node(model, "/stem/1").op_type = "Elu"


def swapped_layers(model: ModelProto) -> None:
    one, two = node(model, "/body/1/linear2/MatMul"), node(model, "/body/3/linear2/MatMul")
    one.input[1], two.input[1] = two.input[1], one.input[1]


@pytest.mark.parametrize(
    ("edit", "path"),
    [
        (other_eps, "/body/1/layernorm"),
        (no_bias, "/stem/2"),
        (transposed_kernel, "/stem/2"),
        (other_activation, "/stem/1"),
        (swapped_layers, "/body/1/linear2/MatMul"),
    ],
)
def test_the_first_layer_of_an_edited_graph_is_named(
    edit: Callable[[ModelProto], None], path: str, edited: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = onnx.load(edited / "model.onnx")
    edit(model)
    onnx.save(model, edited / "edited.onnx")
    assert main(["verify", str(edited / "edited.onnx"), "--against", str(edited / "other.safetensors")]) == 1
    assert f"part at {path} " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "value"), [("dilations", [1, 1, 1]), ("nonsense", 1), ("strides", [2, 2]), ("pads", [0, 0, 0, 0])]
)
def test_a_file_that_does_not_run_to_its_end_parts_where_it_goes_wrong(
    name: str, value: object, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is no valid graph, and one whose shapes meet no more."""
    model = onnx.load(folder / "model.onnx")
    conv = next(n for n in model.graph.node if n.name == "/body/7/conv")
    kept = [a for a in conv.attribute if a.name != name]
    del conv.attribute[:]
    conv.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])
    onnx.save(model, tmp_path / "bad.onnx")
    assert main(["verify", str(tmp_path / "bad.onnx"), "--against", str(folder)]) == 1
    assert "part at /body/7/conv (Conv): difference inf" in capsys.readouterr().out


TWO = """
net Two {
  input image [3, 16, 16]
  first: a = image -> conv(8, 3) -> relu
  image
  body: repeat 40 { conv(3, 3) -> tanh }
  concat(a, it) -> gap -> linear(4)
}
"""


def test_another_branch_that_agrees_hides_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its layers stand behind the one that differs, and do not depend on it."""
    (tmp_path / "two.net").write_text(TWO)
    assert (
        main(["compile", str(tmp_path / "two.net"), "-o", str(tmp_path), "--emit", "onnx,weights", "--no-verify"]) == 0
    )
    state = load_file(tmp_path / "model.safetensors")
    key = next(k for k in state if k.startswith("first.") and k.endswith("weight"))
    state[key] = state[key] + 0.3
    save_file(state, tmp_path / "other.safetensors")
    assert against(tmp_path, tmp_path / "other.safetensors") == 1
    assert "part at /first/" in capsys.readouterr().out


def test_a_gate_of_large_numbers_hides_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sigmoid of a silu is 1 before and after a fault, which its other operand shows."""
    spec = "net Gated { input x [8]\n body: repeat 20 { linear(8) -> silu -> layernorm }\n head: linear(3) }"
    (tmp_path / "gated.net").write_text(spec)
    assert main(["compile", str(tmp_path / "gated.net"), "-o", str(tmp_path), "--emit", "weights"]) == 0
    state = load_file(tmp_path / "model.safetensors")
    state |= {k: 500 + v for k, v in state.items() if k.endswith(".0.bias")}
    save_file(state, tmp_path / "large.safetensors")
    given = ["--weights", str(tmp_path / "large.safetensors"), "-o", str(tmp_path), "--emit", "onnx", "--no-verify"]
    assert main(["compile", str(tmp_path / "gated.net"), *given]) == 0
    for number in range(0, 20, 3):
        key = f"body.{number}.0.bias"
        save_file(state | {key: state[key] + np.eye(8, dtype="float32")[0] * 90}, tmp_path / "other.safetensors")
        capsys.readouterr()
        assert against(tmp_path, tmp_path / "other.safetensors") == 1
        assert f"part at /body/{number}/0 " in capsys.readouterr().out
