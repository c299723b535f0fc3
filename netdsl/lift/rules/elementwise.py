"""Functions of each number."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netdsl.lift.build import Builder, Rule
from netdsl.lift.read import Node
from netdsl.lift.rules.convolution import rounded
from netdsl.ops import REGISTRY

PLAIN = {
    "Abs": "absolute", "Ceil": "ceil", "Cos": "cos", "Erf": "erf", "Exp": "exp", "Floor": "floor",
    "HardSwish": "hardswish", "Log": "log", "Mish": "mish", "Neg": "neg", "Reciprocal": "reciprocal", "Relu": "relu",
    "Sigmoid": "sigmoid", "Sign": "sign", "Sin": "sin", "Softplus": "softplus", "Softsign": "softsign",
    "Sqrt": "sqrt", "Tanh": "tanh", "Not": "logical_not",
}  # fmt: skip
"""Nodes that are one op without arguments."""

LEAKY = 0.01


def _op(kind: str, **arguments: Any) -> Any:
    return REGISTRY[kind](**arguments)


def _plain(builder: Builder, node: Node) -> None:
    builder.apply(_op(PLAIN[node.op_type]), builder.tensor())


def _made(make: Callable[[Builder, Node], Any]) -> Rule:
    def rule(builder: Builder, node: Node) -> None:
        builder.apply(make(builder, node), builder.tensor())

    return rule


def _leaky(builder: Builder, node: Node) -> Any:
    return _op("leaky_relu", negative_slope=rounded(node.get("alpha", LEAKY)))


def _elu(builder: Builder, node: Node) -> Any:
    return _op("elu", alpha=rounded(node.get("alpha", 1.0)))


def _gelu(builder: Builder, node: Node) -> Any:
    return _op("gelu", approximate="tanh") if node.get("approximate") == "tanh" else _op("gelu")


def _hard_sigmoid(builder: Builder, node: Node) -> None:
    """The language's has a slope of 1/6, the file's any: 1/5 by default."""
    slope, shift, x = rounded(node.get("alpha", 0.2)), rounded(node.get("beta", 0.5)), builder.tensor()
    if abs(slope - 1 / 6) < 1e-6 and shift == 0.5:
        builder.apply(_op("hardsigmoid"), x)
        return
    scaled = builder.call(_op("scalar", operator="*", value=slope), x)[0]
    moved = builder.call(_op("scalar", operator="+", value=shift), scaled)[0]
    builder.give(builder.call(_op("clamp", min=0.0, max=1.0), moved)[0], x)


def _clip(builder: Builder, node: Node) -> Any:
    low, high = (builder.numbers(n, i) for i, n in ((1, "min"), (2, "max")))
    ends = tuple(None if v is None or abs(v[0]) > 1e38 else rounded(v[0]) for v in (low, high))
    if ends == (0.0, 6.0):
        return _op("relu6")
    return _op("clamp", min=ends[0], max=ends[1])


def _selu(builder: Builder, node: Node) -> Any:
    numbers = rounded(node.get("alpha", 1.67326)), rounded(node.get("gamma", 1.0507))
    if abs(numbers[0] - 1.67326) > 1e-4 or abs(numbers[1] - 1.0507) > 1e-4:
        raise builder.refused("`selu` has the constants of the paper")
    return _op("selu")


def _prelu(builder: Builder, node: Node) -> None:
    x, slope = builder.tensor(), builder.array(1, "slope")
    if slope.size != 1 and (slope.shape[0] != slope.size or slope.size != x.type.shape[0]):
        raise builder.refused("`prelu` has one slope, or one for each channel")
    builder.apply(_op("prelu", num_parameters=int(slope.size)), x, weights={"weight": slope.reshape(-1)})


def _shrink(builder: Builder, node: Node) -> Any:
    bias, edge = node.get("bias", 0.0), rounded(node.get("lambd", 0.5))
    if bias not in (0.0, edge):
        raise builder.refused("`shrink` with this bias has no form")
    return _op("hardshrink" if bias == 0.0 else "softshrink", lambd=edge)


ELEMENTWISE: dict[str, Rule] = {
    **dict.fromkeys(PLAIN, _plain),
    "LeakyRelu": _made(_leaky),
    "Elu": _made(_elu),
    "Gelu": _made(_gelu),
    "HardSigmoid": _hard_sigmoid,
    "Clip": _made(_clip),
    "Selu": _made(_selu),
    "PRelu": _prelu,
    "Shrink": _made(_shrink),
}
