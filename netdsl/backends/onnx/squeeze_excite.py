"""Channel gates: what is averaged over the image and weighs its channels keeps the image's axes, of size 1.

`Flatten -> Gemm -> ... -> Gemm -> Unsqueeze` between a global pool and a product over the image becomes 1x1
convolutions on `[N, C, 1, 1]`: two nodes less for each squeeze-and-excitation block (Hu et al., 2018).
"""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from netdsl.backends.onnx.graph import Finished, GraphNode
from netdsl.backends.onnx.rewrite import Rewriter

POOLS = frozenset(("GlobalAveragePool", "GlobalMaxPool"))

POINTWISE = frozenset(
    ("Abs", "Add", "Celu", "Clip", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Max",
     "Min", "Mish", "Mul", "Neg", "Pow", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Sub", "Tanh")
)  # fmt: skip
"""Nodes that work on each number, whatever the shape."""


def with_gates_in_place(graph: Finished) -> Finished:
    """The graph with every gate between a global pool and its image in the image's own axes."""
    rewriter = Rewriter(graph)
    ranks = {v.name: v.type.rank for v in graph.inputs} | {name: v.type.rank for name, v in graph.results.items()}
    pooled = {n.outputs[0]: ranks.get(n.inputs[0], 0) - 1 for n in graph.nodes if n.op_type in POOLS}
    axes: dict[str, int] = {}
    for node in graph.nodes:
        if node.op_type == "Flatten" and node.inputs[0] in pooled:
            axes |= _gate(rewriter, node, pooled[node.inputs[0]])

    def rule(rewriter: Rewriter, node: GraphNode) -> bool:
        return node.outputs[0] in axes and _in_place(rewriter, node, axes[node.outputs[0]])

    if not axes:
        return graph
    flat = {name: value for name, value in graph.results.items() if name not in axes}  # the others have more axes now
    return replace(rewriter.run(rule), results=flat)


def _gate(rewriter: Rewriter, flatten: GraphNode, axes: int) -> dict[str, int]:
    """The nodes from a flattened pool to an image of so many axes, by their results, each with that number.

    Nothing where what is flattened goes anywhere else, or gets other axes than those that were pooled.
    """
    inside = {flatten.outputs[0]: flatten}
    pending = [flatten.outputs[0]]
    unsqueezed = set()
    while pending:
        name = pending.pop()
        if name in rewriter.outputs:
            return {}
        for node in rewriter.users.get(name, []):
            if node.op_type == "Unsqueeze":
                unsqueezed.add(_added_axes(rewriter, node))
            elif not _keeps_shape(rewriter, node):
                return {}
            elif node.outputs[0] not in inside:
                pending.append(node.outputs[0])
            inside[node.outputs[0]] = node
    if unsqueezed != {axes} or not all(_is_closed(rewriter, n, inside) for n in inside.values()):
        return {}
    return dict.fromkeys(inside, axes)


def _added_axes(rewriter: Rewriter, unsqueeze: GraphNode) -> int | None:
    """How many axes it adds behind the channels; None where it adds others."""
    axes = rewriter.initialisers.get(unsqueeze.inputs[1])
    if axes is None or list(axes) != list(range(2, 2 + len(axes))):
        return None
    return len(axes)


def _keeps_shape(rewriter: Rewriter, node: GraphNode) -> bool:
    if node.op_type == "Gemm":
        return dict(node.attributes) == {"transB": 1} and node.inputs[1] in rewriter.initialisers
    return node.op_type in POINTWISE


def _is_closed(rewriter: Rewriter, node: GraphNode, inside: dict[str, GraphNode]) -> bool:
    """Whether a node reads nothing but the gate itself, its own weights and single numbers."""
    if node.op_type in ("Flatten", "Unsqueeze", "Gemm"):
        return True
    fixed = rewriter.initialisers
    return all(not i or i in inside or (i in fixed and fixed[i].ndim == 0) for i in node.inputs)


def _in_place(rewriter: Rewriter, node: GraphNode, axes: int) -> bool:
    """One node of a gate, rewritten; False where it stays as it is."""
    if node.op_type in ("Flatten", "Unsqueeze"):
        rewriter.same(node.outputs[0], node.inputs[0])
        return True
    if node.op_type != "Gemm":
        return False
    data, name, *bias = node.inputs
    weight = np.asarray(rewriter.initialisers[name])
    pointwise = f"{name}.pointwise" if name.endswith(".folded") else f"{name}.folded"
    kernel = rewriter.constant(weight.reshape(*weight.shape, *(1,) * axes), pointwise)
    rewriter.op(node, "Conv", data, kernel, *bias, out=node.outputs[0], kernel_shape=(1,) * axes)
    return True
