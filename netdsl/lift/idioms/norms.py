"""Norms in parts: LayerNorm in nine nodes, RMSNorm in six."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from netdsl.lift.idioms.engine import Net, Rule, pattern_rule
from netdsl.lift.model import Call
from netdsl.lift.rules.features import last
from netdsl.ops import REGISTRY


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
            made = net.source(found[name], "param")
            if made is None:
                return None
            arrays[name] = made.weights[""].reshape(-1)
            if arrays[name].size != x.type.shape[-1]:
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

NORMS: dict[str, tuple[Rule, ...]] = {
    "add": (_layernorm,),
    "mul": tuple(pattern_rule(p, _rms) for p in RMS),
}
