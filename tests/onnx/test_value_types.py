"""The types of the values between nodes: of every one, as onnx's shape inference and onnxruntime find them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
import zoo_tables
from onnx import ModelProto, helper
from onnx_nets import compiled, made, zoo

from netdsl.backends.onnx.session import Session
from netdsl.ir.model import Program
from netdsl.verify.inputs import draw_inputs
from netdsl.verify.sizes import choose

QUICK = {
    "unet": zoo("unet", "UNet", depth=2, width=8),
    "resnet": zoo("resnet_cifar", "ResNet20"),
    "transformer": compiled(
        "net Net { input x [L, 8]\n layernorm -> attention(2) -> linear(16) -> gelu -> linear(8) }"
    ),
    "windows": compiled("net Net { input x [8, 8, 8]\n windows(4) -> attention(2) -> unwindows(8, 8) -> gmp }"),
    "groupnorm": compiled("net Net { input x [4, H, W]\n conv(8, 3) -> groupnorm(2) -> upsample(2) -> avgpool(2) }"),
    "gate": compiled(
        "net Net { input x [4, 8, 8]\n it * (gap -> linear(2) -> relu -> linear(4) -> sigmoid)\n conv(3, 3) -> gap }"
    ),
    "recurrent": compiled("net Net { input x [L, 8]\n lstm(6, bidirectional=true) -> layernorm -> linear(3) }"),
}


def sizes_of(value: onnx.ValueInfoProto) -> list[int | str]:
    """The sizes of a value; an empty name where one is not known."""
    return [d.dim_value if d.HasField("dim_value") else d.dim_param for d in value.type.tensor_type.shape.dim]


def hold(program: Program, opset: int = 18) -> None:
    """Every value has a type; what onnx infers without it is the same, and so is what flows in onnxruntime."""
    model = made(program, opset=opset)
    said = {v.name: v for v in model.graph.value_info}
    given = {o.name for o in model.graph.output}
    assert list(said) == [o for n in model.graph.node for o in n.output if o not in given]
    _as_inferred(model, said)
    _as_run(model, program, said)


def _as_inferred(model: ModelProto, said: dict[str, Any]) -> None:
    bare = ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    for value in onnx.shape_inference.infer_shapes(bare, data_prop=True).graph.value_info:
        ours, theirs = sizes_of(said[value.name]), sizes_of(value)
        assert said[value.name].type.tensor_type.elem_type == value.type.tensor_type.elem_type
        assert len(ours) == len(theirs), value.name
        for a, b in zip(ours, theirs, strict=True):
            assert a == b or not b or str(b).startswith("unk__"), (value.name, ours, theirs)


def _as_run(model: ModelProto, program: Program, said: dict[str, Any]) -> None:
    point = choose(program)[-1]
    names = {"N": point.batch, "batch": point.batch, **point.named}
    inputs = draw_inputs(program, point.batch, point.named, 0)
    feed = {v.name: x.numpy() for v, x in zip(program.main.inputs, inputs, strict=True)}
    model.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in said)
    found = Session(model.SerializeToString(), optimised=False).run(feed)
    for name, value in said.items():
        sizes = [eval(s, dict(names)) if isinstance(s, str) else s for s in sizes_of(value)]
        assert list(found[name].shape) == sizes, (name, sizes_of(value))
        assert helper.np_dtype_to_tensor_dtype(np.dtype(found[name].dtype)) == value.type.tensor_type.elem_type


@pytest.mark.parametrize("net", QUICK)
@pytest.mark.parametrize("opset", [17, 26])
def test_every_value_has_its_type(net: str, opset: int) -> None:
    hold(QUICK[net], opset)


def test_files_grow_little() -> None:
    """Less than 100 bytes for a node, names included."""
    model = made(QUICK["unet"])
    assert sum(len(v.SerializeToString()) for v in model.graph.value_info) <= 100 * len(model.graph.node)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n, facts in zoo_tables.entries().items() if not facts.get("slow")])
def test_every_value_of_the_zoo_has_its_type(name: str) -> None:
    hold(zoo_tables.net(name).checked)


@pytest.mark.parametrize("op", ["reduce_std(axis=0)", "take(0) -> square"])
def test_an_output_that_is_the_same_for_every_sample_has_the_rank_it_has(op: str) -> None:
    """A vector of a learnt table: with the table's axis of samples."""
    program = compiled(f"net Net {{ input x [6]\n q = param((6, 6), init=normal)\n q\n {op} }}")
    model = made(program)
    onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True)
    assert sizes_of(model.graph.output[0]) == [1, 6]
