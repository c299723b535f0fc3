"""Random inputs of a net: real numbers, and whole numbers that are in range for what reads them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from netdsl.ir.model import Program
from netdsl.sizes.dims import evaluate
from netdsl.verify.sizes import index_limit


def draw_inputs(
    program: Program, batch: int, sizes: Mapping[str, int], seed: int, positive: bool = False
) -> list[Tensor]:
    """Random inputs: normal numbers (`positive`: from 0 to 1), whole numbers below the limit of what reads them."""
    random = torch.Generator().manual_seed(seed)
    drawn = []
    for value in program.main.inputs:
        shape = [evaluate(s, sizes) for s in value.type.shape]
        shape = [batch, *shape] if value.type.batched else shape
        dtype = getattr(torch, value.type.dtype)
        if dtype.is_floating_point:
            number = torch.rand(shape, generator=random) if positive else torch.randn(shape, generator=random)
            drawn.append(number.to(dtype))
        else:
            limit = 2 if dtype is torch.bool else index_limit(program, value.name, sizes)
            drawn.append(torch.randint(0, limit, shape, generator=random).to(dtype))
    return drawn
