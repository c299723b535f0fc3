"""Tied weights: `linear(weight=table.weight, bias=false)`, with `share table = embed(vocab, dim)` before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netdsl.diagnostics.diagnostic import fault
from netdsl.elaborate.values import CallPlace, OpArrow, Shared, SharedWeight, TiedArrow, describe, is_arrow
from netdsl.ops.base import Op, Param
from netdsl.source import Place

if TYPE_CHECKING:
    from netdsl.elaborate.scope import LayerBuilder


def shared_weight(value: Any, at: Place) -> SharedWeight:
    """The weight of what a name stands for. Raises Fault for all but shared layers."""
    name = at.text.partition(".")[0]
    if isinstance(value, Shared):
        return SharedWeight(value, name)
    hint = f"`share {name} = ...` gives it one set of weights" if is_arrow(value) else None
    raise fault("not-a-layer", f"only a shared layer has a weight to name, found {describe(value)}", at, hint)


def tied(arrow: OpArrow, weights: list[tuple[str | None, SharedWeight, Place]], at: CallPlace) -> TiedArrow:
    """`linear` with the weight of a shared layer. Raises Fault for another op, and for what the weight says itself."""
    name, weight, place = weights[0]
    if arrow.op.kind != "linear" or name != "weight" or len(weights) > 1:
        hint = f"`linear(weight={weight.name}.weight, bias=false)` takes it"
        raise fault("argument-type", f"`{arrow.op.kind}` cannot take {describe(weight)} here", place, hint)
    arguments = dict(arrow.arguments)
    if "out_features" in arguments:
        message = "`linear` with a `weight` has no other `out_features` than the weight's"
        raise fault("argument-conflict", message, at.arguments.get("out_features", at))
    if arguments.get("bias") is not False:
        hint = "write `bias=false`; `+ param((n,), role=bias)` after it adds a bias"
        raise fault("argument-conflict", "`linear` with a `weight` of another layer has no bias of its own", at, hint)
    axis = arguments.get("axis")
    if axis is not None and (isinstance(axis, bool) or not isinstance(axis, int)):
        raise fault("argument-type", f"`axis` must be a whole number, found {describe(axis)}", at.arguments["axis"])
    return TiedArrow(weight.shared, axis, at)


def matrix_of(layer: LayerBuilder, at: Place) -> Param:
    """The weight of a shared layer. Raises Fault before its first use, and where it is no matrix."""
    name, callee = layer.base, layer.callee
    if callee is None:
        hint = f"a value flows through `{name}` first, which sizes its weight"
        raise fault("misplaced", f"`{name}` has no weight yet: it is not used before", at, hint)
    weight = callee.params(*layer.inputs).get("weight") if isinstance(callee, Op) else None
    if weight is None or len(weight.shape) != 2:
        raise fault("argument-type", f"`{name}` has no weight that is a matrix, as `embed` and `linear` have", at)
    return weight
