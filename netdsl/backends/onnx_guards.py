"""What runtimes get wrong, and the forms that they get right."""

from __future__ import annotations

import numpy as np

from netdsl.backends.onnx_graph import Finished, GraphNode
from netdsl.backends.onnx_rewrite import Rewriter

NEARLY_ZERO = 2.0**-126
"""The smallest normal float32."""


def guard(graph: Finished) -> Finished:
    """The graph in forms that no optimisation of onnxruntime breaks."""
    return Rewriter(graph).run(_pad_before_maxpool)


def _pad_before_maxpool(rewriter: Rewriter, node: GraphNode) -> bool:
    """Zeros around a picture before a max pool: onnxruntime 1.17 to 1.31 (and onnxsim) move them into the pool, which
    pads with -inf; other numbers they leave where they are."""
    pooled = any(user.op_type == "MaxPool" for user in rewriter.users.get(node.outputs[0], []))
    if node.op_type != "Pad" or not pooled or (node.attribute("mode") or "constant") != "constant":
        return False
    if len(node.inputs) > 2 and np.any(rewriter.initialisers.get(node.inputs[2], 1)):
        return False
    value = rewriter.constant(np.asarray(NEARLY_ZERO, "float32"))
    axes = node.inputs[3:]
    rewriter.op(node, "Pad", *node.inputs[:2], value, *axes, out=node.outputs[0], **dict(node.attributes))
    return True
