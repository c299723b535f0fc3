"""Layers over channels that a file computes with the channels last: the two transposes around them cancel."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from netdsl.ir.model import Value
from netdsl.lift.idioms.engine import Net, Rule
from netdsl.lift.model import Call
from netdsl.ops.arithmetic import Scalar
from netdsl.ops.base import Op, feature_axis
from netdsl.ops.elementwise import Elementwise
from netdsl.ops.featurenorm import LayerNorm, RMSNorm
from netdsl.ops.layerscale import Scale
from netdsl.ops.linear import Linear


def _moved(net: Net, call: Call) -> list[Call] | None:
    """`permute((1, 2, 0))`, layers of the last axis, `permute((2, 0, 1))`: the layers alone, of the channels."""
    rank = call.inputs[0].type.rank
    if tuple(call.op.axes) != (rank - 1, *range(rank - 1)) or rank < 3:  # type: ignore[attr-defined]
        return None
    chain: list[Call] = []
    value = call.inputs[0]
    while net.is_single(value):
        before = net.source(value)
        if before is None:
            return None
        if before.kind == "permute":
            forth = tuple(before.op.axes) == (*range(1, rank), 0)  # type: ignore[attr-defined]
            return _rebuilt(net, call, before.inputs[0], chain[::-1]) if forth and chain else None
        if _of_channels(before.op) is None:
            return None
        chain.append(before)
        value = before.inputs[0]
    return None


def _of_channels(op: Op) -> Op | None:
    """A layer of the last axis as one of the channels; None for what works on other axes."""
    if isinstance(op, Linear | LayerNorm | RMSNorm | Scale):
        return replace(op, axis=None) if op.axis == -1 else None
    return op if isinstance(op, Elementwise | Scalar) else None


def _rebuilt(net: Net, call: Call, x: Value, chain: list[Call]) -> list[Call]:
    made: list[Call] = []
    for layer in chain:
        op: Any = _of_channels(layer.op)
        made.append(net.call(op, x, weights=layer.weights, like=layer))
        x = made[-1].outputs[0]
    return made


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


CHANNELS: dict[str, tuple[Rule, ...]] = {"permute": (_moved,), "mul": (_scale,)}
