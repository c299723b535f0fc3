"""Layers over channels that a file computes with the channels last: the two transposes around them cancel."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from netdsl.lift.idioms.engine import Net, Rule
from netdsl.lift.model import Call
from netdsl.ops import REGISTRY
from netdsl.ops.arithmetic import Add, Mul, Scalar, Sub
from netdsl.ops.base import Op, feature_axis
from netdsl.ops.elementwise import Elementwise
from netdsl.ops.featurenorm import LayerNorm, RMSNorm
from netdsl.ops.layerscale import Scale
from netdsl.ops.linear import Linear
from netdsl.ops.rearranging import Roll
from netdsl.ops.reshaping import Permute


def _moved(net: Net, call: Call) -> list[Call] | None:
    """A layer of the last axis, after the channels were moved there: of the channels, before they are moved."""
    moves = [net.source(v, "permute") for v in call.inputs]
    rank = call.outputs[0].type.rank
    last = (*range(1, rank), 0)
    if rank < 3 or not moves or any(m is None or tuple(m.op.axes) != last for m in moves):  # type: ignore[attr-defined]
        return None
    op: Any = _of_channels(call.op, rank)
    if op is None:
        return None
    made = net.call(op, *(m.inputs[0] for m in moves if m is not None), weights=call.weights, like=call)
    return [made, replace(call, op=Permute(last), inputs=made.outputs, weights={})]


def _of_channels(op: Op, rank: int) -> Op | None:
    """The op over channels; None for one that is not of the last axis, or not of each number."""
    if isinstance(op, Linear | LayerNorm | RMSNorm | Scale):
        return replace(op, axis=None) if op.axis == -1 else None
    if isinstance(op, Roll):
        return replace(op, axes=tuple((a + 1) % rank for a in op.axes)) if op.axes else None
    return op if isinstance(op, Elementwise | Scalar | Add | Sub | Mul) else None


def _pooled(net: Net, call: Call) -> list[Call] | None:
    """The mean of an image whose channels are last."""
    before = net.source(call.inputs[0], "permute")
    rank = call.inputs[0].type.rank
    op: Any = call.op
    if before is None or rank < 3 or tuple(before.op.axes) != (*range(1, rank), 0) or op.keepdims:  # type: ignore[attr-defined]
        return None
    axes = op.axis if isinstance(op.axis, tuple) else (op.axis,)
    if tuple(sorted(a % rank for a in axes)) != tuple(range(rank - 1)):
        return None
    return [replace(call, op=replace(op, axis=tuple(range(1, rank))), inputs=before.inputs)]


def _scale(net: Net, call: Call) -> list[Call] | None:
    """A product with a learnt number for each feature."""
    for x, learnt in (call.inputs, call.inputs[::-1]):
        made = net.source(learnt, "param")
        if made is None or net.source(x, "param") is not None or not net.is_single(learnt):
            continue
        weight = made.weights[""].reshape(-1)
        for axis in (None, -1):
            at = feature_axis(x.type) if axis is None else x.type.rank - 1
            shape = learnt.type.shape
            is_vector = len(shape) == 1 and axis is None
            if is_vector or (len(shape) == x.type.rank and shape[at] == weight.size == x.type.shape[at]):
                return [replace(call, op=Scale(axis=axis), inputs=(x,), weights={"gamma": weight})]
    return None


CHANNELS: dict[str, tuple[Rule, ...]] = {
    **dict.fromkeys(("linear", "layernorm", "rmsnorm", "scale", "roll", "scalar", "add", "sub"), (_moved,)),
    **{kind: (_moved,) for kind, op in REGISTRY.items() if issubclass(op, Elementwise)},
    "mul": (_scale, _moved),
    "reduce_mean": (_pooled,),
    "reduce_max": (_pooled,),
}
