"""A program and its weights as an ONNX model, emitted directly from the flat view of the IR."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnx import ModelProto

from netdsl.backends.onnx.fold import Placed, fold, place
from netdsl.backends.onnx.graph import Finished, GraphBuilder
from netdsl.backends.onnx.proto import IR_VERSIONS, to_proto
from netdsl.backends.onnx.tables import stored
from netdsl.backends.onnx.targets import TARGETS, for_target
from netdsl.backends.onnx.weights import FORMLESS, ExportError
from netdsl.backends.onnx.workarounds import guard
from netdsl.ir.flatten import Flat, flatten
from netdsl.ir.limits import limits
from netdsl.ir.model import Program
from netdsl.ops.base import Operand, OpError
from netdsl.ops.tables import Table

OPSETS = tuple(IR_VERSIONS)


def export(
    program: Program,
    weights: Mapping[str, Any],
    *,
    opset: int = 18,
    target: str = "onnxruntime",
    metadata: Mapping[str, Any] | None = None,
    folded: bool = True,
) -> ModelProto:
    """The inference form of a net as an ONNX model.

    `weights`: arrays by state-dict key; keys that only training needs may be there or not. `metadata`: what the model
    says about itself; `folded`: norms and scales go into the layers before them. Equal arguments give equal bytes.
    Raises ExportError for an unknown opset or target, a missing or misshapen weight, and what the opset cannot say.
    """
    if opset not in OPSETS:
        raise ExportError("opset", f"opset {opset} is not one of {OPSETS[0]} to {OPSETS[-1]}")
    if target not in TARGETS:
        raise ExportError("not-exportable", f"target `{target}` is not one of {', '.join(TARGETS)}")
    flat = flatten(program, drop_vanishing=True)
    calls = place(flat, weights)
    if folded:
        calls = fold(calls, tuple(o.value.name for o in flat.outputs))
    graph = guard(for_target(_lowered(flat, calls, opset), target))
    about = {**(metadata or {}), "target": target}
    if taken := limits(flat):
        about["limits"] = taken
    return to_proto(graph, program.main.name, about, program.doc, [str(c) for c in program.constraints])


def _lowered(flat: Flat, calls: tuple[Placed, ...], opset: int) -> Finished:
    """The ONNX nodes of every op call, in order."""
    builder = GraphBuilder(opset, flat.inputs)
    names = {v.name: v.name for v in flat.inputs}
    for call in calls:
        operands = tuple(Operand(names[v.name], v.type) for v in call.inputs)
        builder.begin(call.path, call.weights, tuple(o.name for o in operands if o.type.batched))
        made = _results(call, builder, operands)
        names.update((v.name, str(r)) for v, r in zip(call.outputs, made, strict=True))
    outputs = tuple((o.name, names[o.value.name], o.value) for o in flat.outputs)
    results = {names[v.name]: v for call in calls for v in call.outputs}
    nodes = tuple(builder.nodes)
    return Finished(opset, nodes, builder.initialisers, flat.inputs, outputs, results, builder.reshaped)


def _results(call: Placed, builder: GraphBuilder, operands: tuple[Operand, ...]) -> tuple[Any, ...]:
    if isinstance(call.op, Table):
        return (builder.store(call.layer_path, stored(call.op, call.path, builder.opset)),)
    try:
        result = call.op.onnx(builder, *operands)
    except OpError as error:
        code = error.code if error.code in FORMLESS else "opset"
        raise ExportError(code, f"`{call.path}`: {error.message}") from None
    return result if isinstance(result, tuple) else (result,)
