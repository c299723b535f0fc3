"""The ONNX exporter: names, counts, folding, sizes, versions; held against onnxruntime, onnx's checker and torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, numpy_helper
from onnx_nets import SPECS, compiled, made, module_of, random_state, zoo

from netdsl.backends.onnx.check import check_model
from netdsl.backends.onnx.model import OPSETS, export
from netdsl.backends.onnx.session import Session
from netdsl.backends.onnx.targets import TARGETS
from netdsl.backends.onnx.weights import ExportError, weights_hash
from netdsl.ir.flatten import flatten
from netdsl.ir.model import Program
from netdsl.verify.compare import verify
from netdsl.verify.sizes import At, choose
from netdsl.verify.stress import state_of


def ops(model: ModelProto) -> list[str]:
    return [n.op_type for n in model.graph.node]


def initialisers(model: ModelProto) -> dict[str, np.ndarray]:
    return {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}


def agrees(program: Program, **options: Any) -> None:
    """Torch and onnxruntime agree on a stress copy at several sizes."""
    points = choose(program)[:3]
    cases = verify(program, module_of(program), lambda w: export(program, w, **options), at=points)
    assert all(c.ok for c in cases), [c for c in cases if not c.ok]


NODES = [
    ("resnet", "ResNet18", {}, 18, 49),
    ("resnet", "ResNet50", {}, 18, 122),
    ("convnext", "ConvNeXt_T", {}, 20, 164),
    ("unet", "UNet", {"depth": 3}, 18, 38),
]


@pytest.mark.parametrize(("file", "net", "arguments", "opset", "count"), NODES, ids=[n[1] for n in NODES])
def test_no_more_nodes_than_the_best_exporter(file: str, net: str, arguments: Any, opset: int, count: int) -> None:
    """The counts are the least of torch's two exporters followed by onnxslim."""
    assert len(made(zoo(file, net, **arguments), opset=opset).graph.node) <= count


@pytest.mark.parametrize("opset", OPSETS)
def test_every_opset_is_stamped_and_passes_the_full_check(opset: int) -> None:
    current = {17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12, 25: 13, 26: 13}
    model = made(zoo("convnext", "ConvNeXt_T"), opset=opset)
    assert (model.ir_version, [(o.domain, o.version) for o in model.opset_import]) == (current[opset], [("", opset)])
    for node in model.graph.node:
        assert onnx.defs.get_schema(node.op_type, opset).since_version <= opset
    assert check_model(model) is None


def test_names_follow_paths() -> None:
    model = made(zoo("resnet", "ResNet18"))
    first = model.graph.node[0]
    assert (first.name, first.op_type, list(first.output)) == ("/stem/0/conv", "Conv", ["/stem/0/conv.out"])
    names = [n.name for n in model.graph.node]
    assert "/stages/0/0/add" in names
    assert len(set(names)) == len(names)
    keys = set(initialisers(model))
    assert "stem.0.conv.weight.folded" in keys
    assert {"head.1.weight", "head.1.bias"} <= keys
    assert keys.isdisjoint(v.name for v in model.graph.value_info)
    assert [i.name for i in model.graph.input] == ["image"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"


def test_an_initialiser_bears_its_key_only_if_its_values_are_unchanged() -> None:
    program = zoo("convnext", "ConvNeXt_T")
    state = random_state(program)
    for name, array in initialisers(made(program)).items():
        if name in state:
            np.testing.assert_array_equal(array, state[name])
        else:
            assert name.endswith((".folded", ".matrix")) or name.startswith("const."), name


def test_multi_node_ops_are_named_under_their_path() -> None:
    program = compiled("net Net { input x [3, 6, 6]\n layernorm -> gap -> linear(2) }")
    assert [n.name for n in made(program).graph.node][:3] == [
        "/layernorm/Transpose",
        "/layernorm/LayerNormalization",
        "/layernorm",
    ]


def test_two_outputs_of_one_value_and_an_output_that_is_the_input() -> None:
    text = "net Net { input x [3]\n y = relu\n output a = y\n output b = y\n output c = x }"
    program = compiled(text)
    x = np.asarray([[-1, 0, 2]], "float32")
    out = Session(made(program).SerializeToString()).run({"x": x})
    assert list(out) == ["a", "b", "c"]
    np.testing.assert_array_equal(out["b"], [[0, 0, 2]])
    np.testing.assert_array_equal(out["c"], x)


def test_metadata_is_sorted_json_and_says_nothing_of_the_machine() -> None:
    model = made(zoo("lenet", "LeNet5"), metadata={"spec": "net", "classes": ["b", "a"], "at": {"z": 1, "a": 2}})
    entries = [(p.key, p.value) for p in model.metadata_props]
    assert entries == [("at", '{"a":2,"z":1}'), ("classes", '["b","a"]'), ("spec", "net"), ("target", "onnxruntime")]
    assert model.producer_name == "netdsl"
    data = model.SerializeToString()
    assert os.getcwd().encode() not in data
    assert b"site-packages" not in data


def test_weights_hash_does_not_depend_on_order() -> None:
    state = random_state(zoo("lenet", "LeNet5"))
    assert weights_hash(state) == weights_hash(dict(reversed(state.items())))
    key = next(iter(state))
    assert weights_hash(state) != weights_hash({**state, key: state[key] + 1})


SCRIPT = """
import hashlib, sys
import numpy as np
from netdsl.api import load
from netdsl.backends.onnx.model import export
from netdsl.ir.flatten import flatten

for spec in sys.argv[1:]:
    program = load(spec).program
    state = {}
    for node in flatten(program):
        for name, p in (node.op.params(*node.types) | node.op.buffers(*node.types)).items():
            state[f"{node.layer_path}.{name}"] = np.full(p.shape, len(state) % 7 + 1, "float32")
    model = export(program, state, metadata={"b": [1, 2], "a": {"y": 1, "x": 2}})
    print(hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest())
"""


def test_equal_input_gives_equal_bytes_in_every_process(tmp_path: Path) -> None:
    outputs = set()
    for seed in ("0", "1", "4711"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(SPECS.parent)}
        folder = tmp_path / seed
        folder.mkdir()
        run = [sys.executable, "-c", SCRIPT, *(str(SPECS / f"{n}.net") for n in ("convnext", "unet", "lenet"))]
        outputs.add(subprocess.run(run, env=environment, cwd=folder, capture_output=True, check=True).stdout)
    assert len(outputs) == 1
    assert len(outputs.pop().split()) == 3


def test_folding_keeps_what_it_must_not_touch() -> None:
    """A norm along another axis than the layer's features; a layer whose result has a second reader."""
    program = compiled("net Net { input x [8, 8]\n linear(8) -> reshape((8, 8)) -> bn }")
    assert "BatchNormalization" in ops(made(program))
    agrees(program)
    program = compiled("net Net { input x [3, 5, 5]\n y = conv(4, 3)\n a = y -> bn\n a + y }")
    assert "BatchNormalization" in ops(made(program))
    agrees(program)


def test_one_shared_convolution_is_folded_into_two_norms() -> None:
    text = "net Net { input x [4, 6, 6]\n share f = conv(4, 3, bias=false)\n f -> bn -> relu -> f -> bn -> f }"
    program = compiled(text)
    model = made(program)
    assert ops(model) == ["Conv", "Relu", "Conv", "Conv"]
    names = [n.name for n in model.graph.node]
    assert len(set(names)) == 4
    assert {"f.weight", "f.weight.folded", "f.weight.folded.2"} <= set(initialisers(model))
    agrees(program)


@pytest.mark.parametrize(
    "layers",
    [
        "conv(6, 3) -> bn -> scale(0.5)",
        "conv(6, 3, bias=false) -> scale(0.5)",
        "conv(6, 3, groups=2) -> bn(affine=false)",
        "upconv(6, 2, stride=2) -> bn",
        "upconv(6, 2, stride=2, groups=2) -> bn",
        "linear(6) -> dropout -> scale(0.1)",
        "conv(6, 3, weight_standardization=true) -> bn",
        "conv(6, 3) -> bn -> bn",
    ],
)
def test_folding_is_exact(layers: str) -> None:
    agrees(compiled(f"net Net {{ input x [4, 9, 9]\n {layers} }}"))


SYMBOLIC = [
    "input x [4, H, W]\n reshape([2, 2, H, W]) -> flatten(start=0, end=1)",
    "input x [4, H, W]\n groupnorm(2)",
    "input x [4, H, W]\n maxpool(2, ceil_mode=true) -> groupnorm(2) -> upsample(2)",
    "input x [L, 8]\n attention(2)",
    "input x [3, H, W]\n conv(4, 3, stride=2) -> layernorm -> linear(8) -> gelu -> linear(4)",
    "input x [4, H, W]\n flatten(start=1) -> permute([1, 0]) -> attention(2)",
    "input x [4, H, W]\n roll(3) -> conv(4, 3)",
    "input x [4, H, W]\n roll((-300, 200)) -> conv(4, 3)",
    "input x [3, H, W]\n conv(4, 3) -> adaptive_avgpool(7)",
    "input x [3, H, W]\n adaptive_maxpool((3, 5)) -> conv(2, 3) -> upsample(size=(H, W), mode=bilinear)",
    "input x [2, H, 8]\n adaptive_avgpool((3, 5)) -> flatten -> linear(3)",
    "input x [3, L]\n adaptive_avgpool(4)",
    "input x [2, A, H, W]\n adaptive_avgpool((2, 4, 3))",
    "input x [2, A, H, W]\n adaptive_maxpool((2, 1, 3))",
    "input x [L, 8]\n input keep [L] bool\n x -> attention(2, mask=keep)",
    "input x [L, 8]\n input keep [1, L] bool\n sdpa(x, x, x, mask=keep)",
    "input x [L, 8]\n input keep [2, L, L] bool\n x -> attention(2, mask=keep)",
    "input x [L, 8]\n input bias [1, L]\n x -> attention(2, mask=bias)",
    "input x [2, L, D]\n sdpa(x, x, x, causal=true)",
    "input x [2, H, W]\n unfold((2, 3), padding=1, dilation=2, stride=(1, 2))",
    "input x [2, 3, H]\n unfold(2) -> linear(5, axis=0)",
]


@pytest.mark.parametrize("opset", [17, 18, 26])
@pytest.mark.parametrize("body", SYMBOLIC)
def test_symbolic_sizes(body: str, opset: int) -> None:
    agrees(compiled(f"net Net {{ {body} }}"), opset=opset)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("opset", [17, 18, 20, 23, 26])
def test_targets_compute_the_same(target: str, opset: int) -> None:
    text = """
    block Block(d) { residual(scale=1e-6) { dwconv(7) -> layernorm -> linear(4 * d) -> gelu -> linear(d) } }
    net Net {
      input x [3, H, W]
      patchify(8, 4) -> layernorm
      repeat 2 { Block(8) }
      layernorm -> patchify(12, 2) -> Block(12) -> gap -> layernorm -> linear(5)
    }"""
    agrees(compiled(text), opset=opset, target=target)


def test_targets_have_their_forms() -> None:
    program = zoo("convnext", "ConvNeXt_T")
    forms = {target: ops(made(program, opset=20, target=target)) for target in TARGETS}
    assert forms["onnxruntime"].count("Conv") == 18 * 3 + 4
    assert forms["portable"].count("Conv") == 18 + 4
    assert forms["portable"].count("MatMul") == 36
    assert "Transpose" not in forms["openvino"]


def test_consecutive_transposes_cancel() -> None:
    program = compiled(
        "net Net { input x [3, 6, 6]\n layernorm -> layernorm -> permute([1, 2, 0]) -> permute([2, 0, 1]) }"
    )
    assert ops(made(program)) == ["Transpose", "LayerNormalization", "LayerNormalization", "Transpose"]
    agrees(program)


@pytest.mark.parametrize("between", ["", "identity -> ", "dropout -> "])
def test_zeros_before_a_max_pool_stay_zeros(between: str) -> None:
    """onnxruntime's optimiser moves a Pad of zeros into the pool, where it means -inf."""
    agrees(compiled(f"net Net {{ input x [3, 9, 9]\n conv(4, 3) -> pad(1) -> {between}maxpool(3, stride=2) }}"))


def test_equal_constants_are_one() -> None:
    program = compiled("net Net { input x [3, 6, 6]\n gelu -> gelu -> gelu }")
    assert len(initialisers(made(program, opset=18))) == 3


def test_what_only_training_needs_is_gone() -> None:
    text = """net Net {
      input x [4]
      linear(4) -> dropout
      output aux = linear(2) when training
      linear(3) -> drop_path(0.1)
    }"""
    model = made(compiled(text))
    assert ops(model) == ["Gemm", "Gemm"]
    assert [o.name for o in model.graph.output] == ["output"]


def test_refusals_say_what_is_wrong() -> None:
    program = zoo("lenet", "LeNet5")
    state = random_state(program)
    key = next(iter(state))
    with pytest.raises(ExportError, match=r"no `.*`"):
        export(program, {k: v for k, v in state.items() if k != key})
    with pytest.raises(ExportError, match=f"`{key}`"):
        export(program, {**state, key: state[key][:1]})
    with pytest.raises(ExportError, match="opset 16"):
        export(program, state, opset=16)
    with pytest.raises(ExportError, match="target"):
        export(program, state, target="tpu")
    antialiased = compiled("net Net { input x [3, 8, 8]\n upsample(size=(4, 4), mode=bilinear, antialias=true) }")
    with pytest.raises(ExportError, match="opset 18"):
        export(antialiased, {}, opset=17)


def test_flat_paths_are_unique_and_parameters_belong_to_layers() -> None:
    program = compiled("net Net { input x [4]\n share f = linear(4)\n f -> relu -> f -> relu -> f }")
    flat = flatten(program)
    assert [n.path for n in flat] == ["f", "relu1", "f@2", "relu2", "f@3"]
    assert [n.layer_path for n in flat if n.op.kind == "linear"] == ["f"] * 3
    assert len({v.name for n in flat for v in n.outputs}) == 5


@pytest.mark.parametrize(("file", "net"), [("resnet", "ResNet18"), ("convnext", "ConvNeXt_T"), ("lenet", "LeNet5")])
def test_flat_layer_paths_are_the_state_dict(file: str, net: str) -> None:
    program = zoo(file, net)
    assert set(random_state(program)) == set(state_of(module_of(program)))


@pytest.mark.parametrize("halvings", [0, 1, 2, 3, 4, 5])
def test_sizes_differ_whatever_they_are_multiples_of(halvings: int) -> None:
    steps = " -> ".join(["maxpool(2)"] * halvings + ["upsample(2)"] * halvings) or "relu"
    points = choose(compiled(f"net Net {{ input x [1, H, W]\n y = {steps}\n it + y }}"))
    assert len(set(points)) == 5
    assert sum(p.named["H"] != p.named["W"] for p in points) >= 3


def test_sizes_satisfy_the_constraints() -> None:
    points = choose(zoo("unet", "UNet", width=8))
    assert len(set(points)) >= 5
    assert points[0].batch == 1
    assert any(p.named["H"] != p.named["W"] for p in points)
    assert all(p.named[s] % 16 == 0 for p in points for s in "HW")
    assert choose(zoo("lenet", "LeNet5"))[0] == At(1)
