"""The relative position bias and mask of attention in shifted windows: `window_bias`."""

from typing import Any

from netdsl.ops.base import Buffer, Call, Example, Graph, Op, Operand, OpError, Param, Torch, register, require
from netdsl.ops.rearranging import image
from netdsl.ops.spatial import Natural, Positive, optional
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Dim, floordiv
from netdsl.tensors import TensorType

APART = -100.0
"""What is added to the scores of positions that a shift brought together from opposite sides of the image."""

HELPER = '''\
class WindowBias(nn.Module):
    """The relative position bias of window attention (Liu et al., 2021)[[shift:, with its mask]]."""

    def __init__(self, heads: int, window: int[[shift:, shift: int = 0]]) -> None:
        super().__init__()
        self.window = window
        [[shift:self.shift = shift]]
        offsets = 2 * window - 1
        self.relative_position_bias_table = nn.Parameter(torch.randn(offsets**2, heads) * 0.02)
        position = torch.cartesian_prod(torch.arange(window), torch.arange(window))
        offset = position[:, None] - position + window - 1
        index = (offset[..., 0] * offsets + offset[..., 1]).flatten()
        self.register_buffer("relative_position_index", index)

    def forward(self, x: Tensor) -> Tensor:
        bias = self.relative_position_bias_table[self.relative_position_index]
        bias = bias.unflatten(0, (self.window**2, -1)).permute(2, 0, 1)
        [[!shift:return bias[None] ]]
        [[shift:bias = bias[None]  # [1, heads, L, L] ]]
        [[shift:if self.shift == 0:]]
        [[shift:    return bias]]
        [[shift:height, width = x.shape[2:] ]]
        [[shift:sides = (torch.arange(size, device=x.device) - size for size in (height, width))]]
        [[shift:rows, columns = ((side >= -self.window).long() + (side >= -self.shift) for side in sides)]]
        [[shift:region = 3 * rows[:, None] + columns]]
        [[shift:region = region.unflatten(0, (-1, self.window)).unflatten(2, (-1, self.window))]]
        [[shift:region = region.transpose(1, 2).flatten(2).flatten(0, 1)  # [windows, L] ]]
        [[shift:apart = region[:, None] != region[:, :, None] ]]
        [[shift:return bias[:, None] + apart[None, :, None] * -100.0  # [1, windows, heads, L, L] ]]
'''


@register("window_bias")
class WindowBias(Op, frozen=True):
    """The bias of attention scores in windows of an image (Swin, Liu et al., 2021): a learnt bias for each head
    and relative position, `[heads, L, L]` with `L = size * size`. Where the windows are shifted by `shift`, the
    result is `[windows, heads, L, L]`, and positions that were far apart before gain -100.

    The image flows in (`bias = window_bias(3, 7, shift=3)`), and the result is the mask of the attention:
    `roll(-3) -> windows(7) -> attention(3, mask=bias) -> unwindows(H, W) -> roll(3)`.
    """

    heads: Positive
    size: Positive
    shift: Natural = 0

    positional = 2
    is_layer = True
    examples = (
        Example("window_bias(2, 3)", ("[4, 6, 9]",)),
        Example("window_bias(2, 3, shift=1)", ("[4, 6, 9]",)),
        Example("window_bias(3, 2, shift=1)", ("[4, 2, 4]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        _, height, width = image(inputs[0], "window_bias")
        if self.shift >= self.size:
            raise OpError("`shift` must be less than `size`", argument="shift", code="argument-value")
        for side in (height, width):
            message = f"windows of {self.size} do not tile a size of {side}"
            require(assume.divisible(side, self.size), message, argument="size", code="indivisible")
        scores = (self.heads, self.size**2, self.size**2)
        count = (self._count(height, width),) if self.shift else ()
        return TensorType((*count, *scores), batched=False)

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        return {"relative_position_bias_table": Param(((2 * self.size - 1) ** 2, self.heads), "position")}

    def buffers(self, *inputs: TensorType) -> dict[str, Buffer]:
        return {"relative_position_index": Buffer((self.size**4,), "int64")}

    def torch(self, *inputs: TensorType) -> Torch:
        options = optional({"shift": 0}, shift=self.shift)
        return Torch(Call("WindowBias", (self.heads, self.size), options), helper=HELPER)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        length = self.size**2
        table = g.array("relative_position_bias_table")[relative_index(self.size)]
        bias = table.reshape(length, length, self.heads).transpose(2, 0, 1)[None]
        if self.shift == 0:
            return g.const(bias)
        _, height, width = x[0].type.shape
        if not (isinstance(height, int) and isinstance(width, int)):
            return self._computed(g, bias, height, width)
        rows, columns = self._sides(height), self._sides(width)
        starts = [(i, j) for i in range(0, height, self.size) for j in range(0, width, self.size)]
        inside = [(i, j) for i in range(self.size) for j in range(self.size)]
        regions = [[3 * rows[top + i] + columns[left + j] for i, j in inside] for top, left in starts]
        apart = [[[[APART * (a != b) for b in region] for a in region]] for region in regions]
        return g.const(bias[:, None] + [apart])

    def _sides(self, size: int) -> list[int]:
        """On which side of the seams along one axis each position lies: 0, 1 or 2."""
        return [(i >= size - self.size) + (i >= size - self.shift) for i in range(size)]

    def _computed(self, g: Graph, bias: Any, height: Dim, width: Dim) -> Any:
        """The same from sizes that are known only when the net runs."""
        rows = g.op("Mul", self._side(g, height), g.const(3, "int64"))
        region = g.op("Add", g.op("Unsqueeze", rows, g.const((1,), "int64")), self._side(g, width))
        w = self.size
        cut = g.op("Reshape", region, g.shape(floordiv(height, w), w, floordiv(width, w), w, batch=False))
        cut = g.op("Transpose", cut, perm=(0, 2, 1, 3))
        region = g.op("Reshape", cut, g.shape(self._count(height, width), w * w, batch=False))
        one, other = (g.op("Unsqueeze", region, g.const(axes, "int64")) for axes in ((0, 2, 3), (0, 2, 4)))
        apart = g.op("Where", g.op("Equal", one, other), g.const(0.0), g.const(APART))
        return g.op("Add", apart, g.const(bias[:, None]))

    def _side(self, g: Graph, size: Dim) -> str:
        """`_sides` in the graph."""
        length = g.op("Squeeze", g.shape(size, batch=False), g.const((0,), "int64"))
        to_end = g.op("Sub", g.op("Range", g.const(0, "int64"), length, g.const(1, "int64")), length)
        beyond = (g.op("GreaterOrEqual", to_end, g.const(-n, "int64")) for n in (self.size, self.shift))
        return str(g.op("Add", *(g.op("Cast", b, to=7) for b in beyond)))

    def _count(self, height: Dim, width: Dim) -> Dim:
        return floordiv(height, self.size) * floordiv(width, self.size)


def relative_index(window: int) -> list[int]:
    """For each pair of positions in a window, the row of the table that their offset has."""
    positions = [(i, j) for i in range(window) for j in range(window)]
    span = 2 * window - 1
    return [(i - k + window - 1) * span + j - m + window - 1 for i, j in positions for k, m in positions]
