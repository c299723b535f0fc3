"""The memory layout of images for each runtime target.

`onnxruntime` keeps norms over channels between two transposes and pointwise layers as 1x1 convolutions; `portable` runs
pointwise layers as matrix products while the channels are last; `openvino` norms over the channels where they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from netdsl.backends.onnx.graph import Finished, GraphNode
from netdsl.backends.onnx.rewrite import Rewriter, cancel
from netdsl.backends.onnx.squeeze_excite import POINTWISE, with_gates_in_place

TARGETS = ("onnxruntime", "portable", "openvino")


def for_target(graph: Finished, target: str) -> Finished:
    """The graph in the form that runs best on a target."""
    graph = with_gates_in_place(graph)
    if target == "portable":
        graph = Rewriter(graph).run(_sink)
    if target == "openvino":
        graph = Rewriter(graph).run(_norm_in_place)
    return cancel(graph)


def _sink(rewriter: Rewriter, node: GraphNode) -> bool:
    """Move a transpose that brings the channels back to the front behind a pointwise node or a 1x1 convolution."""
    data = [i for i in node.inputs if not _is_scalar(rewriter.graph.initialisers, i)]
    if node.op_type == "Conv":
        data = data[:1]
    backs = [rewriter.by_output.get(i) for i in data]
    if not backs or any(b is None or not _to_front(b) for b in backs) or not all(_sinks(rewriter, i) for i in data):
        return False
    last = {i: b.inputs[0] for i, b in zip(data, backs, strict=True) if b is not None}
    perm = backs[0].attribute("perm") if backs[0] else ()
    if node.op_type == "Conv":
        result = _matmul(rewriter, node, last[data[0]])
    else:
        result = rewriter.op(node, node.op_type, *(last.get(i, i) for i in node.inputs), **dict(node.attributes))
    rewriter.op(node, "Transpose", result, out=node.outputs[0], perm=perm)
    return True


def _sinks(rewriter: Rewriter, name: str) -> bool:
    """Whether every reader of a value can work with the channels last."""
    readers = rewriter.users.get(name, [])
    initialisers = rewriter.graph.initialisers
    can = all(n.op_type in POINTWISE or _is_pointwise_conv(initialisers, n) for n in readers)
    return can and name not in rewriter.outputs


def _to_front(node: GraphNode) -> bool:
    """Whether it is a transpose that moves the last axis to the place of the channels."""
    perm = node.attribute("perm")
    return node.op_type == "Transpose" and len(perm) > 2 and tuple(perm) == (0, len(perm) - 1, *range(1, len(perm) - 1))


def _is_scalar(initialisers: Mapping[str, Any], name: str) -> bool:
    return name in initialisers and initialisers[name].ndim == 0


def _is_pointwise_conv(initialisers: Mapping[str, Any], node: GraphNode) -> bool:
    if node.op_type != "Conv" or node.inputs[1] not in initialisers:
        return False
    plain = all(set(node.attribute(n) or (d,)) == {d} for n, d in (("strides", 1), ("pads", 0), ("dilations", 1)))
    kernel = initialisers[node.inputs[1]].shape[2:]
    return plain and set(kernel) == {1} and (node.attribute("group") or 1) == 1


def _matmul(rewriter: Rewriter, conv: GraphNode, data: str) -> str:
    """A 1x1 convolution on channels that are last."""
    name = conv.inputs[1]
    weight = rewriter.initialisers[name]
    matrix = np.asarray(weight).reshape(weight.shape[:2]).T
    folded = f"{name}.matrix" if name.endswith(".folded") else f"{name}.folded"
    product = rewriter.op(conv, "MatMul", data, rewriter.constant(matrix, folded))
    return rewriter.op(conv, "Add", product, conv.inputs[2]) if len(conv.inputs) > 2 else product


def _norm_in_place(rewriter: Rewriter, node: GraphNode) -> bool:
    """LayerNormalization between two transposes as sums over the channels where they are."""
    if not _to_front(node):
        return False
    norm = rewriter.by_output.get(node.inputs[0])
    if norm is None or norm.op_type != "LayerNormalization" or rewriter.readers[norm.outputs[0]] > 1:
        return False
    there = rewriter.by_output.get(norm.inputs[0])
    if there is None or there.op_type != "Transpose" or not _inverse(there, node):
        return False
    _channel_norm(rewriter, node, norm, there.inputs[0])
    return True


def _inverse(first: GraphNode, second: GraphNode) -> bool:
    perm = first.attribute("perm")
    return tuple(perm[a] for a in second.attribute("perm")) == tuple(range(len(perm)))


def _channel_norm(rewriter: Rewriter, node: GraphNode, norm: GraphNode, x: str) -> None:
    mean = _channel_mean(rewriter, node, x)
    centred = rewriter.op(node, "Sub", x, mean)
    variance = _channel_mean(rewriter, node, rewriter.op(node, "Mul", centred, centred))
    epsilon = rewriter.constant(np.asarray(norm.attribute("epsilon"), "float32"))
    deviation = rewriter.op(node, "Sqrt", rewriter.op(node, "Add", variance, epsilon))
    y = rewriter.op(node, "Div", centred, deviation)
    for op_type, name in zip(("Mul", "Add"), norm.inputs[1:], strict=False):
        array = np.asarray(rewriter.initialisers[name])
        column = array.reshape(-1, *(1,) * (len(node.attribute("perm")) - 2))
        y = rewriter.op(node, op_type, y, rewriter.constant(column, f"{name}.folded"))
    rewriter.same(node.outputs[0], y)


def _channel_mean(rewriter: Rewriter, node: GraphNode, x: str) -> str:
    """Axes are an attribute of ReduceMean before opset 18, an input from there on."""
    if rewriter.graph.opset < 18:
        return rewriter.op(node, "ReduceMean", x, axes=(1,), keepdims=1)
    return rewriter.op(node, "ReduceMean", x, rewriter.constant(np.asarray([1], "int64")), keepdims=1)
