"""Workarounds for bugs of onnxruntime and of quantizers: equivalent nodes that they compute correctly."""

from __future__ import annotations

import numpy as np

from netdsl.backends.onnx.graph import Finished, GraphNode
from netdsl.backends.onnx.rewrite import Rewriter

NEARLY_ZERO = 2.0**-126
"""The smallest normal float32."""


def guard(graph: Finished) -> Finished:
    """The graph in forms that onnxruntime's optimiser and quantisers do not break."""
    return Rewriter(graph).run(
        lambda rewriter, node: _pad_before_maxpool(rewriter, node) or _shared_gemm(rewriter, node)
    )


def _shared_gemm(rewriter: Rewriter, node: GraphNode) -> bool:
    """A transposed weight that several Gemms read: onnxruntime's dynamic quantiser would transpose it once for each."""
    if node.op_type != "Gemm" or not node.attribute("transB") or rewriter.readers[node.inputs[1]] < 2:
        return False
    name = node.inputs[1]
    turned = f"{name}.transposed" if name.endswith(".folded") else f"{name}.folded"
    weight = rewriter.constant(np.asarray(rewriter.graph.initialisers[name]).T, turned)
    others = tuple(a for a in node.attributes if a[0] != "transB")
    rewriter.op(node, "Gemm", node.inputs[0], weight, *node.inputs[2:], out=node.outputs[0], **dict(others))
    return True


def _pad_before_maxpool(rewriter: Rewriter, node: GraphNode) -> bool:
    """Zeros around an image before a max pool: onnxruntime from 1.17 on (and onnxsim) moves them into the pool,
    which pads with -inf; other numbers are left where they are."""
    pooled = any(user.op_type == "MaxPool" for user in rewriter.users.get(node.outputs[0], []))
    if node.op_type != "Pad" or not pooled or (node.attribute("mode") or "constant") != "constant":
        return False
    if len(node.inputs) > 2 and np.any(rewriter.initialisers.get(node.inputs[2], 1)):
        return False
    value = rewriter.constant(np.asarray(NEARLY_ZERO, "float32"))
    axes = node.inputs[3:]
    rewriter.op(node, "Pad", *node.inputs[:2], value, *axes, out=node.outputs[0], **dict(node.attributes))
    return True
