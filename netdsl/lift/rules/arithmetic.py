"""Arithmetic of two values, or of a value and numbers: a number, a learnt vector for each feature, a learnt tensor."""

from __future__ import annotations

from math import isfinite
from typing import Any

import numpy as np
from msgspec.structs import replace

from netdsl.ir.model import Value
from netdsl.lift.build import Builder, Laid, Rule
from netdsl.lift.integers import is_symbolic
from netdsl.lift.read import Node
from netdsl.lift.rules.convolution import rounded
from netdsl.lift.rules.windows import finite
from netdsl.ops import REGISTRY
from netdsl.ops.arithmetic import Add, Div, Maximum, Minimum, Mul, Scalar, Sub
from netdsl.ops.base import Op, feature_axis
from netdsl.ops.linear import Linear
from netdsl.ops.reshaping import Expand
from netdsl.tensors import TensorType

BINARY: dict[str, tuple[type[Op], str]] = {
    "Add": (Add, "+"), "Sub": (Sub, "-"), "Mul": (Mul, "*"), "Div": (Div, "/"), "Pow": (Op, "**"),
    "Max": (Maximum, ""), "Min": (Minimum, ""), "Sum": (Add, "+"),
}  # fmt: skip
"""The op of two values, and the sign with a number."""


def _binary(builder: Builder, node: Node) -> None:
    op, sign = BINARY[node.op_type]
    if len(node.inputs) != 2:
        _many(builder, node, op)
    elif builder.is_array(0) or builder.is_array(1):
        _with_numbers(builder, op, sign)
    else:
        a, b = builder.tensor(0), builder.tensor(1)
        if op is Op:
            raise builder.refused("a power of one value by another has no form")
        a, b = builder.met(a, b) if a.is_bare else a, builder.met(b, a) if b.is_bare or not a.is_bare else b
        if sign in "+-":
            a, b = _widened(builder, a, b.type), _widened(builder, b, a.type)
        builder.apply(op(), a, b)


def _widened(builder: Builder, x: Laid, like: TensorType) -> Laid:
    """A value of one feature that is added to many: that it is meant for all is said."""
    shape = x.type.shape
    if not shape or x.type.rank != like.rank:
        return x
    at = feature_axis(like)
    if shape[at] != 1 or like.shape[at] == 1:
        return x
    return x.on(builder.call(Expand((*shape[:at], like.shape[at], *shape[at + 1 :])), x)[0])


def _many(builder: Builder, node: Node, op: type[Op]) -> None:
    """Nodes that take any number of values."""
    total = builder.tensor(0)
    if len(node.inputs) == 1:
        builder.give(total)
        return
    for index in range(1, len(node.inputs)):
        total = total.on(builder.call(op(), total, builder.tensor(index))[0])
    builder.give(total)


def _with_numbers(builder: Builder, op: type[Op], sign: str) -> None:
    reverse = builder.is_array(0)
    x, array = builder.tensor(1 if reverse else 0), builder.array(0 if reverse else 1)
    if is_symbolic(array):
        raise builder.refused("it computes with the size of its input")
    if array.ndim > x.rank and not x.is_bare:
        raise builder.refused(f"numbers of shape {[*array.shape]} add axes before the batch")
    if array.size == 1:
        _with_one(builder, x, array, sign, reverse)
        return
    if op is Op:
        raise builder.refused("a power by many numbers has no form")
    if sign == "+" and _absorbed(builder, x, array):
        return
    other = spread(builder, array, x, adds=sign in "+-")
    if sign in "+-":
        x = _widened(builder, x, other.type)
    builder.give(builder.call(op(), *((other, x.value) if reverse else (x.value, other)))[0], x)


def _with_one(builder: Builder, x: Laid, array: Any, sign: str, reverse: bool) -> None:
    value = array.reshape(()).item()
    number = rounded(finite(value)) if isinstance(value, float) else int(value)
    if sign and not isfinite(value):
        raise builder.refused(f"arithmetic with {value}")
    if not sign:
        ends = {"min": number} if builder.node.op_type == "Max" else {"max": number}
        builder.apply(REGISTRY["clamp"](**ends), x)
    elif not reverse and (sign, number) in (("*", 1), ("/", 1), ("+", 0), ("-", 0), ("**", 1)):
        builder.give(x)
    elif sign == "**" and not reverse:
        builder.apply(_power(number), x)
    elif sign == "/" and "int" in x.type.dtype:
        builder.apply(Scalar("//", number, reverse), x)
    else:
        builder.apply(Scalar(sign, number, reverse), x)  # type: ignore[arg-type]


def _power(exponent: float) -> Op:
    ready: dict[float, Op] = {2: REGISTRY["square"](), 0.5: REGISTRY["sqrt"]()}
    return ready.get(exponent) or REGISTRY["pow"](exponent=float(exponent))


def _absorbed(builder: Builder, x: Laid, array: Any) -> bool:
    """Whether the sum is the bias of the matrix product before it, which becomes a `linear` with a bias."""
    before = builder.source(x.value)
    name = next(i for i in builder.node.inputs if isinstance(builder.known[i], Laid))
    if before is None or builder.uses[name] > 1 or not _takes_bias(before.op, x, array):
        return False
    weights = {**before.weights, "bias": array.reshape(-1)}
    biased: Any = before.op
    builder.change(
        x.value,
        replace(before, op=replace(biased, bias=True), weights=weights, origin=before.origin | builder.origin()),
    )
    builder.give(x)
    return True


def _takes_bias(op: Op, x: Laid, array: Any) -> bool:
    """Whether an array is the bias of a `linear` that has none."""
    if not isinstance(op, Linear) or op.bias or array.shape[-1] != array.size:
        return False
    return not (op.axis is None and x.type.rank > 2) and bool(array.size == op.out_features)


def spread(builder: Builder, array: Any, x: Laid, adds: bool) -> Value:
    """Numbers that meet a value: a learnt vector, or a tensor of the sample's rank, repeated where that is asked."""
    array = _of_one_sample(array, x)
    shape = _sample_shape(builder, array, x)
    name = next(i for i in builder.node.inputs if isinstance(builder.known[i], np.ndarray))
    at = feature_axis(x.type)
    if array.size == shape[at] == x.type.shape[at]:
        return builder.param(array.reshape(-1), name)
    value = builder.param(array.reshape(shape), name)
    if adds and shape[at] == 1 != x.type.shape[at]:
        sizes = [x.type.shape[at] if i == at else s for i, s in enumerate(shape)]
        value = builder.call(Expand(tuple(sizes)), value)[0]
    return value


def _of_one_sample(array: Any, x: Laid) -> Any:
    """Numbers that a file holds once for each sample, all of them equal, as those of one."""
    if x.is_bare or array.ndim != x.rank or not (array == array.take([0], x.batch)).all():
        return array
    return array.take([0], x.batch)


def _sample_shape(builder: Builder, array: Any, x: Laid) -> list[int]:
    """The shape of numbers that meet a value, without the batch. Raises LiftError where they differ between samples."""
    shape = [1] * (x.rank - array.ndim) + [*array.shape]
    if x.is_bare:
        return shape
    if len(shape) > x.rank:
        raise builder.refused(f"numbers of shape {[*array.shape]} meet {x.type}")
    if shape[x.batch] != 1:
        raise builder.refused("numbers that differ between samples")
    if array.dtype != np.float32:
        raise builder.refused(f"arithmetic with fixed numbers of {array.dtype}")
    return shape if x.joined else shape[: x.batch] + shape[x.batch + 1 :]


def _compare(kind: str) -> Rule:
    def rule(builder: Builder, node: Node) -> None:
        if not builder.is_array(1) or builder.array(1).size != 1:
            raise builder.refused("a comparison of two values has no form")
        value = builder.array(1).reshape(()).item()
        builder.apply(REGISTRY[kind](value=value), builder.tensor(0))

    return rule


def _where(builder: Builder, node: Node) -> None:
    condition = builder.tensor(0)
    for index, other in ((1, 2), (2, 1)):
        if builder.is_array(index) and builder.array(index).size == 1 and not builder.is_array(other):
            x = builder.tensor(other)
            hidden = builder.met(condition, x)
            if index == 2:
                hidden = hidden.on(builder.call(REGISTRY["logical_not"](), hidden)[0])
            value = finite(builder.array(index).reshape(()).item())
            builder.apply(REGISTRY["masked_fill"](value=value), x, hidden)
            return
    builder.give(builder.call(REGISTRY["where"](), condition, builder.tensor(1), builder.tensor(2))[0], condition)


ARITHMETIC: dict[str, Rule] = {
    **dict.fromkeys(BINARY, _binary),
    "Equal": _compare("equal"),
    "Greater": _compare("greater"),
    "Less": _compare("less"),
    "Where": _where,
}
