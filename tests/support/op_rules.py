"""What each op computes, written down a second time for the interpreter: `RULES[kind](op, weights, *inputs)`.

Every input has a batch axis. A rule uses the op's arguments alone, never its facets.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

Weights = dict[str, Tensor]
RULES: dict[str, Callable[..., Any]] = {}


def rule(*kinds: str) -> Callable[[Any], Any]:
    def add(function: Any) -> Any:
        RULES.update(dict.fromkeys(kinds, function))
        return function

    return add


def features(x: Tensor, axis: int | None) -> int:
    """The axis of the features, counted with the batch: where the value's type has them, else by its rank."""
    if axis is None:
        known: int | None = getattr(x, "features", None)
        return (x.ndim - 1 if x.ndim <= 3 else 1) if known is None else known + 1
    return axis + 1 if axis >= 0 else x.ndim + axis


def along(x: Tensor, at: int, numbers: Tensor) -> Tensor:
    """A vector shaped so that it meets axis `at` of `x`."""
    return numbers.reshape([-1 if i == at else 1 for i in range(x.ndim)])


def counted(x: Tensor, axis: int) -> int:
    """An axis of the sample, counted with the batch."""
    return axis + 1 if axis >= 0 else x.ndim + axis


def last(x: Tensor, axis: int | None, function: Callable[[Tensor], Tensor]) -> Tensor:
    """`function` of `x` with its features moved to the end and back."""
    at = features(x, axis)
    return function(x.movedim(at, -1)).movedim(-1, at)


def together(*xs: Tensor) -> tuple[Tensor, ...]:
    """The values with the batch of the largest."""
    batch = max(x.shape[0] for x in xs)
    return tuple(x.expand(batch, *x.shape[1:]) for x in xs)


def spread_over(big: Tensor, small: Tensor) -> Tensor:
    """A number or a vector per sample with the axes of the value that it meets."""
    if small.ndim >= big.ndim:
        return small
    at = features(big, None)
    shape = [1] * big.ndim
    shape[0] = small.shape[0]
    if small.ndim == 2:
        shape[at] = small.shape[1]
    return small.reshape(shape)


# Numbers one by one.

PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": lambda x: x.clamp(min=0), "relu6": lambda x: x.clamp(0, 6), "selu": torch.selu, "mish": F.mish,
    "silu": lambda x: x * torch.sigmoid(x), "hardswish": lambda x: x * (x + 3).clamp(0, 6) / 6,
    "hardsigmoid": lambda x: (x + 3).clamp(0, 6) / 6, "sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "logsigmoid": F.logsigmoid, "tanh": torch.tanh, "tanhshrink": lambda x: x - torch.tanh(x),
    "softsign": lambda x: x / (1 + x.abs()), "exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt,
    "absolute": torch.abs, "neg": lambda x: -x, "reciprocal": lambda x: 1 / x, "sin": torch.sin, "cos": torch.cos,
    "erf": torch.erf, "sign": torch.sign, "floor": torch.floor, "ceil": torch.ceil, "square": lambda x: x * x,
    "rsqrt": lambda x: 1 / torch.sqrt(x), "identity": lambda x: x, "logical_not": lambda x: x.logical_not(),
}  # fmt: skip

WITH_ARGUMENTS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "leaky_relu": lambda op, x: torch.where(x > 0, x, op.negative_slope * x),
    "elu": lambda op, x: torch.where(x > 0, x, op.alpha * torch.expm1(x)),
    "celu": lambda op, x: torch.where(x > 0, x, op.alpha * torch.expm1(x / op.alpha)),
    "gelu": lambda op, x: F.gelu(x, approximate=op.approximate or "none"),
    "hardtanh": lambda op, x: x.clamp(op.min_val, op.max_val),
    "softplus": lambda op, x: F.softplus(x, op.beta, op.threshold),
    "softshrink": lambda op, x: torch.sign(x) * (x.abs() - op.lambd).clamp(min=0),
    "hardshrink": lambda op, x: torch.where(x.abs() > op.lambd, x, torch.zeros_like(x)),
    "threshold": lambda op, x: torch.where(x > op.threshold, x, torch.full_like(x, op.value)),
    "rrelu": lambda op, x: torch.where(x > 0, x, (op.lower + op.upper) / 2 * x),
    "clamp": lambda op, x: torch.clamp(x, op.min, op.max),
    "pow": lambda op, x: x.pow(op.exponent),
    "greater": lambda op, x: x.gt(op.value), "less": lambda op, x: x.lt(op.value),
    "equal": lambda op, x: x.eq(op.value),
    "cast": lambda op, x: x.to(getattr(torch, op.dtype)),
}  # fmt: skip

BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div,
    "maximum": torch.maximum, "minimum": torch.minimum,
}  # fmt: skip
SCALAR = {"+": "add", "-": "sub", "*": "mul", "/": "div"}


def _plain(function: Any) -> Any:
    return lambda op, w, x: function(x)


def _with_arguments(function: Any) -> Any:
    return lambda op, w, x: function(op, x)


def _binary(function: Any) -> Any:
    return lambda op, w, a, b: function(spread_over(b, a), spread_over(a, b))


RULES |= {kind: _plain(f) for kind, f in PLAIN.items()}
RULES |= {kind: _with_arguments(f) for kind, f in WITH_ARGUMENTS.items()}
RULES |= {kind: _binary(f) for kind, f in BINARY.items()}
RULES |= dict.fromkeys(
    ("dropout", "dropout2d", "gaussian_dropout", "gaussian_noise", "alpha_dropout", "drop_path"), lambda op, w, x: x
)


@rule("scalar")
def scalar(op: Any, w: Weights, x: Tensor) -> Tensor:
    if op.operator in ("//", "%"):  # as Python does, one by one
        by = int(op.value)
        return torch.tensor([n // by if op.operator == "//" else n % by for n in x.flatten().tolist()]).reshape(x.shape)
    number = int(op.value) if not x.is_floating_point() else op.value
    value = torch.as_tensor(number, dtype=x.dtype)
    left, right = (value, x) if op.reverse else (x, value)
    return torch.pow(left, right) if op.operator == "**" else BINARY[SCALAR[op.operator]](left, right)


@rule("masked_fill")
def masked_fill(op: Any, w: Weights, x: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, torch.as_tensor(op.value).to(x.dtype), x)


@rule("where")
def where(op: Any, w: Weights, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(condition, a, b)


# Along the features.


def weight_of(op: Any, w: Weights) -> Tensor:
    """The weight of a layer, computed from what PyTorch's parametrizations keep of it."""
    prefix = "parametrizations.weight."
    if op.weight_norm:
        lengths, directions = w[f"{prefix}original0"], w[f"{prefix}original1"]
        rows = [g.reshape(()) * v / v.square().sum().sqrt() for g, v in zip(lengths, directions, strict=True)]
        return torch.stack(rows)
    if op.spectral_norm:
        weight, u, v = w[f"{prefix}original"], w[f"{prefix}0._u"], w[f"{prefix}0._v"]
        return weight / torch.einsum("i,ij,j->", u, weight.flatten(1), v)
    return w["weight"]


@rule("linear", "dropconnect")
def linear(op: Any, w: Weights, x: Tensor) -> Tensor:
    return last(x, op.axis, lambda y: F.linear(y, weight_of(op, w).flatten(1), w.get("bias")))


@rule("layernorm")
def layernorm(op: Any, w: Weights, x: Tensor) -> Tensor:
    return last(x, op.axis, lambda y: F.layer_norm(y, y.shape[-1:], w.get("weight"), w.get("bias"), op.eps))


@rule("rmsnorm")
def rmsnorm(op: Any, w: Weights, x: Tensor) -> Tensor:
    return last(x, op.axis, lambda y: F.rms_norm(y, y.shape[-1:], w.get("weight"), op.eps))


@rule("l2_normalize")
def l2_normalize(op: Any, w: Weights, x: Tensor) -> Tensor:
    norm = x.square().sum(features(x, op.axis), keepdim=True).sqrt()
    return x / norm.clamp(min=op.eps)


@rule("softmax", "log_softmax", "softmin")
def softmax(op: Any, w: Weights, x: Tensor) -> Tensor:
    y = -x if op.kind == "softmin" else x
    at = features(x, op.axis)
    y = y - y.amax(at, keepdim=True)
    y = y - y.exp().sum(at, keepdim=True).log()
    return y if op.kind == "log_softmax" else y.exp()


@rule("glu")
def glu(op: Any, w: Weights, x: Tensor) -> Tensor:
    value, gate = x.chunk(2, features(x, op.axis))
    return value * torch.sigmoid(gate)


@rule("prelu")
def prelu(op: Any, w: Weights, x: Tensor) -> Tensor:
    slope = along(x, 1, w["weight"]) if op.num_parameters > 1 else w["weight"]
    return torch.where(x > 0, x, slope * x)


@rule("scale")
def scale(op: Any, w: Weights, x: Tensor) -> Tensor:
    return x * along(x, features(x, op.axis), w["gamma"])


@rule("affine")
def affine(op: Any, w: Weights, x: Tensor) -> Tensor:
    at = features(x, op.axis)
    return x * along(x, at, w["weight"]) + along(x, at, w["bias"])
