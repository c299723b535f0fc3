"""`verify --against`: of a fault that is planted into a file, the first layer whose output differs is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, numpy_helper
from onnx_nets import module_of, zoo

from netdsl.backends.onnx.model import export
from netdsl.ir.model import Program
from netdsl.verify.inputs import draw_inputs
from netdsl.verify.locate import first_difference
from netdsl.verify.sizes import choose
from netdsl.verify.stress import state_of, stress

NETS = (
    ("lenet", "LeNet5"), ("unet", "UNet"), ("resnet_cifar", "ResNet20"), ("resnet", "ResNet18"),
    ("mobilenet_v3", "MobileNetV3_Small"), ("shufflenet_v2", "ShuffleNetV2_x1"), ("squeezenet", "SqueezeNet"),
    ("convnext", "ConvNeXt_T"), ("vit", "DeiT_Ti"), ("swin", "Swin_T"),
)  # fmt: skip
SMALL: dict[str, dict[str, Any]] = {"UNet": {"depth": 2, "width": 8}}


def weight(model: ModelProto, node: NodeProto) -> None:
    """Every seventh number of a weight is another one."""
    tensor = next(t for t in model.graph.initializer if t.name == node.input[1])
    array = numpy_helper.to_array(tensor).copy()
    array.flat[::7] += np.abs(array).max()
    tensor.raw_data = array.tobytes()


def bias(model: ModelProto, node: NodeProto) -> None:
    """A bias is missing."""
    del node.input[2:]


def activation(model: ModelProto, node: NodeProto) -> None:
    """Another activation stands in its place."""
    node.op_type = "Sigmoid" if node.op_type != "Sigmoid" else "Tanh"
    del node.attribute[:]


WEIGHTED, BIASED = ("Conv", "Gemm", "MatMul"), ("Conv", "Gemm")
ACTIVATIONS = ("Relu", "HardSwish", "HardSigmoid", "Softmax", "Erf", "Sigmoid", "Tanh")
FAULTS: dict[str, tuple[Callable[[ModelProto, NodeProto], None], Callable[[NodeProto], bool]]] = {
    "weight": (weight, lambda n: n.op_type in WEIGHTED and n.input[1].endswith((".weight", ".folded"))),
    "bias": (bias, lambda n: n.op_type in BIASED and len(n.input) == 3),
    "activation": (activation, lambda n: n.op_type in ACTIVATIONS),
}


def named(program: Program, fault: str) -> None:
    plant, fits = FAULTS[fault]
    point = choose(program)[0]
    inputs = draw_inputs(program, point.batch, point.named, 0)
    state = state_of(stress(program, module_of(program), inputs))  # no signal vanishes
    expected, model = export(program, state), export(program, state)
    places = [n for n in model.graph.node if fits(n)]
    feed = {v.name: x.numpy() for v, x in zip(program.main.inputs, inputs, strict=True)}
    assert first_difference(model, expected, feed, 1e-5) is None
    node = places[len(places) // 2]
    plant(model, node)
    found = first_difference(model, expected, feed, 1e-5)
    assert found is not None
    assert found.node == node.name
    assert found.difference > 1e-5


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("file", "net"), NETS[:3], ids=[n for _, n in NETS[:3]])
def test_the_layer_is_named(file: str, net: str, fault: str) -> None:
    named(zoo(file, net, **SMALL.get(net, {})), fault)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(("file", "net"), NETS[3:], ids=[n for _, n in NETS[3:]])
def test_the_layer_is_named_in_larger_nets(file: str, net: str, fault: str) -> None:
    named(zoo(file, net), fault)
