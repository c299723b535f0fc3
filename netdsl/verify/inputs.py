"""Random inputs of a net: real numbers, and whole numbers that are in range for what reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from netdsl.ir.flatten import Node, flatten
from netdsl.ir.model import Program
from netdsl.sizes.dims import Dim, evaluate


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


def index_limit(program: Program, name: str, sizes: Mapping[str, int]) -> int:
    """What an integer input must stay below: the least of the tables and axes that are read with it; 2 without any."""
    same = {name}
    limits: list[int] = []
    for node in flatten(program):
        if same.isdisjoint(v.name for v in node.inputs):
            continue
        same.update(v.name for v in node.outputs if v.type.dtype.startswith("int"))
        limits += [evaluate(limit, sizes) for limit in _limits(node, same)]
    return min(limits, default=2)


def _limits(node: Node, integers: set[str]) -> Iterator[Dim]:
    """The rows of a table, the classes of a one-hot code, the axis that an index points into."""
    for field in ("num_embeddings", "num_classes"):
        if isinstance(rows := getattr(node.op, field, None), int):
            yield rows
    if "index" in node.op.operands and node.inputs[-1].name in integers:
        yield getattr(node.op, "size", node.types[0].shape[0])
