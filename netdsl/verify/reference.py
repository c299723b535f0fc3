"""The reference outputs of torch, and their rounding error."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from netdsl.ir.model import Program
from netdsl.verify.decisions import Decisions, outputs_of, undecided
from netdsl.verify.distance import distance, largest
from netdsl.verify.inputs import draw_inputs
from netdsl.verify.sizes import At, at_once

FEW = 64
"""Numbers of an output below which it may happen to be small: how large it gets is looked for on so many samples."""


class Reference:
    """Random inputs of a net at one point, and its module's outputs in order.

    Inputs are normal numbers; from 0 to 1 where normal ones give no finite outputs.
    """

    def __init__(
        self, program: Program, module: nn.Module, point: At, seed: int, decisions: Decisions | None = None
    ) -> None:
        self.program, self.module, self.point, self.seed = program, module, point, seed
        self.decisions = decisions
        self.names = [v.name for v in program.main.inputs]
        for self.positive in (False, True):
            self.inputs = draw_inputs(program, point.batch, point.named, seed, self.positive)
            self.outputs = self._outputs()
            if all(np.isfinite(y).all() for y in self.outputs):
                break

    def _outputs(self) -> list[Any]:
        """The outputs of the module; of large samples a few at a time, which a net at rest gives the same."""
        few, values = at_once(self.program, self.point.named), [*self.program.main.inputs]
        values += [o.value for o in self.program.main.outputs]
        if few >= self.point.batch or not all(v.type.batched for v in values):
            return outputs_of(self.module, self.inputs)
        parts = [
            outputs_of(self.module, list(part))
            for part in zip(*(torch.split(x, few) for x in self.inputs), strict=True)
        ]
        return [np.concatenate(of) for of in zip(*parts, strict=True)]

    @property
    def feed(self) -> dict[str, Any]:
        """The inputs as arrays by name."""
        return {n: x.numpy() for n, x in zip(self.names, self.inputs, strict=True)}

    @cached_property
    def deciding(self) -> list[Any]:
        """The values on which outputs hang by jumps, in the order of `decisions.paths`; empty where there are none."""
        return self.decisions.values(self.inputs) if self.decisions else []

    @cached_property
    def undecided(self) -> list[Any]:
        """A mask for each output: where it hangs on rounding."""
        return undecided(self.module, self.inputs, self.outputs)

    def decided(self, found: Sequence[Any]) -> list[Any]:
        """Outputs of the same net as somebody else computes them, but for what hangs on rounding."""
        return [np.where(mask, y, z) for mask, y, z in zip(self.undecided, self.outputs, found, strict=True)]

    @cached_property
    def rounding(self) -> float:
        """How far the outputs are from those of the same module in double precision; 0 where it cannot be had.

        A net that takes the difference of two nearly equal values is far from them, whoever computes it.
        """
        try:
            doubled = [_doubled(x) for x in self.inputs]
            exact = outputs_of(copy.deepcopy(self.module).double(), doubled)
            deciding = self.decisions.exact(doubled) if self.decisions else []
        except RuntimeError:  # a module that fixes a type somewhere
            return 0.0
        outputs = distance(self.decided(exact), self.outputs, self.sizes)
        return max(outputs, distance(deciding, self.deciding))

    @cached_property
    def sizes(self) -> list[float]:
        """The largest number of each output, over more samples where it has few numbers."""
        sizes = [largest(y) for y in self.outputs]
        if min((y.size for y in self.outputs), default=FEW) < FEW:
            more = draw_inputs(self.program, FEW, self.point.named, self.seed + 1, self.positive)
            others = outputs_of(self.module, more)
            for i, y in enumerate(self.outputs):
                if y.size < FEW and np.isfinite(others[i]).all():
                    sizes[i] = max(sizes[i], largest(others[i]))
        return sizes


def _doubled(x: Tensor) -> Tensor:
    return x.double() if x.is_floating_point() else x
