"""Patches of images as columns, and back: `unfold`, `fold`."""

from typing import Any

from netdsl.ops.base import Call, Example, Graph, Op, Operand, OpError, Torch, Window, X, known, register, require
from netdsl.ops.features import floating
from netdsl.ops.lowering import full_shape
from netdsl.ops.rearranging import image
from netdsl.ops.reshaping import size_of
from netdsl.ops.spatial import Margin, Spatial, compact, extent, optional, per_axis, window_output
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Dim, product
from netdsl.tensors import TensorType

LARGEST_SELECTION = 1 << 24
"""Numbers of the weight by which ONNX's `fold` lays patches down: 64 MiB."""


class Patches(Op, frozen=True):
    """The base of both: patches of `kernel_size`, `stride` apart, over an image with a margin of `padding` zeros."""

    layout = "channels"

    def _numbers(self) -> dict[str, tuple[int, ...]]:
        """The sizes of the patches, one for each axis."""
        return {n: per_axis(getattr(self, n), 2, n) for n in ("kernel_size", "dilation", "padding", "stride")}

    def _count(self, assume: Assumptions, size: tuple[Dim, ...], argument: str) -> tuple[Dim, ...]:
        """How many patches there are along each axis. Raises OpError for none."""
        n = self._numbers()
        counts = tuple(map(window_output, size, n["kernel_size"], n["stride"], n["padding"], n["dilation"]))
        for count, side in zip(counts, size, strict=True):
            message = (
                f"a kernel of {compact(extent(n['kernel_size'], n['dilation']))} does not fit into a size of {side}"
            )
            require(assume.at_least(count, 1), message, argument=argument)
        return counts

    def _call(self) -> tuple[tuple[str, Any], ...]:
        """The arguments of PyTorch's layer."""
        n = {name: compact(value) for name, value in self._numbers().items()}
        return optional(
            {"dilation": 1, "padding": 0, "stride": 1}, **{k: n[k] for k in ("dilation", "padding", "stride")}
        )

    def _attributes(self) -> dict[str, Any]:
        """The attributes of ONNX's convolution."""
        n = self._numbers()
        return {
            "kernel_shape": n["kernel_size"],
            "strides": n["stride"],
            "dilations": n["dilation"],
            "pads": n["padding"] * 2,
        }


@register("unfold")
class Unfold(Patches, frozen=True):
    """Patches of an image as columns, as torch.nn.Unfold: `[C, H, W]` to `[C * k * k, L]`, one column for each place of
    the kernel, row by row. `permute((1, 0))` makes a token of each."""

    kernel_size: Spatial
    dilation: Spatial = 1
    padding: Margin = 0
    stride: Spatial = 1

    positional = 1
    saves = "nothing"
    examples = (
        Example("unfold(3)"),
        Example("unfold(2, stride=2)", ("[3, 4, 6]",)),
        Example("unfold((2, 3), padding=1, dilation=2, stride=(1, 2))"),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x = floating(inputs[0], "unfold")
        channels, *size = image(x, "unfold")
        counts = self._count(assume, tuple(size), "kernel_size")
        return x.with_shape(
            known(channels, "the number of channels") * product(self._numbers()["kernel_size"]), product(counts)
        )

    def torch(self, *inputs: TensorType) -> Torch:
        kernel = (compact(self._numbers()["kernel_size"]),)
        return Torch(Call("nn.Unfold", kernel, self._call()), Call("F.unfold", (X(), *kernel), self._call()))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        n, kind = self._numbers(), x[0].type
        counts = self._count(Assumptions(), kind.shape[1:], "kernel_size")
        margin = (0, 0, *n["padding"]) * 2
        y = g.op("Pad", x[0].name, g.const(margin, "int64")) if any(margin) else x[0].name
        for axis, (count, kernel, dilation, stride) in enumerate(
            zip(counts, n["kernel_size"], n["dilation"], n["stride"], strict=True)
        ):
            y = g.op("Gather", y, _places(g, count, kernel, dilation, stride), axis=2 + 2 * axis)
        y = g.op("Transpose", y, perm=(0, 1, 2, 4, 3, 5))
        return g.op("Reshape", y, full_shape(g, kind, *self.infer(Assumptions(), kind).shape))

    def window(self, *inputs: TensorType) -> Window:
        n = self._numbers()
        return Window(extent(n["kernel_size"], n["dilation"]), n["stride"], n["padding"])


def _places(g: Graph, count: Dim, kernel: int, dilation: int, stride: int) -> str:
    """The positions of an axis that `count` patches cover, [kernel, count]."""
    import numpy as np

    within = dilation * np.arange(kernel)[:, None]
    if isinstance(count, int):
        return g.const(within + stride * np.arange(count), "int64")
    last = g.op("Squeeze", g.shape(count, batch=False), g.const((0,), "int64"))
    patches = g.op("Range", g.const(0, "int64"), last, g.const(1, "int64"))
    return str(g.op("Add", g.const(within, "int64"), g.op("Mul", patches, g.const(stride, "int64"))))


@register("fold")
class Fold(Patches, frozen=True):
    """Columns laid back as patches of an image of `output_size`, where they overlap added up, as torch.nn.Fold:
    `[C * k * k, L]` to `[C, H, W]`, the reverse of `unfold` but for the sums."""

    output_size: Any
    kernel_size: Spatial
    dilation: Spatial = 1
    padding: Margin = 0
    stride: Spatial = 1

    positional = 2
    saves = "nothing"
    examples = (
        Example("fold((5, 6), 2)", ("[12, 20]",)),
        Example("fold(4, 2, stride=2)", ("[8, 4]",)),
        Example("fold((6, 7), (2, 3), padding=1, dilation=2, stride=(1, 2))", ("[12, 18]",)),
        Example("fold((5, 5), 2, stride=2)", ("[8, 4]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x = floating(inputs[0], "fold")
        if x.rank != 2:
            raise OpError(f"`fold` needs columns [C * k * k, L], found {x}", operand=0)
        area = product(self._numbers()["kernel_size"])
        rows = known(x.shape[0], "the number of rows")
        if rows % area:
            message = f"{rows} rows do not make patches of {area} places"
            raise OpError(message, argument="kernel_size", code="indivisible")
        size = self._size()
        counts = self._count(assume, size, "output_size")
        message = f"an image of {size[0]} x {size[1]} has {product(counts)} patches, found {x.shape[1]} columns"
        require(assume.equal(product(counts), x.shape[1]), message, argument="output_size")
        return x.with_shape(rows // area, *size)

    def torch(self, *inputs: TensorType) -> Torch:
        given = (compact(self._size()), compact(self._numbers()["kernel_size"]))
        return Torch(expression=Call("F.fold", (X(), *given), self._call()))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        channels, *size = self.infer(Assumptions(), x[0].type).shape
        assert isinstance(channels, int)
        n = self._numbers()
        counts = self._count(Assumptions(), tuple(size), "output_size")
        laid = g.op("Reshape", x[0].name, full_shape(g, x[0].type, x[0].type.shape[0], *counts))
        reached = [
            (c - 1) * s - 2 * p + e
            for c, s, p, e in zip(
                counts, n["stride"], n["padding"], extent(n["kernel_size"], n["dilation"]), strict=True
            )
        ]
        rest = tuple(whole - part for whole, part in zip(size, reached, strict=True))
        if not all(isinstance(r, int) for r in rest):
            raise OpError("`fold` to a named size needs a stride of 1 in ONNX", code="not-exportable")
        options = self._attributes() | ({"output_padding": rest} if any(rest) else {})
        return g.op("ConvTranspose", laid, self._selection(g, channels), group=channels, **options)

    def _selection(self, g: Graph, channels: int) -> str:
        """The weight of a convolution, grouped by channel, each filter of which lays down one place of the patch."""
        import numpy as np

        height, width = self._numbers()["kernel_size"]
        places = height * width
        if channels * places**2 > LARGEST_SELECTION:
            message = f"`fold` of {channels} channels of {height} x {width} places is too large for ONNX"
            raise OpError(message, code="not-exportable")
        return g.const(np.tile(np.eye(places).reshape(places, 1, height, width), (channels, 1, 1, 1)))

    def _size(self) -> tuple[Dim, ...]:
        sizes = self.output_size if isinstance(self.output_size, tuple | list) else (self.output_size,) * 2
        if len(sizes) != 2:
            message = f"`output_size` has {len(sizes)} numbers for two axes"
            raise OpError(message, argument="output_size", code="argument-value")
        return tuple(size_of(s, "output_size") for s in sizes)
