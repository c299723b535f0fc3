"""Images with a margin added or taken away, and parts of an axis: `pad`, `crop`, `narrow`, `take`."""

from typing import Any, Literal

from msgspec.structs import replace

from netdsl.ops.base import Call, Code, Example, Graph, Op, Operand, OpError, Torch, Window, X, register, require
from netdsl.ops.features import axis_of, dim_of, features_without, is_bare, number_for
from netdsl.ops.lowering import padded, reshaped
from netdsl.ops.reshaping import size_of
from netdsl.ops.spatial import spatial_axes
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Dim, Size, floordiv
from netdsl.tensors import TensorType

Sides = int | tuple[int | tuple[int, int], ...]


@register("pad")
class Pad(Op, frozen=True):
    """A margin around the image: `pad(1)` on all sides, `pad((1, 2))` of 1 above and below and 2 left and right,
    `pad(((0, 1), (2, 3)))` above, below, left, right. On a sequence `pad((4, 0))` adds 4 places before (causal).
    `axis` pads another axis alone: `pad((8, 8), axis=0)` adds 8 channels of zeros before and 8 after (the
    parameter-free shortcut of He et al., 2015).

    `mode` is `zeros` (with `value`), `reflect`, `replicate` or `circular`. With zeros a negative margin cuts off.
    """

    padding: Sides
    mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros"
    value: float = 0.0
    axis: int | None = None

    positional = 1
    saves = "nothing"
    examples = (
        Example("pad(1)"),
        Example("pad((1, 2))"),
        Example("pad(((0, 1), (2, 3)), value=0.5)"),
        Example("pad(((-1, 1), (-2, 0)))"),
        Example("pad((2, 3), axis=0)"),
        Example("pad(1, mode=reflect)"),
        Example("pad(((1, 0), (2, 2)), mode=replicate)"),
        Example("pad(2, mode=circular)"),
        Example("pad(2)", ("[4, 9]",)),
        Example("pad((4, 0))", ("[4, 9]",)),
        Example("pad((1, 2), axis=-1)", ("[7]",)),
    )

    def resolve(self, *inputs: TensorType) -> Op:
        if inputs[0].rank == 0:
            raise OpError(f"{inputs[0]} has no axes to pad", operand=0)
        return replace(self, padding=self._sides(inputs[0]), axis=None)

    def layout_of(self, x: TensorType) -> str:
        return "channels" if self.axis is None else "any"

    def _sides(self, x: TensorType) -> tuple[tuple[int, int], ...]:
        """The margins before and after, for every axis of the sample."""
        if self.axis is not None:
            return self._of_axis(x, axis_of(x, self.axis))
        axes = max(x.rank - 1, 1)
        sides = (self.padding,) * axes if isinstance(self.padding, int) else self.padding
        pairs = tuple(p for p in sides if isinstance(p, tuple))
        if len(pairs) == len(sides) == x.rank:
            return pairs  # as `resolve` leaves them
        if axes == 1 and len(sides) == 2 and not pairs:
            before, after = (p for p in sides if isinstance(p, int))
            sides = ((before, after),)
        if len(sides) != axes:
            message = f"`padding` has {len(sides)} entries for {spatial_axes(axes)}"
            raise OpError(message, argument="padding", code="argument-value")
        around = tuple(p if isinstance(p, tuple) else (p, p) for p in sides)
        return ((0, 0),) * (x.rank - axes) + around

    def _of_axis(self, x: TensorType, at: int) -> tuple[tuple[int, int], ...]:
        """The margins, where only one axis has some."""
        pair = (self.padding,) * 2 if isinstance(self.padding, int) else self.padding
        if len(pair) != 2 or not all(isinstance(p, int) for p in pair):
            raise OpError("with `axis`, `padding` is a number or a pair", argument="padding", code="argument-conflict")
        before, after = (p for p in pair if isinstance(p, int))
        return tuple((before, after) if i == at else (0, 0) for i in range(x.rank))

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        number_for(x, self.value, "pad")
        if self.mode != "zeros" and x.rank > 1 and any(self._pairs()[0]):
            raise OpError(f"`mode={self.mode}` pads positions, not channels", argument="mode", code="argument-value")
        sizes = []
        for size, (before, after) in zip(x.shape, self._pairs(), strict=True):
            if self.mode != "zeros" and (before or after):
                self._check_margin(assume, size, before, after)
            sizes.append(size + before + after)
            message = f"a margin of {before} and {after} leaves nothing of a size of {size}"
            require(assume.at_least(sizes[-1], 1), message, argument="padding")
            cut = min(before, 0) + min(after, 0)
            message = f"a margin of {before} and {after} cuts off more than a size of {size}"
            require(assume.at_least(size + cut, 0), message, argument="padding")
        return x.with_shape(*sizes)

    def _check_margin(self, assume: Assumptions, size: Dim, before: int, after: int) -> None:
        if min(before, after) < 0:
            raise OpError("a negative margin needs `mode=zeros`", argument="padding", code="argument-conflict")
        least = max(before, after) + (self.mode == "reflect") if self.mode != "replicate" else 1
        message = f"`mode={self.mode}` cannot take {max(before, after)} positions from a size of {size}"
        require(assume.at_least(size, least), message, argument="padding")

    def torch(self, *inputs: TensorType) -> Torch:
        pairs = self._pairs()
        if self.mode == "zeros":
            while pairs and pairs[0] == (0, 0):
                pairs = pairs[1:]
        elif inputs[0].rank > 1:
            pairs = pairs[1:]
        if not pairs:
            return Torch(expression=X())
        flat = tuple(n for pair in reversed(pairs) for n in pair)
        options: tuple[tuple[str, Any], ...] = (("value", self.value),) if self.mode == "zeros" and self.value else ()
        options = options if self.mode == "zeros" else (("mode", self.mode),)
        return Torch(expression=Call("F.pad", (X(), flat), options))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        data = reshaped(g, x[0], *x[0].type.shape) if is_bare(x[0].type) else x[0].name
        value = [g.const(self.value, x[0].type.dtype)] if self.mode == "zeros" and self.value else []
        return padded(g, data, self._pairs(), self.mode, *value)

    def window(self, *inputs: TensorType) -> Window | None:
        before = tuple(p[0] for p in self._pairs()[1:])
        return Window((1,) * len(before), (1,) * len(before), before) if before else None

    def _pairs(self) -> Any:
        return self.padding


CROP_HELPER = '''\
def center_crop(x: Tensor, size: list[int] | tuple[int, ...]) -> Tensor:
    """The middle of the last axes of `x`; of an odd rest the smaller half is cut off first."""
    for axis, length in enumerate(size, start=x.ndim - len(size)):
        x = x.narrow(axis, (x.shape[axis] - length) // 2, length)
    return x
'''


@register("crop")
class Crop(Op, frozen=True):
    """The middle of the image: of size `size` (per axis, or one for all), or of the size of another value, as U-Net
    cuts its skip links (Ronneberger et al., 2015): `crop(like=x)`. Of an odd rest the smaller half is cut off first.
    """

    size: Any = None

    layout = "channels"
    positional = 1
    optional_operands = ("like",)
    saves = "view"
    examples = (
        Example("crop(4)"),
        Example("crop((5, 6))"),
        Example("crop(like=y)", ("[4, 8, 9]", "[2, 4, 6]")),
        Example("crop(3)", ("[4, 9]",)),
    )

    def resolve(self, *inputs: TensorType) -> Op:
        axes = inputs[0].rank - 1
        if axes < 1:
            raise OpError(f"`crop` needs channels and spatial axes, found {inputs[0]}", operand=0)
        if (self.size is None) == (len(inputs) == 1):
            raise OpError("`crop` needs `size` or `like`, and not both", code="missing-argument")
        if len(inputs) == 2:
            return replace(self, size=inputs[1].spatial)
        size = self.size if isinstance(self.size, tuple | list) else (self.size,) * axes
        return replace(self, size=tuple(size_of(s, "size") for s in size))

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x = inputs[0]
        if len(self.size) != x.rank - 1:
            message = f"{len(self.size)} sizes for {spatial_axes(x.rank - 1)} of {x}"
            raise OpError(message, argument="size" if len(inputs) == 1 else None, code="argument-value")
        for old, new in zip(x.spatial, self.size, strict=True):
            require(assume.at_least(new, 1), f"cannot crop to a size of {new}", argument="size")
            hint = f"at most {old}"
            require(assume.at_least(old - new, 0), f"cannot crop a size of {old} to {new}", argument="size", hint=hint)
        return x.with_shape(x.shape[0], *self.size)

    def torch(self, *inputs: TensorType) -> Torch:
        if not self._cuts(inputs[0]):
            return Torch(expression=X())
        return Torch(expression=Call("center_crop", (X(), self.size)), helper=CROP_HELPER)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        cuts = self._cuts(x[0].type)
        if not cuts:
            return x[0].name
        axes, starts, sizes = zip(*cuts, strict=True)
        ends = tuple(a + b for a, b in zip(starts, sizes, strict=True))
        bounds = (vector(g, starts), vector(g, ends), g.const([a + 1 for a in axes], "int64"))
        return g.op("Slice", x[0].name, *bounds)

    def window(self, *inputs: TensorType) -> Window:
        starts = [floordiv(n - m, 2) for n, m in zip(inputs[0].spatial, self.size, strict=True)]
        ones = (1,) * len(starts)
        return Window(ones, ones, tuple(-s if isinstance(s, int) else 0 for s in starts))

    def _cuts(self, x: TensorType) -> list[tuple[int, Dim, Dim]]:
        """Axis, start and size of every cut."""
        pairs = enumerate(zip(x.spatial, self.size, strict=True), start=1)
        return [(axis, floordiv(old - new, 2), new) for axis, (old, new) in pairs if old != new]


def vector(g: Graph, sizes: tuple[Dim, ...]) -> str:
    """Sizes as an int64 vector in the graph."""
    if all(isinstance(s, int) for s in sizes):
        return g.const(sizes, "int64")
    return g.shape(*sizes, batch=False)


@register("narrow")
class Narrow(Op, frozen=True):
    """`length` positions of an axis (the channels, unless `axis` says another) from `start` on, as torch.narrow. A
    negative start counts from the end."""

    start: int
    length: Any
    axis: int = 0

    positional = 2
    saves = "view"
    examples = (
        Example("narrow(1, 2)"),
        Example("narrow(-3, 2)"),
        Example("narrow(0, 5, axis=-1)"),
        Example("narrow(2, 3)", ("[7]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        at, length = axis_of(x, self.axis), size_of(self.length, "length")
        message = f"{length} positions from {self.start} do not fit axis {at} of {x}"
        require(assume.at_least(length, 1), f"a length of {length}", argument="length")
        rest = -self.start - length if self.start < 0 else x.shape[at] - self.start - length
        require(assume.at_least(rest, 0), message, argument="length")
        require(assume.at_least(x.shape[at] + min(self.start, 0), 0), message, argument="start")
        return x.with_shape(*x.shape[:at], length, *x.shape[at + 1 :])

    def torch(self, *inputs: TensorType) -> Torch:
        at, stop = dim_of(inputs[0], self.axis), self.start + self.length
        if self.start < 0 and isinstance(stop, Size):  # which may be 0, that is no end
            return Torch(expression=Call(".narrow", (X(), at, self.start, self.length)))
        start, end = self.start or None, None if self.start < 0 and stop == 0 else stop
        before = (Code(":"),) * at if at >= 0 else (Code("..."),)
        return Torch(expression=Call("[]", (X(), *before, Call(":", (start, end)))))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        start: Dim = self.start
        stop = start + self.length
        if self.start < 0 and isinstance(stop, Size):
            start += x[0].type.shape[axis_of(x[0].type, self.axis)]
            stop = start + self.length
        end = 2**31 - 1 if self.start < 0 and stop == 0 else stop
        axis = g.const((dim_of(x[0].type, self.axis),), "int64")
        return g.op("Slice", x[0].name, vector(g, (start,)), vector(g, (end,)), axis)


@register("take")
class Take(Op, frozen=True):
    """One position of an axis (the channels, unless `axis` says another), without the axis: `take(0)` of a sequence
    `[L, D]` is its first token `[D]`. A tuple of positions keeps the axis: `take((0, 1, 4))` picks channels."""

    index: int | tuple[int, ...]
    axis: int = 0

    positional = 1
    saves = "view"
    examples = (
        Example("take(0)", ("[5, 6]",)),
        Example("take(-1)", ("[5, 6]",)),
        Example("take(1, axis=-1)"),
        Example("take((0, 2, 3))"),
        Example("take((1, 1, -1), axis=1)"),
        Example("take((0, 3))", ("[7]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        at = axis_of(x, self.axis)
        if self.index == ():
            raise OpError("`index` names no position", argument="index", code="argument-value")
        for i in (self.index,) if isinstance(self.index, int) else self.index:
            message = f"axis {at} of {x} has no position {i}"
            hint = f"the last one is `{x.shape[at] - 1}`, or `-1`" if isinstance(x.shape[at], int) else None
            require(assume.at_least(x.shape[at], i + 1 if i >= 0 else -i), message, argument="index", hint=hint)
        kept = () if isinstance(self.index, int) else (len(self.index),)
        return x.with_shape(*x.shape[:at], *kept, *x.shape[at + 1 :])

    def features(self, result: TensorType, *inputs: TensorType) -> int | None:
        kept = not isinstance(self.index, int)
        return (
            super().features(result, *inputs)
            if kept
            else features_without(result, inputs[0], (axis_of(inputs[0], self.axis),))
        )

    def torch(self, *inputs: TensorType) -> Torch:
        at = dim_of(inputs[0], self.axis)
        index = self.index if isinstance(self.index, int) else Code(str(list(self.index)))
        return Torch(expression=Call("[]", (X(), *((Code(":"),) * at if at >= 0 else (Code("..."),)), index)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op("Gather", x[0].name, g.const(self.index, "int64"), axis=dim_of(x[0].type, self.axis))
