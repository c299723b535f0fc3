"""Numbers moved between channels and positions: `pixel_shuffle`, `pixel_unshuffle`, `channel_shuffle`, `roll`."""

from typing import Any

from netdsl.ops.base import Call, Example, Field, Graph, Op, Operand, OpError, Torch, Window, X, register, require
from netdsl.ops.features import axis_of, dim_of, nearest_divisor
from netdsl.ops.lowering import reshaped, transposed
from netdsl.ops.spatial import Positive
from netdsl.sizes.constraints import IMPOSSIBLE, Assumptions
from netdsl.sizes.dims import Dim, floordiv
from netdsl.tensors import TensorType


def image(x: TensorType, kind: str) -> tuple[Dim, Dim, Dim]:
    """The sizes of an image. Raises OpError for what is none."""
    if x.rank != 3:
        raise OpError(f"`{kind}` needs an image [C, H, W], found {x}", operand=0)
    channels, height, width = x.shape
    return channels, height, width


@register("pixel_shuffle")
class PixelShuffle(Op, frozen=True):
    """`[C * r * r, H, W]` to `[C, H * r, W * r]`: channels become positions (Shi et al., 2016), as
    torch.nn.PixelShuffle."""

    upscale_factor: Positive

    layout = "channels"
    positional = 1
    saves = "nothing"
    examples = (Example("pixel_shuffle(2)", ("[12, 3, 4]",)), Example("pixel_shuffle(3)", ("[9, 3, 4]",)))

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        channels, height, width = image(inputs[0], "pixel_shuffle")
        r = self.upscale_factor
        message = f"{channels} channels do not make {r} x {r} positions"
        if assume.divisible(channels, r * r) == IMPOSSIBLE:
            fitting = nearest_divisor(channels, r, power=2) if isinstance(channels, int) else 1
            hint = f"`pixel_shuffle({fitting})` would" if fitting > 1 else None
            raise OpError(message, argument="upscale_factor", code="indivisible", hint=hint)
        return inputs[0].with_shape(floordiv(channels, r * r), height * r, width * r)

    def torch(self, *inputs: TensorType) -> Torch:
        r = (self.upscale_factor,)
        return Torch(Call("nn.PixelShuffle", r), Call("F.pixel_shuffle", (X(), *r)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        if x[0].type.dtype != "float32":  # onnxruntime has it for real numbers alone
            return self._moved(g, x[0])
        return g.op("DepthToSpace", x[0].name, blocksize=self.upscale_factor, mode="CRD")

    def _moved(self, g: Graph, x: Operand) -> Any:
        """The same by moving axes."""
        channels, height, width = x.type.shape
        r = self.upscale_factor
        cut = reshaped(g, x, floordiv(channels, r * r), r, r, height, width)
        moved = transposed(g, cut, 0, 3, 1, 4, 2)
        return reshaped(g, Operand(moved, x.type), *self.infer(Assumptions(), x.type).shape)

    def window(self, *inputs: TensorType) -> Window:
        r = (self.upscale_factor,) * 2
        return Window(r, r, (0, 0), transposed=True)


@register("pixel_unshuffle")
class PixelUnshuffle(Op, frozen=True):
    """`[C, H * r, W * r]` to `[C * r * r, H, W]`: the reverse of `pixel_shuffle`, as torch.nn.PixelUnshuffle."""

    downscale_factor: Positive

    layout = "channels"
    positional = 1
    saves = "nothing"
    examples = (Example("pixel_unshuffle(2)", ("[3, 4, 6]",)), Example("pixel_unshuffle(3)", ("[1, 6, 9]",)))

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        channels, height, width = image(inputs[0], "pixel_unshuffle")
        r = self.downscale_factor
        for size in (height, width):
            message = f"a size of {size} does not divide into {r}"
            require(assume.divisible(size, r), message, argument="downscale_factor", code="indivisible")
        return inputs[0].with_shape(channels * (r * r), floordiv(height, r), floordiv(width, r))

    def torch(self, *inputs: TensorType) -> Torch:
        r = (self.downscale_factor,)
        return Torch(Call("nn.PixelUnshuffle", r), Call("F.pixel_unshuffle", (X(), *r)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        channels, height, width = x[0].type.shape
        r = self.downscale_factor
        cut = (channels, floordiv(height, r), r, floordiv(width, r), r)
        moved = transposed(g, reshaped(g, x[0], *cut), 0, 2, 4, 1, 3)
        return reshaped(g, Operand(moved, x[0].type), *self.infer(Assumptions(), x[0].type).shape)

    def window(self, *inputs: TensorType) -> Window:
        r = (self.downscale_factor,) * 2
        return Window(r, r, (0, 0))


@register("channel_shuffle")
class ChannelShuffle(Op, frozen=True):
    """Channels dealt out over `groups`, so that grouped convolutions mix (ShuffleNet, Zhang et al., 2017), as
    torch.nn.ChannelShuffle: channel `i * (C // groups) + j` goes to `j * groups + i`."""

    groups: Positive

    layout = "channels"
    positional = 1
    saves = "nothing"
    examples = (Example("channel_shuffle(2)"), Example("channel_shuffle(3)", ("[6, 5]",)))

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        if x.rank < 2:
            raise OpError(f"`channel_shuffle` needs channels and positions, found {x}", operand=0)
        message = f"{self.groups} groups do not divide {x.shape[0]} channels"
        require(assume.divisible(x.shape[0], self.groups), message, argument="groups", code="indivisible")
        return x

    def torch(self, *inputs: TensorType) -> Torch:
        cut = Call(".unflatten", (X(), 1, (self.groups, -1)))
        return Torch(
            Call("nn.ChannelShuffle", (self.groups,)), Call(".flatten", (Call(".transpose", (cut, 1, 2)), 1, 2))
        )

    def onnx(self, g: Graph, *x: Operand) -> Any:
        channels, *spatial = x[0].type.shape
        cut = reshaped(g, x[0], self.groups, floordiv(channels, self.groups), *spatial)
        moved = transposed(g, cut, 1, 0, *range(2, len(spatial) + 2))
        return reshaped(g, Operand(moved, x[0].type), channels, *spatial)


def _as_shift(steps: Any) -> Any:
    """A shift as the author's argument of that name, whatever its direction."""
    if not isinstance(steps, int):
        return steps
    return Field("shift", steps) if steps > 0 else Call("-", (Field("shift", -steps),))


@register("roll")
class Roll(Op, frozen=True):
    """Positions shifted by `shifts` along `axes` (by default those after the channels), around the end, as
    torch.roll."""

    shifts: int | tuple[int, ...]
    axes: tuple[int, ...] | None = None

    positional = 1
    saves = "nothing"
    examples = (
        Example("roll(-3)"),
        Example("roll((1, 0))"),
        Example("roll(2, axes=(0,))", ("[5, 6]",)),
        Example("roll(9, axes=(2,))"),
        Example("roll((2, -3))"),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        self._moves(inputs[0])
        return inputs[0]

    def torch(self, *inputs: TensorType) -> Torch:
        moves = self._moves(inputs[0])
        if not moves:
            return Torch(expression=X())
        shifts, dims = tuple(_as_shift(s) for s, _ in moves), tuple(dim_of(inputs[0], a) for _, a in moves)
        return Torch(expression=Call(".roll", (X(), shifts, dims)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        y = x[0].name
        for shift, axis in self._moves(x[0].type):
            dim = dim_of(x[0].type, axis)
            cut = self._cut(g, shift, x[0].type.shape[axis])
            start, end, along = g.const((0,), "int64"), g.const((2**31 - 1,), "int64"), g.const((dim,), "int64")
            y = g.op("Concat", g.op("Slice", y, cut, end, along), g.op("Slice", y, start, cut, along), axis=dim)
        return y

    @staticmethod
    def _cut(g: Graph, shift: int, size: Dim) -> Any:
        """Where the first position of the result stands in the input, as a vector of one number."""
        if isinstance(size, int):
            return g.const((-shift % size,), "int64")
        return g.op("Mod", g.const((-shift,), "int64"), g.shape(size, batch=False))

    def layout_of(self, x: TensorType) -> str:
        return "channels" if self.axes is None else "any"

    def _moves(self, x: TensorType) -> list[tuple[int, int]]:
        """Pairs of a shift and its axis; those that move nothing are left out."""
        axes = range(1, x.rank) if self.axes is None else [axis_of(x, a, "axes") for a in self.axes]
        shifts = (self.shifts,) * len(axes) if isinstance(self.shifts, int) else self.shifts
        if len(shifts) != len(axes):
            message = f"`shifts` has {len(shifts)} numbers for {len(axes)} axes"
            raise OpError(message, argument="shifts", code="argument-conflict")
        return [
            (s, a)
            for s, a in zip(shifts, axes, strict=True)
            if s and (s % n if isinstance(n := x.shape[a], int) else 1)
        ]
