"""Norms in parts: LayerNorm in nine nodes, RMSNorm in six."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec.structs import replace

from netdsl.ir.model import Value
from netdsl.lift.idioms.engine import Net, Rule, pattern_rule
from netdsl.lift.model import Call
from netdsl.lift.rules.convolution import rounded
from netdsl.lift.rules.features import last
from netdsl.ops import REGISTRY
from netdsl.ops.base import feature_axis
from netdsl.ops.featurenorm import L2Normalize
from netdsl.tensors import TensorType


def _over_last(op: Any) -> bool:
    axis = op.axis if isinstance(op.axis, int) else op.axis[0] if op.axis and len(op.axis) == 1 else None
    return axis is not None and op.keepdims


def _adds(op: Any) -> bool:
    return bool(op.operator == "+" and 0 < op.value < 0.01)


MEAN = ("reduce_mean", ("x",), _over_last, "mean")
CENTRED = [("sub", ("x", mean)) for mean in (MEAN, ("expand", (MEAN,)))]


def _spread(centred: str) -> tuple[Any, ...]:
    """The variance of what is centred, and eps. `Mul(x, x)` and `Pow(x, 2)` are squares by now."""
    return ("scalar", (("reduce_mean", (("square", (centred,)),), _over_last, "spread"),), _adds, "eps")


def _is_last(axis: Any, rank: int) -> bool:
    return (axis if isinstance(axis, int) else axis[0]) in (rank - 1, -1)


def _norm(net: Net, call: Call, found: dict[str, Any], kind: str) -> list[Call] | None:
    x = found["x"]
    if not all(_is_last(found[n].op.axis, x.type.rank) for n in ("mean", "spread") if n in found):
        return None
    weight = _learnt(net, found["weight"], x.type, x.type.rank - 1)
    if weight is None:
        return None
    given = {"bias": False} if kind == "layernorm" else {}
    op = REGISTRY[kind](eps=float(found["eps"].op.value), axis=last(x.type), **given)
    return [replace(call, op=op, inputs=(x,), weights={"weight": weight})]


def _divided(centred: str, spread: Any) -> list[Any]:
    root = ("sqrt", (spread,))
    return [("div", (centred, root)), ("mul", (centred, ("reciprocal", (root,))))]


def _normed(net: Net, call: Call, found: dict[str, Any]) -> list[Call] | None:
    """A root-mean-square norm; of a centred value, which is read twice and so matched apart, a layer norm."""
    for pattern in CENTRED:
        inner: dict[str, Any] = {}
        if net.match(found["x"], pattern, inner):
            return _norm(net, call, {**found, **inner}, "layernorm")
    return _norm(net, call, found, "rmsnorm")


NORMED = [("mul", (n, "weight")) for n in _divided("x", _spread("x"))]


def _shifted(net: Net, call: Call) -> list[Call] | None:
    """A layer norm and a learnt number for each feature."""
    for x, other in (call.inputs, call.inputs[::-1]):
        norm = net.source(x, "layernorm")
        op: Any = norm.op if norm is not None else None
        if norm is None or not net.is_single(x) or op.bias or not norm.weights:
            continue
        bias = _learnt(net, other, x.type, x.type.rank - 1 if op.axis == -1 else feature_axis(x.type))
        if bias is not None:
            return [replace(norm, op=replace(op, bias=True), weights={**norm.weights, "bias": bias})]
    return None


def _groupnorm(net: Net, call: Call) -> list[Call] | None:
    """Exporters before opset 21: groups as channels of an instance norm without weights, then the weights."""
    for pattern in GROUPED:
        found: dict[str, Any] = {}
        if net.match(call.outputs[0], pattern, found):
            x, cut, norm = found["x"], found["cut"], found["norm"]
            scale = found.get("scale")
            weight = _gain(scale) if scale is not None else _learnt(net, found["weight"], x.type, 0)
            bias = _learnt(net, found["bias"], x.type, 0)
            is_plain = np.all(norm.weights["weight"] == 1) and not np.any(norm.weights["bias"])
            if weight is None or bias is None or not is_plain or call.outputs[0].type != x.type:
                return None
            if cut.outputs[0].type.rank != 2:
                return None
            op = REGISTRY["groupnorm"](cut.outputs[0].type.shape[0], eps=norm.op.eps)
            return [replace(call, op=op, inputs=(x,), weights={"weight": weight, "bias": bias})]
    return None


def _learnt(net: Net, value: Value, x: TensorType, axis: int) -> Any:
    """The numbers of a learnt tensor that gives each place along one axis of `x` its own; None for another."""
    made = net.source(value)
    if made is not None and made.kind == "expand":
        made = net.source(made.inputs[0])
    if made is None or made.kind != "param":
        return None
    shape = made.outputs[0].type.shape
    if len(shape) == 1:
        shape = tuple(shape[0] if i == feature_axis(x) else 1 for i in range(x.rank))
    is_along = len(shape) == x.rank and all(s == (x.shape[i] if i == axis else 1) for i, s in enumerate(shape))
    return made.weights[""].reshape(-1) if is_along else None


def _gain(scale: Call) -> Any:
    """The numbers of a `scale` of channels; None for one of another axis."""
    op: Any = scale.op
    return scale.weights["gamma"] if op.axis is None or scale.inputs[0].type.rank < 2 else None


INSTANCES = ("reshape", (("instancenorm", (("reshape", ("x",), None, "cut"),), None, "norm"),))
GROUPED = [
    ("add", (("scale", (INSTANCES,), None, "scale"), "bias")),
    ("add", (("mul", (INSTANCES, "weight")), "bias")),
]


def _scaled_batchnorm(net: Net, call: Call) -> list[Call] | None:
    """Caffe's batch norm has no weights; a `Scale` after it, a product and a sum, has them."""
    x, *others = call.inputs
    norm = net.source(x, "bn")
    if norm is None or not net.is_single(x):
        return None
    op: Any = norm.op
    if call.kind == "add" and not op.affine:
        return None  # a shift without a gain: the norm has both or none
    learnt = _gain(call) if call.kind == "scale" else _learnt(net, others[0], x.type, 0)
    if learnt is None:
        return None
    weights = dict(norm.weights)
    if call.kind == "scale":
        weights["weight"], weights["bias"] = weights["weight"] * learnt, weights["bias"] * learnt
    else:
        weights["bias"] = weights["bias"] + learnt
    return [replace(norm, op=replace(op, affine=True), weights=weights)]


LENGTH = ("reduce_l2", ("x",), lambda op: bool(op.keepdims), "length")
UNIT = ("div", ("x", ("clamp", (LENGTH,), lambda op: op.max is None and 0 < op.min < 1, "eps")))


def _unit(net: Net, call: Call, found: dict[str, Any]) -> list[Call] | None:
    """Features of length 1."""
    x, axis = found["x"], found["length"].op.axis
    axis = axis[0] if isinstance(axis, tuple) and len(axis) == 1 else axis
    if not isinstance(axis, int):
        return None
    shown = None if axis % x.type.rank == feature_axis(x.type) else axis
    return [replace(call, op=L2Normalize(rounded(found["eps"].op.min), shown), inputs=(x,))]


NORMS: dict[str, tuple[Rule, ...]] = {
    "div": (pattern_rule(UNIT, _unit),),
    "add": (_shifted, _groupnorm, _scaled_batchnorm),
    "scale": (_scaled_batchnorm,),
    "mul": tuple(pattern_rule(p, _normed) for p in NORMED),
}
