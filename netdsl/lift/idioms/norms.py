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


def _spread(centred: Any) -> list[Any]:
    squares = [("square", (centred,)), ("mul", (centred, centred)), ("pow", (centred,), lambda op: op.exponent == 2)]
    return [("scalar", (("reduce_mean", (s,), _over_last),), _adds, "eps") for s in squares]


def _norm(net: Net, call: Call, found: dict[str, Any], kind: str) -> list[Call] | None:
    x = found["x"]
    axis = found["mean"].op.axis
    axis = axis if isinstance(axis, int) else axis[0]
    if axis not in (x.type.rank - 1, -1):
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
    return [
        ("div", (centred, root)),
        ("mul", (centred, ("reciprocal", (root,)))),
        ("mul", (centred, ("rsqrt", (spread,)))),
    ]


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


NORMALISED = [d for s in _spread("d") for d in _divided("d", s)]
FORMS = [("add", (("mul", (n, "weight")), "bias")) for n in NORMALISED]


def _rms(net: Net, call: Call, found: dict[str, Any]) -> list[Call] | None:
    return _norm(net, call, found, "rmsnorm")


RMS = [
    ("mul", (n, "weight"))
    for square in (("square", ("x",)), ("mul", ("x", "x")), ("pow", ("x",), lambda op: op.exponent == 2))
    for n in _divided("x", ("scalar", (("reduce_mean", (square,), _over_last, "mean"),), _adds, "eps"))
]

NORMS: dict[str, tuple[Rule, ...]] = {
    "add": (_layernorm,),
    "mul": tuple(pattern_rule(p, _rms) for p in RMS),
}
