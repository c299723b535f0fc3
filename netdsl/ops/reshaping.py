"""The same numbers in another shape: `flatten`, `reshape`, `permute`, `unsqueeze`, `squeeze`, `expand`, `identity`."""

from __future__ import annotations

from typing import Any

from netdsl.constraints import Assumptions
from netdsl.dims import Dim, product
from netdsl.ops.base import Call, Example, Graph, Op, Operand, Torch, X, register
from netdsl.ops.features import axis_of
from netdsl.tensors import TensorType


@register("identity")
class Identity(Op, frozen=True):
    """The value itself."""

    examples = (Example("identity"),)

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        return inputs[0]

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(Call("nn.Identity"), X())

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return x[0].name


@register("flatten")
class Flatten(Op, frozen=True):
    """Axes from `start` to `end` (both included, counted in the sample) as one: by default all of them, `[C, H, W]` to
    `[C * H * W]`, as torch.nn.Flatten. `flatten(1)` makes a row of pixels per channel, `[C, H * W]`."""

    start: int = 0
    end: int = -1

    examples = (
        Example("flatten"),
        Example("flatten(1)"),
        Example("flatten(0, 1)"),
        Example("flatten", ("[7]",)),
        Example("flatten(1, 2)", ("[2, 3, 4, 5]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        start, end = axis_of(x, self.start, "start"), axis_of(x, self.end, "end")
        return x.with_shape(*x.shape[:start], product(x.shape[start : end + 1]), *x.shape[end + 1 :])

    def torch(self, *inputs: TensorType) -> Torch:
        start, end = axis_of(inputs[0], self.start) + 1, axis_of(inputs[0], self.end) + 1
        to_end = end == inputs[0].rank
        module = () if start == 1 and to_end else ((start,) if to_end else (start, end))
        return Torch(Call("nn.Flatten", module), Call(".flatten", (X(), start) if to_end else (X(), start, end)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        start, end = axis_of(x[0].type, self.start), axis_of(x[0].type, self.end)
        if start == 0 and end == x[0].type.rank - 1:
            return g.op("Flatten", x[0].name)
        tail: tuple[Dim, ...] = x[0].type.shape[end + 1 :]
        if any(not isinstance(s, int) for s in tail):
            return g.op("Reshape", x[0].name, g.shape(*self.infer(Assumptions(), x[0].type).shape))
        return g.op("Reshape", x[0].name, g.const((0,) * (start + 1) + (-1, *tail), "int64"))
