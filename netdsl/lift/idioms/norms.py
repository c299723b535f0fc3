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


def _over_last(op: Any) -> bool:
    axis = op.axis if isinstance(op.axis, int) else op.axis[0] if op.axis and len(op.axis) == 1 else None
    return axis is not None and op.keepdims


def _adds(op: Any) -> bool:
    return bool(op.operator == "+" and 0 < op.value < 0.01)


MEAN = ("reduce_mean", ("x",), _over_last, "mean")
CENTRED = ("sub", ("x", MEAN))


def _spread(centred: str) -> tuple[Any, ...]:
    """The variance of what is centred, and eps. `Mul(x, x)` and `Pow(x, 2)` are squares by now."""
    return ("scalar", (("reduce_mean", (("square", (centred,)),), _over_last, "spread"),), _adds, "eps")


def _is_last(axis: Any, rank: int) -> bool:
    return (axis if isinstance(axis, int) else axis[0]) in (rank - 1, -1)


def _norm(net: Net, call: Call, found: dict[str, Any], kind: str) -> list[Call] | None:
    x = found["x"]
    if not all(_is_last(found[n].op.axis, x.type.rank) for n in ("mean", "spread") if n in found):
        return None
    arrays = {}
    for name in ("weight", "bias"):
        if name in found:
            arrays[name] = _learnt(net, found[name])
            if arrays[name] is None or arrays[name].size != x.type.shape[-1]:
                return None
    given = {} if "weight" in found else {"elementwise_affine": False}
    given |= {"bias": "bias" in found} if kind == "layernorm" and "weight" in found else {}
    op = REGISTRY[kind](eps=float(found["eps"].op.value), axis=last(x.type), **given)
    return [replace(call, op=op, inputs=(x,), weights=arrays)]


def _divided(centred: str, spread: Any) -> list[Any]:
    root = ("sqrt", (spread,))
    return [("div", (centred, root)), ("mul", (centred, ("reciprocal", (root,))))]


def _layernorm(net: Net, call: Call) -> list[Call] | None:
    """The centred value is read twice, so that it is matched apart."""
    for pattern in FORMS:
        found: dict[str, Any] = {}
        if not net.match(call.outputs[0], pattern, found):
            continue
        inner: dict[str, Any] = {}
        if net.match(found["d"], CENTRED, inner):
            return _norm(net, call, {**found, **inner}, "layernorm")
    return None


FORMS = [("add", (("mul", (n, "weight")), "bias")) for n in _divided("d", _spread("d"))]


def _rms(net: Net, call: Call, found: dict[str, Any]) -> list[Call] | None:
    return _norm(net, call, found, "rmsnorm")


RMS = [("mul", (n, "weight")) for n in _divided("x", _spread("x"))]


def _groupnorm(net: Net, call: Call) -> list[Call] | None:
    """Exporters before opset 21: groups as channels of an instance norm without weights, then the weights."""
    for pattern in GROUPED:
        found: dict[str, Any] = {}
        if net.match(call.outputs[0], pattern, found):
            x, cut, norm = found["x"], found["cut"], found["norm"]
            weight = found["scale"].weights["gamma"] if "scale" in found else _learnt(net, found["weight"])
            bias = _learnt(net, found["bias"])
            is_plain = np.all(norm.weights["weight"] == 1) and not np.any(norm.weights["bias"])
            if weight is None or bias is None or not is_plain or call.outputs[0].type != x.type:
                return None
            if cut.outputs[0].type.rank != 2 or not weight.size == bias.size == x.type.shape[0]:
                return None
            op = REGISTRY["groupnorm"](cut.outputs[0].type.shape[0], eps=norm.op.eps)
            return [replace(call, op=op, inputs=(x,), weights={"weight": weight, "bias": bias})]
    return None


def _learnt(net: Net, value: Value) -> Any:
    made = net.source(value, "param")
    return None if made is None else made.weights[""].reshape(-1)


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
    learnt = call.weights["gamma"] if call.kind == "scale" else _learnt(net, others[0])
    if learnt is None or learnt.size != x.type.shape[0] or (others and others[0].type.rank != 1):
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
    "add": (_layernorm, _groupnorm, _scaled_batchnorm),
    "scale": (_scaled_batchnorm,),
    "mul": tuple(pattern_rule(p, _rms) for p in RMS),
}
