"""Rows collected by number: means, and messages that are sent along weighted edges."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from netdsl.ir.model import Value
from netdsl.lift.idioms.engine import Net, Rule
from netdsl.lift.model import Call
from netdsl.ops.indexing import Scatter
from netdsl.ops.propagation import Propagate
from netdsl.ops.reshaping import Reshape

SPREADS = ("expand", "reshape", "unsqueeze")


def _mean(net: Net, call: Call) -> list[Call] | None:
    """A sum over the rows that arrive, divided by how many they are, or by 1 where there are none."""
    total, count = net.source(call.inputs[0], "scatter"), _below(net, call.inputs[1])
    if total is None or count is None or count.kind != "clamp":
        return None
    counted = _below(net, count.inputs[0])
    limits: Any = count.op
    if (limits.min, limits.max) != (1, None) or counted is None or counted.kind != "scatter":
        return None
    same = counted.inputs[1].name == total.inputs[1].name and _sums(total) and _sums(counted)
    if not same or not _is_one(net, counted.inputs[0]):
        return None
    op: Any = total.op
    return [replace(call, op=Scatter(op.size, "mean"), inputs=total.inputs)]


def _sums(call: Call) -> bool:
    op: Any = call.op
    return bool(op.reduce == "sum")


def _below(net: Net, value: Value) -> Call | None:
    """The call that computes a value, which is only spread over more axes after that."""
    made = net.source(value)
    while made is not None and made.kind in SPREADS:
        made = net.source(made.inputs[0])
    return made


def _is_one(net: Net, value: Value) -> bool:
    """Whether a value is 1 for each row, as it is written: `index * 0`, as a float, plus 1."""
    found: dict[str, Any] = {}
    made = _below(net, value)
    zero = ("scalar", ("index",), lambda op: op.operator == "*" and op.value == 0)
    one = ("scalar", (("cast", (zero,)),), lambda op: op.operator == "+" and op.value == 1)
    return made is not None and net.match(made.outputs[0], one, found)


def _propagated(net: Net, call: Call) -> list[Call] | None:
    """Rows picked, each times the weight of its edge, and collected."""
    product = net.source(call.inputs[0], "mul")
    if product is None or not net.is_single(call.inputs[0]) or not _sums(call):
        return None
    for sent, weight in (product.inputs, product.inputs[::-1]):
        made = net.source(sent, "gather")
        own = _weights(net, weight, product.outputs[0], call)
        if made is None or own is None or not net.is_single(sent) or made.inputs[0].type != call.outputs[0].type:
            continue
        inputs = (*made.inputs, call.inputs[1], own[0])
        return [*own[1], replace(call, op=Propagate(), inputs=inputs)]
    return None


def _weights(net: Net, value: Value, messages: Value, like: Call) -> tuple[Value, list[Call]] | None:
    """The weights of edges, without the axes that they are repeated along, and the calls that this takes."""
    while (made := net.source(value)) is not None and made.kind in SPREADS:
        x, wide = made.inputs[0].type.shape, value.type.shape
        if wide[: len(x)] != x and x != (*wide[:1], *(1,) * (len(x) - 1)):
            break
        value = made.inputs[0]
    shape, whole = value.type.shape, messages.type.shape
    while shape and shape[-1] == 1 and whole[: len(shape)] != shape:
        shape = shape[:-1]
    if not shape or len(shape) >= len(whole) or whole[: len(shape)] != shape:
        return None
    if shape == value.type.shape:
        return value, []
    cut = net.call(Reshape(shape), value, like=like)
    return cut.outputs[0], [cut]


ROWS: dict[str, tuple[Rule, ...]] = {"div": (_mean,), "scatter": (_propagated,)}
