"""The types of the values in a graph: its inputs and outputs, and what flows between its nodes.

Viewers show the latter on edges, and quantisers ask for them. What an op of the net gives has the type that the net
says, named sizes included; the nodes within an op are left to onnx's shape inference. Weights are not among them:
onnxruntime's dynamic quantiser fails on files that list them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import onnx
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from netdsl.backends.onnx.graph import SMALL, Finished
from netdsl.ir.model import Value
from netdsl.sizes.dims import Dim

NAMES = {"float32": "FLOAT", "float64": "DOUBLE"}


def element_type(dtype: str) -> int:
    """ONNX's number of a dtype."""
    return int(TensorProto.DataType.Value(NAMES.get(dtype, dtype.upper())))


def batch_name(inputs: tuple[Value, ...]) -> str:
    """The name of the batch axis: `N`, unless the net has a size of that name."""
    return "batch" if any("N" in v.type.names for v in inputs) else "N"


def type_of(name: str, value: Value, batch: str, stored: tuple[int, ...] | None = None) -> ValueInfoProto:
    """The type of a value; `stored`: the shape of numbers that are in the file."""
    element, shape = element_type(value.type.dtype), value.type.shape
    if stored is not None:
        return helper.make_tensor_value_info(name, element, stored)
    if len(shape) > 1 and not value.type.batched:
        shape = (1, *shape)
    return helper.make_tensor_value_info(name, element, _sizes(shape, batch if value.type.batched else None))


def _sizes(shape: Iterable[Dim], batch: str | None) -> list[int | str]:
    sizes = [s if isinstance(s, int) else str(s) for s in shape]
    return [batch, *sizes] if batch else sizes


def add_types(model: ModelProto, graph: Finished, batch: str) -> None:
    """Add the types of the values between nodes, in their order, to a model that has its nodes and not yet weights."""
    known = {o.name for o in model.graph.output}
    between = [name for node in graph.nodes for name in node.outputs if name not in known]
    said = {n: type_of(n, graph.results[n], batch) for n in between if _has_type(graph.results.get(n))}
    bare = _without_weights(model, graph)
    _cut(bare, said)
    inferred = _inferred(bare)
    if reshaped := _of_reshapes(graph, inferred, said, batch):
        bare.graph.value_info.extend(reshaped.values())
        said, inferred = said | reshaped, _inferred(bare)
    _settle_outputs(model, graph, inferred)
    types = dict(filter(lambda item: _is_known(item[1]), inferred.items())) | said
    model.graph.value_info.extend(types[n] for n in between if n in types)


def _cut(bare: ModelProto, said: Mapping[str, ValueInfoProto]) -> None:
    """Have inference start behind each value whose type is said: onnx's rule for Einsum takes one size for another
    and what it infers wins over what is said."""
    for node in bare.graph.node:
        for i, name in enumerate(node.output):
            if name in said:
                node.output[i] = f"{name}.inferred"
    bare.graph.input.extend(said.values())


def _has_type(value: Value | None) -> bool:
    """Whether the net says how the file holds a value: vectors may go without the axis of samples."""
    return value is not None and (value.type.batched or len(value.type.shape) > 1)


def _settle_outputs(model: ModelProto, graph: Finished, inferred: Mapping[str, ValueInfoProto]) -> None:
    for output in model.graph.output:
        if _is_loose(graph.results.get(output.name)) and _is_known(inferred[output.name]):
            output.CopyFrom(inferred[output.name])


def _is_loose(value: Value | None) -> bool:
    """Whether an output is a vector that is the same for every sample: with an axis of samples or without, as made."""
    return value is not None and not _has_type(value) and len(value.type.shape) == 1


def _of_reshapes(
    graph: Finished, found: Mapping[str, ValueInfoProto], said: Collection[str], batch: str
) -> dict[str, ValueInfoProto]:
    """The shapes behind nodes within an op that reshape to named sizes: onnx's inference does not work them out."""
    types = {}
    for name, (shape, batched) in graph.reshaped.items():
        if name in found and name not in said and not _is_known(found[name]):
            element = found[name].type.tensor_type.elem_type
            types[name] = helper.make_tensor_value_info(name, element, _sizes(shape, batch if batched else None))
    return types


def _inferred(bare: ModelProto) -> dict[str, ValueInfoProto]:
    """The shapes that onnx's inference finds for the values between nodes and for the outputs."""
    graph = onnx.shape_inference.infer_shapes(bare, data_prop=True).graph
    return {v.name: v for v in (*graph.value_info, *graph.output)}


def _is_known(value: ValueInfoProto) -> bool:
    """Whether all sizes are; onnx gives one that it does not know no name, or one of its own."""
    sizes = value.type.tensor_type.shape.dim
    return all(s.HasField("dim_value") or (s.dim_param and not s.dim_param.startswith("unk__")) for s in sizes)


def _without_weights(model: ModelProto, graph: Finished) -> ModelProto:
    """A model for shape inference. Large weights go by their type: only the numbers of small ones, such as those of a
    shape, mean anything to it."""
    bare = ModelProto()
    bare.CopyFrom(model)
    for output in bare.graph.output:
        if _is_loose(graph.results.get(output.name)):
            output.type.tensor_type.ClearField("shape")
    for name, array in graph.initialisers.items():
        element = element_type(array.dtype.name)
        if array.dtype.kind == "i" or array.size <= SMALL:
            bare.graph.initializer.add(name=name, data_type=element, dims=array.shape, raw_data=array.tobytes())
        else:
            bare.graph.input.append(helper.make_tensor_value_info(name, element, array.shape))
    return bare
