"""The origin of a value's numbers, through ops that only move them: found by moving their positions."""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct

from netdsl.ir.model import Value
from netdsl.lift.idioms.engine import Net
from netdsl.lift.model import Call
from netdsl.sizes.dims import Size, evaluate, symbols
from netdsl.tensors import TensorType

LARGEST = 4_000_000
"""How many places are followed."""

TRIED = 5
"""What a named size is while places are followed."""


class Traced(Struct, frozen=True, eq=False):
    """`call` computes the numbers of a value; `places`: for each of them, its place among those of the call's result.

    `factor`: what they are multiplied by on the way.
    """

    call: Call | None
    value: Value
    places: Any
    factor: float


def shape_of(found: TensorType) -> tuple[int, ...]:
    """The shape with numbers for named sizes."""
    names = {n: TRIED + i for i, n in enumerate(sorted(frozenset[str]().union(*map(symbols, found.shape))))}
    return tuple(evaluate(s, names) for s in found.shape)


def traced(net: Net, value: Value) -> Traced | None:
    """Follow a value back to what computes its numbers; None where too many are followed."""
    way: list[tuple[Call, Value]] = []
    call = net.source(value)
    while call is not None and _moves(call):
        way.append((call, value))
        value = call.inputs[0]
        call = net.source(value)
    shape = shape_of(value.type)
    count, factor = int(np.prod(shape)), 1.0
    if count > LARGEST:
        return None
    places: Any = np.arange(count).reshape(shape)
    for move, result in reversed(way):
        places = _moved(move, places, [v.name for v in move.outputs].index(result.name))
        if places is None:
            return None
        factor *= factor_of(move)
    return Traced(call, value, places, factor)


MOVES = (
    "reshape",
    "permute",
    "flatten",
    "squeeze",
    "unsqueeze",
    "chunk",
    "split",
    "take",
    "narrow",
    "identity",
    "roll",
)


def _moves(call: Call) -> bool:
    return call.kind in MOVES or (call.kind == "scalar" and factor_of(call) != 0.0)


def factor_of(call: Call) -> float:
    """The factor that an op multiplies by; 0 for other ops."""
    if call.kind != "scalar":
        return 1.0
    op: Any = call.op
    if op.operator == "*":
        return float(op.value)
    return 1 / float(op.value) if op.operator == "/" and not op.reverse else 0.0


def _moved(call: Call, places: Any, output: int) -> Any:
    op: Any = call.op
    if call.kind in ("reshape", "flatten", "squeeze", "unsqueeze"):
        return places.reshape(shape_of(call.outputs[0].type))
    if call.kind == "permute":
        return places.transpose(op.axes)
    if call.kind == "chunk":
        return np.split(places, op.chunks, op.axis)[output]
    if call.kind == "split":
        return np.split(places, np.cumsum(op.sizes)[:-1], op.axis)[output]
    if call.kind == "roll":
        axes = op.axes or tuple(range(1, places.ndim))
        return np.roll(places, op.shifts if isinstance(op.shifts, tuple) else (op.shifts,) * len(axes), axes)
    if call.kind == "take":
        return np.take(places, op.index, op.axis)
    if call.kind == "narrow":
        if isinstance(op.length, Size):
            return None
        return np.take(places, range(op.start, op.start + op.length), op.axis)
    return places
