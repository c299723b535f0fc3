"""The relative position bias and mask of attention in shifted windows: `window_bias`."""

from typing import Any

from netdsl.ops.base import Buffer, Call, Example, Graph, Op, Operand, Param, Torch, register, require
from netdsl.ops.rearranging import image
from netdsl.ops.spatial import Positive, Spatial, optional, per_axis
from netdsl.ops.windowing import Shift, moves, window_of
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


RECTANGULAR = '''\
class RectangularWindowBias(nn.Module):
    """The relative position bias of attention in windows of other rows than columns, with the mask of a shift."""

    def __init__(self, heads: int, window: tuple[int, int], shift: tuple[int, int] = (0, 0)) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        height, width = window
        offsets = 2 * width - 1
        self.relative_position_bias_table = nn.Parameter(torch.randn((2 * height - 1) * offsets, heads) * 0.02)
        position = torch.cartesian_prod(torch.arange(height), torch.arange(width))
        offset = position[:, None] - position + torch.tensor([height - 1, width - 1])
        index = (offset[..., 0] * offsets + offset[..., 1]).flatten()
        self.register_buffer("relative_position_index", index)

    def forward(self, x: Tensor) -> Tensor:
        height, width = self.window
        bias = self.relative_position_bias_table[self.relative_position_index]
        bias = bias.unflatten(0, (height * width, -1)).permute(2, 0, 1)[None]  # [1, heads, L, L]
        if not any(self.shift):
            return bias
        sides = [torch.arange(size, device=x.device) - size for size in x.shape[2:]]
        both = zip(sides, self.window, self.shift)
        rows, columns = ((side >= -size).long() + (side >= -shift) for side, size, shift in both)
        region = 3 * rows[:, None] + columns
        region = region.unflatten(0, (-1, height)).unflatten(2, (-1, width))
        region = region.transpose(1, 2).flatten(2).flatten(0, 1)  # [windows, L]
        apart = region[:, None] != region[:, :, None]
        return bias[:, None] + apart[None, :, None] * -100.0  # [1, windows, heads, L, L]
'''


@register("window_bias")
class WindowBias(Op, frozen=True):
    """The bias of attention scores in windows of an image (Swin, Liu et al., 2021): a learnt bias for each head
    and relative position, `[heads, L, L]` with L the positions of a window of `size` (a side, or rows and columns).
    Where the windows are shifted by `shift`, the result is `[windows, heads, L, L]`, and positions that were far apart
    before gain -100.

    The image flows in (`bias = window_bias(3, 7, shift=3)`), and the result is the mask of the attention:
    `roll(-3) -> windows(7) -> attention(3, mask=bias) -> unwindows(H, W) -> roll(3)`.
    """

    heads: Positive
    size: Spatial
    shift: Shift = 0

    positional = 2
    is_layer = True
    examples = (
        Example("window_bias(2, 3)", ("[4, 6, 9]",)),
        Example("window_bias(2, 3, shift=1)", ("[4, 6, 9]",)),
        Example("window_bias(3, 2, shift=1)", ("[4, 2, 4]",)),
        Example("window_bias(2, (2, 3))", ("[4, 6, 9]",)),
        Example("window_bias(2, (2, 3), shift=(1, 2))", ("[4, 6, 9]",)),
        Example("window_bias(2, (2, 3), shift=(0, 1))", ("[4, 6, 9]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        _, height, width = image(inputs[0], "window_bias")
        (rows, columns), _ = window_of(self.size, self.shift)
        for side, size in ((height, rows), (width, columns)):
            message = f"windows of {size} do not tile a size of {side}"
            require(assume.divisible(side, size), message, argument="size", code="indivisible")
        scores = (self.heads, rows * columns, rows * columns)
        count = (self._count(height, width),) if moves(self.shift) else ()
        return TensorType((*count, *scores), batched=False)

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        rows, columns = per_axis(self.size, 2, "size")
        return {"relative_position_bias_table": Param(((2 * rows - 1) * (2 * columns - 1), self.heads), "position")}

    def buffers(self, *inputs: TensorType) -> dict[str, Buffer]:
        rows, columns = per_axis(self.size, 2, "size")
        return {"relative_position_index": Buffer(((rows * columns) ** 2,), "int64")}

    def torch(self, *inputs: TensorType) -> Torch:
        if isinstance(self.size, int) and isinstance(self.shift, int):
            options = optional({"shift": 0}, shift=self.shift)
            return Torch(Call("WindowBias", (self.heads, self.size), options), helper=HELPER)
        size, shift = window_of(self.size, self.shift)
        return Torch(
            Call("RectangularWindowBias", (self.heads, size), optional({"shift": (0, 0)}, shift=shift)),
            helper=RECTANGULAR,
        )

    def onnx(self, g: Graph, *x: Operand) -> Any:
        (h, w), shift = window_of(self.size, self.shift)
        table = g.array("relative_position_bias_table")[relative_index(h, w)]
        bias = table.reshape(h * w, h * w, self.heads).transpose(2, 0, 1)[None]
        if not any(shift):
            return g.const(bias)
        _, height, width = x[0].type.shape
        if not (isinstance(height, int) and isinstance(width, int)):
            return self._computed(g, bias, height, width)
        rows, columns = _sides(height, h, shift[0]), _sides(width, w, shift[1])
        starts = [(i, j) for i in range(0, height, h) for j in range(0, width, w)]
        inside = [(i, j) for i in range(h) for j in range(w)]
        regions = [[3 * rows[top + i] + columns[left + j] for i, j in inside] for top, left in starts]
        apart = [[[[APART * (a != b) for b in region] for a in region]] for region in regions]
        return g.const(bias[:, None] + [apart])

    def _computed(self, g: Graph, bias: Any, height: Dim, width: Dim) -> Any:
        """The same from sizes that are known only when the net runs."""
        (h, w), (down, right) = window_of(self.size, self.shift)
        rows = g.op("Mul", _side(g, height, h, down), g.const(3, "int64"))
        region = g.op("Add", g.op("Unsqueeze", rows, g.const((1,), "int64")), _side(g, width, w, right))
        cut = g.op("Reshape", region, g.shape(floordiv(height, h), h, floordiv(width, w), w, batch=False))
        cut = g.op("Transpose", cut, perm=(0, 2, 1, 3))
        region = g.op("Reshape", cut, g.shape(self._count(height, width), h * w, batch=False))
        one, other = (g.op("Unsqueeze", region, g.const(axes, "int64")) for axes in ((0, 2, 3), (0, 2, 4)))
        apart = g.op("Where", g.op("Equal", one, other), g.const(0.0), g.const(APART))
        return g.op("Add", apart, g.const(bias[:, None]))

    def _count(self, height: Dim, width: Dim) -> Dim:
        rows, columns = per_axis(self.size, 2, "size")
        return floordiv(height, rows) * floordiv(width, columns)


def _sides(length: int, size: int, shift: int) -> list[int]:
    """On which side of the seams along one axis each position lies: 0, 1 or 2."""
    return [(i >= length - size) + (i >= length - shift) for i in range(length)]


def _side(g: Graph, length: Dim, size: int, shift: int) -> str:
    """`_sides` in the graph."""
    places = g.op("Squeeze", g.shape(length, batch=False), g.const((0,), "int64"))
    to_end = g.op("Sub", g.op("Range", g.const(0, "int64"), places, g.const(1, "int64")), places)
    beyond = (g.op("GreaterOrEqual", to_end, g.const(-n, "int64")) for n in (size, shift))
    return str(g.op("Add", *(g.op("Cast", b, to=7) for b in beyond)))


def relative_index(height: int, width: int) -> list[int]:
    """For each pair of positions in a window, the row of the table that their offset has."""
    positions = [(i, j) for i in range(height) for j in range(width)]
    span = 2 * width - 1
    return [(i - k + height - 1) * span + j - m + width - 1 for i, j in positions for k, m in positions]
