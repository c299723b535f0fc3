"""Rules for the interpreter: axes by name, by the einops package and by sums of plain products."""

from __future__ import annotations

from typing import Any

import einops
import torch
from op_rules import Weights, rule
from torch import Tensor


def with_batch(pattern: str) -> str:
    """The pattern as einops reads it, with an axis for the batch."""
    return " -> ".join(f"batch {side.strip()}" for side in pattern.split("->"))


@rule("rearrange")
def rearrange(op: Any, w: Weights, x: Tensor) -> Tensor:
    return einops.rearrange(x, with_batch(op.pattern), **dict(op.sizes))


@rule("reduce")
def reduce(op: Any, w: Weights, x: Tensor) -> Tensor:
    return einops.reduce(x, with_batch(op.pattern), op.reduction, **dict(op.sizes))


@rule("einsum")
def einsum(op: Any, w: Weights, *xs: Tensor) -> Tensor:
    """Every value with all axes, multiplied and summed."""
    left, right = op.pattern.split("->")
    sides, result = [side.split() for side in left.split(",")], right.split()
    summed = sorted({n for side in sides for n in side} - set(result))
    product = torch.ones(())
    for x, side in zip(xs, sides, strict=True):
        whole = " ".join(n if n in side else "1" for n in (*result, *summed))
        product = product * einops.rearrange(x, f"batch {' '.join(side)} -> batch {whole}")
    return product.flatten(len(result) + 1).sum(-1) if summed else product
