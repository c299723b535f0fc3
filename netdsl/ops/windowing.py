"""Images cut into windows and joined again: `windows`, `unwindows`."""

from math import isqrt
from typing import Any

from netdsl.ops.base import Call, Example, Field, Graph, Op, Operand, OpError, Torch, X, register, require
from netdsl.ops.lowering import reshaped, transposed
from netdsl.ops.rearranging import Roll, image
from netdsl.ops.reshaping import size_of
from netdsl.ops.spatial import Natural, Spatial, per_axis
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import floordiv
from netdsl.tensors import TensorType

Shift = Natural | tuple[Natural, ...]


@register("windows")
class Windows(Op, frozen=True):
    """An image cut into windows of `size` (a side, or rows and columns), each a sequence of its positions: `[C, H, W]`
    to `[H // size * (W // size), size * size, C]` (Swin, Liu et al., 2021). `unwindows` is the inverse.

    The first window begins at position `shift` of both axes, and the last ones continue at the other end of the image.
    """

    size: Spatial
    shift: Shift = 0

    layout = "channels"
    positional = 1
    saves = "nothing"
    examples = (
        Example("windows(3)", ("[4, 6, 9]",)),
        Example("windows(3, shift=1)", ("[4, 6, 9]",)),
        Example("windows((2, 3), shift=(1, 2))", ("[4, 6, 9]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        channels, height, width = image(inputs[0], "windows")
        (rows, columns), _ = window_of(self.size, self.shift)
        for side, size in ((height, rows), (width, columns)):
            message = f"windows of {size} do not tile a size of {side}"
            require(assume.divisible(side, size), message, argument="size", code="indivisible")
        count = floordiv(height, rows) * floordiv(width, columns)
        return inputs[0].with_shape(count, rows * columns, channels)

    def features(self, result: TensorType, *inputs: TensorType) -> int | None:
        return 2

    def torch(self, *inputs: TensorType) -> Torch:
        height, width = fields("size", self.size)
        back = tuple(-s if isinstance(s, int) else Call("-", (s,)) for s in fields("shift", self.shift))
        moved: Any = Call(".roll", (X(), back, (2, 3))) if moves(self.shift) else X()
        rows = Call(".unflatten", (moved, 2, (-1, height)))
        cut = Call(".unflatten", (rows, 4, (-1, width)))
        moved = Call(".permute", (cut, 0, 2, 4, 3, 5, 1))
        return Torch(expression=Call(".flatten", (Call(".flatten", (moved, 3, 4)), 1, 2)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        channels, height, width = x[0].type.shape
        size, shift = window_of(self.size, self.shift)
        if isinstance(height, int) and isinstance(width, int):
            last = Operand(transposed(g, x[0].name, 1, 2, 0), x[0].type)
            flat = reshaped(g, last, height * width, channels)
            return g.op("Gather", flat, g.const(origins(height, width, size, shift), "int64"), axis=1)
        rolled = Operand(Roll(tuple(-s for s in shift)).onnx(g, *x), x[0].type) if any(shift) else x[0]
        cut = reshaped(g, rolled, channels, floordiv(height, size[0]), size[0], floordiv(width, size[1]), size[1])
        moved = Operand(transposed(g, cut, 1, 3, 2, 4, 0), x[0].type)
        return reshaped(g, moved, *self.infer(Assumptions(), x[0].type).shape)


@register("unwindows")
class Unwindows(Op, frozen=True):
    """Windows joined to an image of `height` x `width`: the reverse of `windows` with the same `shift`, and the same
    `size` where they are not square."""

    height: Any
    width: Any
    shift: Shift = 0
    size: Spatial | None = None

    layout = "sequence"
    positional = 2
    saves = "nothing"
    examples = (
        Example("unwindows(6, 9)", ("[6, 9, 4]",)),
        Example("unwindows(6, 9, shift=1)", ("[6, 9, 4]",)),
        Example("unwindows(6, 9, size=(2, 3), shift=(1, 2))", ("[9, 6, 4]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        (rows, columns), _ = window_of(self._size(x), self.shift)
        height, width = size_of(self.height, "height"), size_of(self.width, "width")
        message = f"{x} are not the windows of an image of {self.height} x {self.width}"
        if x.rank != 3:
            raise OpError(message, operand=0)
        require(assume.equal(x.shape[1], rows * columns), message, operand=0)
        for name, side, size in (("height", height, rows), ("width", width, columns)):
            tiles = f"windows of {size} do not tile a size of {side}"
            require(assume.divisible(side, size), tiles, argument=name, code="indivisible")
        count = floordiv(height, rows) * floordiv(width, columns)
        require(assume.equal(x.shape[0], count), message, operand=0)
        return x.with_shape(x.shape[2], height, width)

    def features(self, result: TensorType, *inputs: TensorType) -> int | None:
        return 0

    def torch(self, *inputs: TensorType) -> Torch:
        rows, columns = fields("size", self._size(inputs[0]))
        cut = Call(".unflatten", (X(), 2, (rows, columns)))
        cut = Call(".unflatten", (cut, 1, (Call("//", (self.height, rows)), Call("//", (self.width, columns)))))
        moved = Call(".permute", (cut, 0, 5, 1, 3, 2, 4))
        joined = Call(".flatten", (Call(".flatten", (moved, 4, 5)), 2, 3))
        shift = fields("shift", self.shift)
        return Torch(expression=Call(".roll", (joined, shift, (2, 3))) if moves(self.shift) else joined)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        channels, height, width = x[0].type.shape[2], self.height, self.width
        size, shift = window_of(self._size(x[0].type), self.shift)
        if isinstance(height, int) and isinstance(width, int):
            flat = reshaped(g, x[0], height * width, channels)
            joined = g.op("Gather", flat, g.const(places(height, width, size, shift), "int64"), axis=1)
            return transposed(g, joined, 2, 0, 1)
        cut = reshaped(g, x[0], floordiv(height, size[0]), floordiv(width, size[1]), *size, channels)
        joined = reshaped(g, Operand(transposed(g, cut, 4, 0, 2, 1, 3), x[0].type), channels, height, width)
        image_type = x[0].type.with_shape(channels, height, width)
        return Roll(shift).onnx(g, Operand(joined, image_type)) if any(shift) else joined

    def _size(self, x: TensorType) -> Any:
        """The size of a window, as `size` of `windows`."""
        if self.size is not None:
            return self.size
        positions = x.shape[1] if x.rank == 3 else 0
        message = f"`unwindows` needs square windows [N, size * size, C], found {x}"
        if not isinstance(positions, int):
            raise OpError(message, operand=0, code="symbolic-size")
        size = isqrt(positions)
        if size == 0 or size**2 != positions:
            raise OpError(message, operand=0)
        return size


def window_of(size: Any, shift: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Rows and columns of a window, and where the first begins. Raises OpError unless that is within the window."""
    sizes, shifts = per_axis(size, 2, "size"), per_axis(shift, 2, "shift")
    if any(moved >= side for moved, side in zip(shifts, sizes, strict=True)):
        raise OpError("`shift` must be less than the window", argument="shift", code="argument-value")
    return sizes, shifts


def fields(name: str, value: Any) -> tuple[Any, ...]:
    """The numbers of both axes as they are printed: one argument of a module stands for both."""
    return per_axis(value, 2, name) if isinstance(value, tuple) else (Field(name, value),) * 2


def moves(shift: Any) -> bool:
    """Whether a shift moves anything."""
    return any(per_axis(shift, 2, "shift"))


def origins(height: int, width: int, size: tuple[int, ...], shift: tuple[int, ...]) -> list[list[int]]:
    """For each window and each position in it, the position of the image (row by row) that is seen there."""
    tops, lefts = (range(first, side + first, n) for first, side, n in zip(shift, (height, width), size, strict=True))
    corners = [(i, j) for i in tops for j in lefts]
    inside = [(i, j) for i in range(size[0]) for j in range(size[1])]
    return [[(top + i) % height * width + (left + j) % width for i, j in inside] for top, left in corners]


def places(height: int, width: int, size: tuple[int, ...], shift: tuple[int, ...]) -> list[list[int]]:
    """For each position of the image, where it stands among those of the windows: the reverse of `origins`."""
    seen = [p for window in origins(height, width, size, shift) for p in window]
    place = sorted(range(len(seen)), key=seen.__getitem__)
    return [place[row : row + width] for row in range(0, height * width, width)]
