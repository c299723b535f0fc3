"""A finished graph as an ONNX protobuf: everything is in a fixed order, so that equal graphs are equal bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto

from netdsl.backends.onnx.graph import Finished, GraphNode
from netdsl.backends.onnx.names import name_nodes
from netdsl.backends.onnx.shapes import add_types, batch_name, element_type, type_of
from netdsl.backends.onnx.weights import ExportError
from netdsl.syntax.words import WORD

IR_VERSIONS = {17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12, 25: 13, 26: 13}
"""The IR version that was current with each opset: a newer stamp would be refused by the runtimes of that time. The
newest opset is that of onnxruntime 1.31."""

AS_TYPED: dict[int, Callable[[Any], Any]] = {
    AttributeProto.INT: int,
    AttributeProto.FLOAT: float,
    AttributeProto.TENSOR: lambda value: onnx.numpy_helper.from_array(np.asarray(value)),
}
"""A value in the form that an attribute of a type takes, where ops give others: truth values, whole numbers, arrays."""


def to_proto(
    graph: Finished, name: str, metadata: Mapping[str, Any], doc: str = "", constraints: Sequence[str] = ()
) -> ModelProto:
    """The model. `metadata`: texts, or values that are written as JSON. The doc string of an input says which
    `constraints` its sizes are under."""
    stored = {label: graph.initialisers[v].shape for label, v, _ in graph.outputs if v in graph.initialisers}
    graph, names = name_nodes(graph)
    model = ModelProto(ir_version=IR_VERSIONS[graph.opset], producer_name="netdsl", doc_string=doc)
    model.producer_version = str(metadata.get("netdsl_version", ""))
    model.opset_import.add(domain="", version=graph.opset)
    proto = model.graph
    proto.name = name
    batch = batch_name(graph.inputs)
    for value in graph.inputs:
        proto.input.add().CopyFrom(type_of(value.name, value, batch))
        proto.input[-1].doc_string = ", ".join(c for c in constraints if value.type.names & set(WORD.findall(c)))
    for label, _, value in graph.outputs:
        proto.output.add().CopyFrom(type_of(label, value, batch, stored.get(label)))
    for node, label in zip(graph.nodes, names, strict=True):
        _add_node(proto, node, label, graph.opset)
    add_types(model, graph, batch)
    for key, array in graph.initialisers.items():
        _add_tensor(proto, key, array)
    annotate(model, metadata)
    return model


def annotate(model: ModelProto, metadata: Mapping[str, Any]) -> None:
    """Add entries to a model's metadata; entries are sorted, values that are not text are JSON with sorted keys."""
    entries = {p.key: p.value for p in model.metadata_props}
    entries |= {k: v if isinstance(v, str) else _json(v) for k, v in metadata.items()}
    del model.metadata_props[:]
    for key in sorted(entries):
        model.metadata_props.add(key=key, value=entries[key])


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _add_tensor(proto: onnx.GraphProto, name: str, array: Any) -> None:
    tensor = proto.initializer.add(name=name, data_type=element_type(array.dtype.name), raw_data=array.tobytes())
    tensor.dims.extend(array.shape)


def _add_node(proto: onnx.GraphProto, node: GraphNode, name: str, opset: int) -> None:
    added = proto.node.add(op_type=node.op_type, name=name)
    added.input.extend(node.inputs)
    added.output.extend(node.outputs)
    types = _attribute_types(node.op_type, opset)
    for key, value in node.attributes:
        if key not in types:
            raise ExportError("opset", f"{node.op_type} has no attribute `{key}` in opset {opset}")
        written = AS_TYPED[types[key]](value) if types[key] in AS_TYPED else value
        added.attribute.append(onnx.helper.make_attribute(key, written, attr_type=types[key]))


@cache
def _attribute_types(op_type: str, opset: int) -> dict[str, int]:
    """The types of a node's attributes, so that a whole number given for a real one is written as a real one."""
    try:
        schema = onnx.defs.get_schema(op_type, opset)
    except onnx.defs.SchemaError:
        raise ExportError("opset", f"opset {opset} has no {op_type}") from None
    return {name: int(a.type.value) for name, a in schema.attributes.items()}  # type: ignore[attr-defined]
