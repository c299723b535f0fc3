"""ONNX files: their nodes, numbers and inputs as plain values, or why they cannot be lifted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from msgspec import Struct
from onnx import ModelProto, helper, inliner, numpy_helper

from netdsl.lift.model import LiftError

CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")
DOMAINS = ("", "ai.onnx")
OPSETS = range(7, 27)
"""The opsets that are understood: before 7, broadcasting was another."""


class Node(Struct, frozen=True, eq=False):
    """A node. An input that is left out is `""`; attributes are Python's numbers, texts, tuples and arrays."""

    op_type: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return f"{self.name} ({self.op_type})" if self.name else f"{self.outputs[0]} ({self.op_type})"

    def get(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)


class Input(Struct, frozen=True):
    """An input of a file, with the batch: a size is a number or a name."""

    name: str
    sizes: tuple[int | str, ...]
    dtype: str


class File(Struct, frozen=True, eq=False):
    """What a file holds. `arrays`: its initialisers by name."""

    nodes: tuple[Node, ...]
    arrays: Mapping[str, Any]
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    opset: int
    metadata: Mapping[str, str]


def read(path: str) -> tuple[ModelProto, File]:
    """A model and what it holds. Raises OSError, UserError for what is no model, LiftError for what is refused."""
    from netdsl.backends.onnx.file import load

    if os.path.isdir(path):
        raise IsADirectoryError(21, os.strerror(21), path)
    model = load(path)
    return model, file_of(model)


def file_of(model: ModelProto) -> File:
    """What a model holds. Raises LiftError."""
    if model.functions:
        model = inliner.inline_local_functions(model)
    opset = next((i.version for i in model.opset_import if i.domain in DOMAINS), 0)
    if opset not in OPSETS:
        raise LiftError(f"opset {opset} is not one of {OPSETS[0]} to {OPSETS[-1]}")
    graph = model.graph
    if graph.sparse_initializer:
        raise LiftError("sparse weights are not read", graph.sparse_initializer[0].values.name)
    arrays = {t.name: _array(t) for t in graph.initializer}
    inputs = tuple(_input(v) for v in graph.input if v.name not in arrays)
    nodes = tuple(_node(n) for n in graph.node)
    return File(nodes, arrays, inputs, tuple(v.name for v in graph.output), opset, _metadata(model))


def _metadata(model: ModelProto) -> dict[str, str]:
    return {p.key: p.value for p in model.metadata_props}


def _array(tensor: onnx.TensorProto) -> Any:
    try:
        array = numpy_helper.to_array(tensor)
    except Exception as error:  # onnx raises whatever its decoder meets
        raise LiftError(f"the weight `{tensor.name}` cannot be read: {error}") from None
    return array.astype("float32") if array.dtype.name in ("float16", "bfloat16") else array


def _input(value: onnx.ValueInfoProto) -> Input:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        raise LiftError(f"the input `{value.name}` has no shape", hint="onnx.shape_inference, or export it again")
    sizes = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param for d in kind.shape.dim)
    return Input(value.name, sizes, np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)).name)


def _node(proto: onnx.NodeProto) -> Node:
    node = Node(proto.op_type, proto.name, tuple(proto.input), tuple(proto.output), {})
    if proto.domain not in DOMAINS:
        raise LiftError(f"nodes of the domain `{proto.domain}` are not known", node.label)
    if proto.op_type in CONTROL_FLOW:
        hint = "export it with fixed choices: the graph may branch only over what is known when it is built"
        raise LiftError("control flow has no form in a spec", node.label, hint)
    attributes = {a.name: _attribute(a) for a in proto.attribute}
    return Node(proto.op_type, proto.name, tuple(proto.input), tuple(proto.output), attributes)


def _attribute(attribute: onnx.AttributeProto) -> Any:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, int | float):
        return value
    return tuple(v.decode(errors="replace") if isinstance(v, bytes) else v for v in value)
