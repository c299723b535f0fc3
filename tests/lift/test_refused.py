"""What cannot be lifted is refused with the node and the reason, and nothing is written."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from foreign_nets import HEAD, exported, stored, written
from onnx import ModelProto

from netdsl.cli.main import main
from netdsl.lift.lift import lift_model
from netdsl.lift.model import LiftError

REFUSED = {
    "control flow": (
        """net (float[N,4] x, bool c) => (float[N,4] y) {
        y = If (c) <then_branch = a () => (float[N,4] p) { p = Relu(x) },
                    else_branch = b () => (float[N,4] q) { q = Neg(x) }> }""",
        "`y (If)`: control flow has no form in a spec",
    ),
    "an operator that the language has not": (
        "net (float[N,4] x) => (float[N,4] y) { y = Det(x) }",
        "`y (Det)`: there is no form of `Det` in the language",
    ),
    "samples mixed": (
        "net (float[N,4] x) => (float[1,4] y) { y = ReduceMean <keepdims = 1> (x) }",
        "`y (ReduceMean)`: it reduces over all samples",
    ),
    "the batch as an axis": (
        "net (float[N,4] x) => (float[N,4] y) { y = Softmax <axis = 0> (x) }",
        "it works over the batch axis",
    ),
    "an output that is a constant": (
        "net (float[N,4] x) => (float[2] y) { y = Constant <value = float[2] {1.0, 2.0}> () }",
        "the output `y` does not depend on the inputs",
    ),
    "nothing that goes in": (
        "net () => (float[1,4] y) <float[1,4] c = {}, float[4,4] w = {}> { y = MatMul(c, w) }",
        "the graph has no input",
    ),
    "an axis before the batch": (
        "net (float[N,4] x) => (float[1,N,4] y) <float[1,1,1] c = {2.0}> { y = Mul(x, c) }",
        "`y (Mul)`: numbers of shape [1, 1, 1] add axes before the batch",
    ),
    "nothing that comes out": ("net (float[N,4] x) => () { y = Relu(x) }", "the graph has no output"),
    "random numbers": (
        "net (float[N,4] x) => (float[N,4] y) { r = RandomNormal <shape = [1, 4]> ()  y = Add(x, r) }",
        "it draws numbers, so that no two runs of the model agree",
    ),
    "outputs that grow without end": (
        "net (float[N,4] x) => (float[N,4] y) { a = Exp(x)  b = Exp(a)  c = Exp(b)  d = Exp(c)  y = Exp(d) }",
        "an output of the file is not finite",
    ),
    "a cycle": (
        "net (float[N,4] x) => (float[N,4] y) { a = Add(x, b)  b = Relu(a)  y = Relu(b) }",
        "`a (Add)`: it reads `b`, which nothing before it computes",
    ),
    "one name for two values": (
        "net (float[N,4] x) => (float[N,4] y) { a = Relu(x)  a = Neg(x)  y = Relu(a) }",
        "onnxruntime refuses the file",
    ),
    "an output twice": (
        "net (float[N,4] x) => (float[N,4] y, float[N,4] y) { y = Relu(x) }",
        "it has several outputs `y`",
    ),
    "other numbers inside": (
        "net (float[N,4] x) => (float[N,4] y) { a = Cast <to = 11> (x)  b = Neg(a)  y = Cast <to = 1> (b) }",
        "`a (Cast)`: it converts to a type that specs do not compute with",
    ),
    "samples that pick from each other": (
        "net (float[N,4] x, int64[N,4] i) => (float[N,4] y) { y = GatherElements <axis = 0> (x, i) }",
        "`y (GatherElements)`: it picks values by numbers of their own",
    ),
    "rows that are put over each other": (
        """net (float[N,5,4] x, int64[N,5] i) => (float[N,5,4] y) {
        a = Constant <value = int64[1] {2}> ()  b = Unsqueeze(i, a)  s = Shape(x)  j = Expand(b, s)
        y = ScatterElements <axis = 1> (x, j, x) }""",
        "`y (ScatterElements)`: rows that are collected with `none`",
    ),
    "a bomb": (
        """net (float[N,4] x) => (float[N,4] y) {
        s = Constant <value = int64[3] {100000, 100000, 100000}> ()
        c = ConstantOfShape(s)  m = ReduceMax <keepdims = 0> (c)  y = Add(x, m) }""",
        "a constant of more than",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text, reason = REFUSED[case]
    path, out = stored(written(text), tmp_path), tmp_path / "out"
    assert main(["lift", path, "-o", str(out / "a.net"), "--weights", str(out / "a.safetensors")]) == 1
    said = capsys.readouterr().err
    assert "error[not-liftable]: " in said
    assert reason in said
    assert not out.exists()


def test_foreign_domain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = HEAD.replace("]>", ', "com.acme" : 1]>')
    path = stored(written("net (float[N,4] x) => (float[N,4] y) { y = com.acme.Magic(x) }", head), tmp_path)
    assert main(["lift", path]) == 1
    assert "`y (Magic)`: nodes of the domain `com.acme` are not known" in capsys.readouterr().err


def test_weights_outside_of_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "secret").write_bytes(bytes(64))
    (tmp_path / "in").mkdir()
    model = written("net (float[N,4] x) => (float[N,4] y) <float[4] w = {0.0, 0.0, 0.0, 0.0}> { y = Add(x, w) }")
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../secret")
    path = tmp_path / "in" / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert main(["lift", str(path), "-o", str(tmp_path / "a.net")]) == 1
    assert "error[not-a-model]" in capsys.readouterr().err
    assert not (tmp_path / "a.net").exists()


@pytest.mark.parametrize("keep", [0, 1, 7, 40, 200, -1])
def test_truncated(keep: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = exported("lenet", "LeNet5").SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(whole[:keep])
    assert main(["lift", str(path)]) == 1
    assert "error[not-" in capsys.readouterr().err


def test_bytes_of_another_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(os.urandom(4096))
    assert main(["lift", str(path)]) == 1
    assert "error[not-a-model]" in capsys.readouterr().err
    assert main(["lift", str(tmp_path / "none.onnx")]) == 2
    assert main(["lift", str(tmp_path)]) == 2


def damaged(model: ModelProto, random: np.random.Generator) -> None:
    """Change one attribute, edge or kind of a node."""
    node = model.graph.node[random.integers(len(model.graph.node))]
    choice = random.integers(4)
    if choice == 0 and node.attribute:
        attribute = node.attribute[random.integers(len(node.attribute))]
        attribute.ints[:] = [int(v) for v in random.integers(-3, 9, len(attribute.ints) or 1)]
    elif choice == 1:
        node.input[random.integers(len(node.input))] = "nowhere"
    elif choice == 2:
        node.op_type = str(random.choice(["Conv", "Gemm", "Add", "Reshape", "Split", "Concat", "LSTM", "Slice"]))
    else:
        del node.input[1:]


def test_damaged_graphs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever one attribute or edge of a real graph is changed to: a diagnostic, or a proof."""
    random = np.random.default_rng(0)
    whole = exported("lenet", "LeNet5").SerializeToString()
    for _ in range(40):
        model = ModelProto.FromString(whole)
        damaged(model, random)
        path = tmp_path / "model.onnx"
        path.write_bytes(model.SerializeToString())
        assert main(["lift", str(path)]) in (0, 1), capsys.readouterr().err


@pytest.mark.parametrize("kind", [0, 99])
def test_an_input_of_no_type(kind: int) -> None:
    model = written("net (float[N,4] x) => (float[N,4] y) { y = Relu(x) }")
    model.graph.input[0].type.tensor_type.elem_type = kind
    with pytest.raises(LiftError, match="`x` has no type of numbers"):
        lift_model(model)


def test_no_outputs_and_functions_of_themselves() -> None:
    model = written("net (float[N,4] x) => (float[N,4] y) { y = Relu(x) }")
    del model.graph.output[:]
    with pytest.raises(LiftError, match="the graph has no output"):
        lift_model(model)
    text = """net (float[N,4] x) => (float[N,4] y) { y = d.F(x) }
    <domain: "d", opset_import: ["" : 18, "d" : 1]> F (p) => (q) { q = d.F(p) }"""
    with pytest.raises(LiftError, match="its functions cannot be written out: "):
        lift_model(written(text, HEAD.replace("]>", ', "d" : 1]>')))


def test_weights_that_are_no_numbers() -> None:
    model = written("net (float[N,4] x) => (float[N,3] y) <float[4,3] w = {}> { y = MatMul(x, w) }")
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.full((4, 3), np.nan, "float32"), "w"))
    with pytest.raises(LiftError, match="the weight `w` holds values that are no numbers"):
        lift_model(model)


def test_branches_that_share_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lifting ends: what may be visited is counted."""
    monkeypatch.setattr("netdsl.lift.decompose.MOST_VISITS", 5)
    with pytest.raises(LiftError, match="share too many values"):
        lift_model(exported("lenet"))


def test_nested_too_deeply() -> None:
    """An hourglass of 90 levels."""
    down = "".join(f"d{i + 1} = Relu(d{i})  " for i in range(90))
    up = "".join(f"t{i} = Tanh(u{i + 1})  u{i} = Add(d{i}, t{i})  " for i in reversed(range(90)))
    with pytest.raises(LiftError, match="nested more than 60 deep"):
        lift_model(written(f"net (float[N,4] d0) => (float[N,4] u0) {{ {down} u90 = Neg(d90)  {up} }}"))


def test_a_value_that_is_read_at_many_steps_nests_nothing() -> None:
    steps = "".join(f"r{i} = Relu(a{i})  a{i + 1} = Add(x, r{i}) " for i in range(90))
    found = lift_model(written(f"net (float[N,4] x) => (float[N,4] a90) {{ a0 = Neg(x) {steps} }}"))
    assert "repeat 90 { relu -> x + it }" in found.text, found.text


def test_attribute_of_another_kind() -> None:
    """A diagnostic with the node, whatever the kind of its attribute."""
    model = exported("lenet", "LeNet5")
    conv = next(n for n in model.graph.node if n.op_type == "Conv")
    conv.attribute.remove(next(a for a in conv.attribute if a.name == "pads"))
    conv.attribute.append(onnx.helper.make_attribute("pads", "same"))
    with pytest.raises(LiftError, match=r"\(Conv\)`: its attribute `pads` is of the kind STRING, which should be INTS"):
        lift_model(model)


@pytest.mark.parametrize(
    "text",
    [
        "s = Constant <value = float[2] {2.0, 2.0}> ()  y = Reshape(x, s)",
        "z = Constant <value_int = 0> ()  o = Constant <value_int = 4> ()  d = Mod(o, z)  y = Reshape(x, d)",
        "y = Transpose <perm = [0, 1, 2]> (x)",
        "i = Constant <value = float {1.0}> ()  z = Constant <value = float {0.0}> ()  f = Div(i, z)  y = Mul(x, f)",
    ],
)
def test_numbers_that_make_no_sense(text: str) -> None:
    with pytest.raises(LiftError, match=r"^node `"):
        lift_model(written(f"net (float[N,4] x) => (float[N,4] y) {{ {text} }}"))


@pytest.mark.parametrize("name", ["none", "class", "it", "Größe", "a b", "conv", "False"])
def test_no_name_of_a_net(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lift", stored(exported("lenet", "LeNet5"), tmp_path), "--name", name]) == 2
    assert "is no name of a net" in capsys.readouterr().err


def test_a_file_is_not_written_over_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = stored(exported("lenet", "LeNet5"), tmp_path)
    before = Path(model).read_bytes()
    spec, weights = tmp_path / "link.net", tmp_path / "link.safetensors"
    spec.symlink_to(model)
    weights.symlink_to(model)
    one, other = tmp_path / "one.net", tmp_path / "one.safetensors"
    one.symlink_to(other)
    for more in (["-o", str(spec)], ["--weights", str(weights)], ["-o", str(one), "--weights", str(other)]):
        assert main(["lift", model, *more]) == 2
        assert "would be written over itself" in capsys.readouterr().err
    assert Path(model).read_bytes() == before
    assert not other.exists()


def test_nothing_but_zeros_proves_nothing() -> None:
    """Outputs that are zero whatever the weights: no proof, so no spec."""
    with pytest.raises(LiftError, match="nothing but zeros"):
        lift_model(written("net (float[N,4] x) => (float[N,4] y) { a = Relu(x)  b = Neg(a)  y = Relu(b) }"))
