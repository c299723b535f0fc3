"""Positions as rotations: `rotary`."""

from typing import Annotated, Any

from msgspec import Meta

from netdsl.ops.base import Buffer, Call, Example, Graph, Op, Operand, OpError, Torch, known, register
from netdsl.ops.features import floating
from netdsl.ops.spatial import optional
from netdsl.sizes.constraints import Assumptions
from netdsl.tensors import TensorType

HELPER = '''\
class Rotary(nn.Module):
    """Rotary position embedding (Su et al., 2021) of [..., L, d]."""

    def __init__(self, dim: int, base: float = 10000.0, interleaved: bool = False) -> None:
        super().__init__()
        self.interleaved = interleaved
        frequencies = base ** (-torch.arange(0, dim, 2).double() / dim)
        self.register_buffer("frequencies", frequencies.float(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        positions = torch.arange(x.shape[-2], device=x.device)
        angles = positions[:, None] * self.frequencies  # [L, d // 2]
        sin, cos = angles.sin().to(x.dtype), angles.cos().to(x.dtype)
        a, b = (x[..., ::2], x[..., 1::2]) if self.interleaved else x.chunk(2, dim=-1)
        turned = a * cos - b * sin, b * cos + a * sin
        if self.interleaved:
            return torch.stack(turned, dim=-1).flatten(-2)
        return torch.cat(turned, dim=-1)
'''


@register("rotary")
class Rotary(Op, frozen=True):
    """Rotary position embedding (RoFormer, Su et al., 2021) of queries or keys `[heads, L, d]`: pairs of features are
    turned by angles that grow with the position, so that scores depend on distances alone.

    Feature `i` is paired with `i + d / 2`, as in GPT-NeoX and LLaMA; `interleaved` pairs neighbours, as in the paper.
    """

    base: Annotated[float, Meta(gt=0)] = 10000.0
    interleaved: bool = False

    layout = "sequence"
    is_layer = True
    saves = "inputs"
    examples = (
        Example("rotary", ("[2, 5, 8]",)),
        Example("rotary(interleaved=true)", ("[2, 5, 8]",)),
        Example("rotary(base=100)", ("[5, 6]",)),
        Example("rotary(interleaved=true, base=500000)", ("[3, 2, 4, 4]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x = floating(inputs[0], "rotary")
        if x.rank < 2:
            raise OpError(f"`rotary` needs positions and features, [..., L, d], found {x}", operand=0)
        if self._width(x) % 2:
            raise OpError(
                f"`rotary` turns pairs of features, found {x.shape[-1]} of them", operand=0, code="indivisible"
            )
        return x

    def buffers(self, *inputs: TensorType) -> dict[str, Buffer]:
        return {"frequencies": Buffer((self._width(inputs[0]) // 2,), persistent=False)}

    def torch(self, *inputs: TensorType) -> Torch:
        options = optional({"base": 10000.0, "interleaved": False}, base=self.base, interleaved=self.interleaved)
        return Torch(Call("Rotary", (self._width(inputs[0]),), options), helper=HELPER)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        sin, cos = self._turns(g, x[0].type)
        half = self._width(x[0].type) // 2
        if self.interleaved:
            pairs = g.op("Reshape", x[0].name, g.const((0,) * x[0].type.rank + (half, 2), "int64"))
            sides = g.op("Split", pairs, g.const((1, 1), "int64"), outputs=2, axis=-1)
            a, b = (g.op("Squeeze", side, g.const((-1,), "int64")) for side in sides)
        else:
            a, b = g.op("Split", x[0].name, g.const((half, half), "int64"), outputs=2, axis=-1)
        first = g.op("Sub", g.op("Mul", a, cos), g.op("Mul", b, sin))
        second = g.op("Add", g.op("Mul", b, cos), g.op("Mul", a, sin))
        if not self.interleaved:
            return g.op("Concat", first, second, axis=-1)
        both = (g.op("Unsqueeze", part, g.const((-1,), "int64")) for part in (first, second))
        joined = g.op("Concat", *both, axis=-1)
        return g.op("Reshape", joined, g.const((0,) * x[0].type.rank + (-1,), "int64"))

    def _turns(self, g: Graph, x: TensorType) -> tuple[str, str]:
        """Sine and cosine of the angle of each position and pair, `[L, d // 2]`."""
        length, width = x.shape[-2], self._width(x)
        frequencies = [self.base ** (-i / width) for i in range(0, width, 2)]
        if isinstance(length, int):
            positions = g.const([[p] for p in range(length)])
        else:
            end = g.op("Squeeze", g.shape(length, batch=False), g.const((0,), "int64"))
            places = g.op("Cast", g.op("Range", g.const(0, "int64"), end, g.const(1, "int64")), to=1)
            positions = g.op("Unsqueeze", places, g.const((1,), "int64"))
        angles = g.op("Mul", positions, g.const(frequencies))
        return str(g.op("Sin", angles)), str(g.op("Cos", angles))

    def _width(self, x: TensorType) -> int:
        return known(x.shape[-1], "the number of features")
