"""ONNX files: their nodes, numbers and inputs as plain values, or why they cannot be lifted."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import onnx
from msgspec import Struct
from onnx import ModelProto, helper, inliner, numpy_helper

from netdsl.lift.model import LiftError

CONTROL_FLOW = ("If", "Loop", "Scan", "SequenceMap")
DOMAINS = ("", "ai.onnx")
KINDS = frozenset(onnx.TensorProto.DataType.values()) - {onnx.TensorProto.UNDEFINED}
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
        """The name in messages."""
        name = self.name or next(filter(None, self.outputs), "")
        return f"{name} ({self.op_type})" if name else self.op_type

    def get(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)


class Input(Struct, frozen=True):
    """An input of a file, with the batch: a size is a number or a name."""

    name: str
    sizes: tuple[int | str, ...]
    dtype: str


class File(Struct, frozen=True, eq=False):
    """The contents of a file. `arrays`: its initialisers by name."""

    nodes: tuple[Node, ...]
    arrays: Mapping[str, Any]
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    opset: int


def file_of(model: ModelProto) -> File:
    """Read an ONNX model. Raises LiftError."""
    model = _without_functions(model)
    opset = next((i.version for i in model.opset_import if i.domain in DOMAINS), 0)
    if opset not in OPSETS:
        raise LiftError(f"opset {opset} is not one of {OPSETS[0]} to {OPSETS[-1]}")
    graph = model.graph
    if graph.sparse_initializer:
        raise LiftError("sparse weights are not read", graph.sparse_initializer[0].values.name)
    arrays = {t.name: _array(t) for t in graph.initializer}
    inputs = tuple(_input(v) for v in graph.input if v.name not in arrays)
    if not inputs:
        raise LiftError("the graph has no input")
    nodes = tuple(_node(n, opset) for n in graph.node)
    return File(nodes, arrays, inputs, _outputs(graph), opset)


def _without_functions(model: ModelProto) -> ModelProto:
    """The model with its functions written out where they are called."""
    if not model.functions:
        return model
    try:
        return inliner.inline_local_functions(model)
    except Exception as error:  # onnx raises whatever its checker meets
        raise LiftError(f"its functions cannot be written out: {str(error).splitlines()[0]}") from None


def _outputs(graph: onnx.GraphProto) -> tuple[str, ...]:
    names = tuple(v.name for v in graph.output)
    if not names:
        raise LiftError("the graph has no output")
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice is not None:
        raise LiftError(f"it has several outputs `{twice}`")
    return names


def _array(tensor: onnx.TensorProto) -> Any:
    try:
        array = numpy_helper.to_array(tensor)
    except Exception as error:  # onnx raises whatever its decoder meets
        raise LiftError(f"the weight `{tensor.name}` cannot be read: {error}") from None
    if array.dtype.kind not in "fiubV":
        raise LiftError(f"the weight `{tensor.name}` is of {array.dtype}")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise LiftError(f"the weight `{tensor.name}` holds values that are no numbers (NaN)")
    return array.astype("float32") if array.dtype.name in ("float16", "bfloat16") else array


def _input(value: onnx.ValueInfoProto) -> Input:
    kind = value.type.tensor_type
    if not value.type.HasField("tensor_type") or not kind.HasField("shape"):
        raise LiftError(f"the input `{value.name}` has no shape", hint="onnx.shape_inference, or export it again")
    sizes = tuple(d.dim_value if d.HasField("dim_value") else d.dim_param for d in kind.shape.dim)
    if kind.elem_type not in KINDS:
        raise LiftError(f"the input `{value.name}` has no type of numbers that is known ({kind.elem_type})")
    return Input(value.name, sizes, np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type)).name)


def _node(proto: onnx.NodeProto, opset: int) -> Node:
    node = Node(proto.op_type, proto.name, tuple(proto.input), tuple(proto.output), {})
    if proto.domain not in DOMAINS:
        raise LiftError(f"nodes of the domain `{proto.domain}` are not known", node.label)
    if proto.op_type in CONTROL_FLOW:
        hint = "export it with fixed choices: the graph may branch only over what is known when it is built"
        raise LiftError("control flow has no form in a spec", node.label, hint)
    attributes = {a.name: _attribute(a, node, opset) for a in proto.attribute}
    return Node(proto.op_type, proto.name, tuple(proto.input), tuple(proto.output), attributes)


def _attribute(attribute: onnx.AttributeProto, node: Node, opset: int) -> Any:
    """An attribute's value. Raises LiftError for another kind of value than the operator has under this name."""
    wanted = _kinds(node.op_type, opset)
    if wanted is not None and attribute.name not in wanted:
        raise LiftError(f"it has no attribute `{attribute.name}` in opset {opset}", node.label)
    if wanted is not None and attribute.type != wanted[attribute.name]:
        kinds = onnx.AttributeProto.AttributeType
        found = f"{kinds.Name(attribute.type)}, which should be {kinds.Name(wanted[attribute.name])}"
        raise LiftError(f"its attribute `{attribute.name}` is of the kind {found}", node.label)
    try:
        return _value(helper.get_attribute_value(attribute))
    except Exception as error:  # onnx raises whatever its decoder meets
        raise LiftError(f"its attribute `{attribute.name}` cannot be read: {error}", node.label) from None


@cache
def _kinds(op_type: str, opset: int) -> Mapping[str, int] | None:
    """The kinds of an operator's attributes, as numbers of `AttributeProto.AttributeType`; None for an unknown one."""
    try:
        found = onnx.defs.get_schema(op_type, opset, "")
    except onnx.defs.SchemaError:
        return None
    types: Mapping[str, Any] = {name: a.type for name, a in found.attributes.items()}
    return {name: kind.value for name, kind in types.items()}


def _value(value: Any) -> Any:
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, int | float):
        return value
    return tuple(v.decode(errors="replace") if isinstance(v, bytes) else v for v in value)
