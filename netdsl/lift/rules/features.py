"""Layers over features: matrix products, norms, softmax, embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np

from netdsl.lift.build import Builder, Laid, Rule
from netdsl.lift.read import Node
from netdsl.lift.rules.convolution import rounded
from netdsl.ops import REGISTRY
from netdsl.ops.base import feature_axis
from netdsl.ops.embedding import Embed
from netdsl.ops.linear import Linear
from netdsl.ops.product import MatMul
from netdsl.tensors import TensorType


def last(x: TensorType) -> int | None:
    """The `axis` argument that means the last axis: None where that is what the language takes."""
    return None if feature_axis(x) == x.rank - 1 else -1


def _linear(builder: Builder, x: Laid, weight: Any, bias: Any = None) -> None:
    weights = {"weight": weight} | ({} if bias is None else {"bias": bias})
    builder.apply(Linear(int(weight.shape[0]), bias is not None, last(x.type)), x, weights=weights)


def _gemm(builder: Builder, node: Node) -> None:
    x, weight, bias = builder.tensor(), builder.array(1), builder.array(2, "bias")
    if node.get("transA", 0) or x.rank != 2 or x.batch:
        raise builder.refused("its input is turned")
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    weight = weight if node.get("transB", 0) else weight.T
    if bias is not None:
        bias = np.broadcast_to(bias.reshape(-1) * np.float32(beta), (weight.shape[0],)).copy()
    _linear(builder, x, weight * np.float32(alpha) if alpha != 1 else weight, bias)


def _matmul(builder: Builder, node: Node) -> None:
    if builder.is_array(1):
        x, weight = builder.tensor(), builder.array(1)
        if weight.ndim != 2:
            raise builder.refused(f"a product with fixed numbers of shape {[*weight.shape]}")
        if not x.joined and x.batch == x.rank - 1:
            raise builder.refused("the batch is its last axis")
        _linear(builder, x, weight.T)
        return
    if builder.is_array(0):
        raise builder.refused("a product of fixed numbers with a value")
    a, b = builder.tensor(0), builder.tensor(1)
    if a.layout != b.layout or (not a.joined and a.batch > a.rank - 3):
        raise builder.refused(f"a product of {a.type} and {b.type}")
    builder.apply(MatMul(), a, b)


def _softmax(kind: str) -> Rule:
    def rule(builder: Builder, node: Node) -> None:
        x = builder.tensor()
        old = builder.file.opset < 13
        at = node.get("axis", 1 if old else -1)
        if old and any(s != 1 for s in x.sizes[at % x.rank + 1 :]):
            raise builder.refused("before opset 13 it runs over several axes")
        axis = builder.axis(x, at)
        builder.apply(REGISTRY[kind](axis=None if axis == feature_axis(x.type) else axis - x.type.rank), x)

    return rule


def _layernorm(builder: Builder, node: Node) -> None:
    x, weight, bias = builder.tensor(), builder.array(1), builder.array(2, "bias")
    if builder.axis(x, node.get("axis", -1)) != x.type.rank - 1:
        raise builder.refused("a norm over several axes has no form")
    op = REGISTRY["layernorm"](eps=rounded(node.get("epsilon", 1e-5)), bias=bias is not None, axis=last(x.type))
    builder.apply(op, x, weights={"weight": weight} | ({} if bias is None else {"bias": bias}))


def _rmsnorm(builder: Builder, node: Node) -> None:
    x = builder.tensor()
    if builder.axis(x, node.get("axis", -1)) != x.type.rank - 1:
        raise builder.refused("a norm over several axes has no form")
    op = REGISTRY["rmsnorm"](eps=rounded(node.get("epsilon", 1e-5)), axis=last(x.type))
    builder.apply(op, x, weights={"weight": builder.array(1)})


def embedding(builder: Builder, node: Node) -> None:
    """`Gather` of rows of a table by numbers that the net computes."""
    table, x = builder.array(0), builder.tensor(1)
    if node.get("axis", 0) != 0 or table.ndim != 2:
        raise builder.refused("numbers are picked from a table by another axis")
    value = builder.call(Embed(int(table.shape[0]), int(table.shape[1])), x, weights={"weight": table})[0]
    builder.give(value, x)


def _one_hot(builder: Builder, node: Node) -> None:
    x, depth, values = builder.tensor(), builder.array(1), builder.array(2)
    if values.reshape(-1).tolist() != [0, 1] or node.get("axis", -1) not in (-1, x.rank):
        raise builder.refused("other numbers than 0 and 1, or another axis")
    builder.apply(REGISTRY["one_hot"](num_classes=int(depth.reshape(-1)[0])), x)


def _einsum(builder: Builder, node: Node) -> None:
    values = [builder.usual(builder.tensor(i)) for i in range(len(node.inputs))]
    left, _, right = node.get("equation").replace(" ", "").partition("->")
    terms = left.split(",")
    batch = right[:1]
    if not batch.isalpha() or any(not t.startswith(batch) or batch in t[1:] for t in terms):
        raise builder.refused(f"`{node.get('equation')}` does not begin with the batch everywhere")
    pattern = ", ".join(" ".join(t[1:]) for t in terms) + " -> " + " ".join(right[1:])
    builder.apply(REGISTRY["einsum"](pattern=pattern), values[0], *values[1:])


FEATURES: dict[str, Rule] = {
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Softmax": _softmax("softmax"),
    "LogSoftmax": _softmax("log_softmax"),
    "LayerNormalization": _layernorm,
    "RMSNormalization": _rmsnorm,
    "OneHot": _one_hot,
    "Einsum": _einsum,
}
