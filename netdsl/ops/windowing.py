"""Images cut into windows and joined again: `windows`, `unwindows`."""

from math import isqrt
from typing import Any

from netdsl.ops.base import Call, Example, Field, Graph, Op, Operand, OpError, Torch, X, register, require
from netdsl.ops.lowering import reshaped, transposed
from netdsl.ops.rearranging import Roll, image
from netdsl.ops.reshaping import size_of
from netdsl.ops.spatial import Natural, Positive
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import floordiv
from netdsl.tensors import TensorType


@register("windows")
class Windows(Op, frozen=True):
    """An image cut into square windows of `size`, each a sequence of its positions: `[C, H, W]` to
    `[H // size * (W // size), size * size, C]` (Swin, Liu et al., 2021). `unwindows` is the inverse.

    The first window begins at position `shift` of both axes, and the last ones continue at the other end of the image.
    """

    size: Positive
    shift: Natural = 0

    positional = 1
    saves = "nothing"
    examples = (
        Example("windows(3)", ("[4, 6, 9]",)),
        Example("windows(3, shift=1)", ("[4, 6, 9]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        channels, height, width = image(inputs[0], "windows")
        check_shift(self.shift, self.size)
        for size in (height, width):
            message = f"windows of {self.size} do not tile a size of {size}"
            require(assume.divisible(size, self.size), message, argument="size", code="indivisible")
        count = floordiv(height, self.size) * floordiv(width, self.size)
        return inputs[0].with_shape(count, self.size**2, channels)

    def torch(self, *inputs: TensorType) -> Torch:
        size, back = Field("size", self.size), Call("-", (Field("shift", self.shift),))
        moved: Any = Call(".roll", (X(), (back, back), (2, 3))) if self.shift else X()
        rows = Call(".unflatten", (moved, 2, (-1, size)))
        cut = Call(".unflatten", (rows, 4, (-1, size)))
        moved = Call(".permute", (cut, 0, 2, 4, 3, 5, 1))
        return Torch(expression=Call(".flatten", (Call(".flatten", (moved, 3, 4)), 1, 2)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        channels, height, width = x[0].type.shape
        if isinstance(height, int) and isinstance(width, int):
            last = Operand(transposed(g, x[0].name, 1, 2, 0), x[0].type)
            flat = reshaped(g, last, height * width, channels)
            return g.op("Gather", flat, g.const(origins(height, width, self.size, self.shift), "int64"), axis=1)
        rolled = Operand(Roll(-self.shift).onnx(g, *x), x[0].type) if self.shift else x[0]
        cut = reshaped(
            g, rolled, channels, floordiv(height, self.size), self.size, floordiv(width, self.size), self.size
        )
        moved = Operand(transposed(g, cut, 1, 3, 2, 4, 0), x[0].type)
        return reshaped(g, moved, *self.infer(Assumptions(), x[0].type).shape)


@register("unwindows")
class Unwindows(Op, frozen=True):
    """Windows joined to an image of `height` x `width`: the reverse of `windows` with the same `shift`."""

    height: Any
    width: Any
    shift: Natural = 0

    positional = 2
    saves = "nothing"
    examples = (
        Example("unwindows(6, 9)", ("[6, 9, 4]",)),
        Example("unwindows(6, 9, shift=1)", ("[6, 9, 4]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        size = self._size(x)
        check_shift(self.shift, size)
        count = floordiv(size_of(self.height, "height"), size) * floordiv(size_of(self.width, "width"), size)
        message = f"{x} are not the windows of an image of {self.height} x {self.width}"
        require(assume.equal(x.shape[0], count), message, operand=0)
        return x.with_shape(x.shape[2], self.height, self.width)

    def torch(self, *inputs: TensorType) -> Torch:
        size, shift = Field("size", self._size(inputs[0])), Field("shift", self.shift)
        cut = Call(".unflatten", (X(), 2, (size, size)))
        cut = Call(".unflatten", (cut, 1, (Call("//", (self.height, size)), Call("//", (self.width, size)))))
        moved = Call(".permute", (cut, 0, 5, 1, 3, 2, 4))
        joined = Call(".flatten", (Call(".flatten", (moved, 4, 5)), 2, 3))
        return Torch(expression=Call(".roll", (joined, (shift, shift), (2, 3))) if self.shift else joined)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        size, channels, height, width = self._size(x[0].type), x[0].type.shape[2], self.height, self.width
        if isinstance(height, int) and isinstance(width, int):
            flat = reshaped(g, x[0], height * width, channels)
            joined = g.op("Gather", flat, g.const(places(height, width, size, self.shift), "int64"), axis=1)
            return transposed(g, joined, 2, 0, 1)
        cut = reshaped(g, x[0], floordiv(height, size), floordiv(width, size), size, size, channels)
        joined = reshaped(g, Operand(transposed(g, cut, 4, 0, 2, 1, 3), x[0].type), channels, height, width)
        image_type = x[0].type.with_shape(channels, height, width)
        return Roll(self.shift).onnx(g, Operand(joined, image_type)) if self.shift else joined

    def _size(self, x: TensorType) -> int:
        """The size of a window."""
        positions = x.shape[1] if x.rank == 3 else 0
        message = f"`unwindows` needs square windows [N, size * size, C], found {x}"
        if not isinstance(positions, int):
            raise OpError(message, operand=0, code="symbolic-size")
        size = isqrt(positions)
        if size == 0 or size**2 != positions:
            raise OpError(message, operand=0)
        return size


def check_shift(shift: int, size: int) -> None:
    """Raise OpError unless a shift is less than the window."""
    if shift >= size:
        raise OpError("`shift` must be less than the window", argument="shift", code="argument-value")


def origins(height: int, width: int, size: int, shift: int) -> list[list[int]]:
    """For each window and each position in it, the position of the image (row by row) that is seen there."""
    corners = [(i, j) for i in range(shift, height + shift, size) for j in range(shift, width + shift, size)]
    inside = [(i, j) for i in range(size) for j in range(size)]
    return [[(top + i) % height * width + (left + j) % width for i, j in inside] for top, left in corners]


def places(height: int, width: int, size: int, shift: int) -> list[list[int]]:
    """For each position of the image, where it stands among those of the windows: the reverse of `origins`."""
    seen = [p for window in origins(height, width, size, shift) for p in window]
    place = sorted(range(len(seen)), key=seen.__getitem__)
    return [place[row : row + width] for row in range(0, height * width, width)]
