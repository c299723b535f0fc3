"""Pooling windows: `maxpool`, `avgpool`, `lppool`."""

from typing import Any

from msgspec.structs import replace

from netdsl.ops.base import Call, Example, Graph, Op, Operand, OpError, Torch, Window, X, register, require
from netdsl.ops.features import floating
from netdsl.ops.spatial import Margin, Positive, Spatial, compact, extent, optional, per_axis, spatial_rank
from netdsl.sizes.constraints import Assumptions
from netdsl.tensors import TensorType


class Pool(Op, frozen=True):
    """The base of pools: a window that tiles the image unless told otherwise: `stride` defaults to its size."""

    kernel_size: Spatial
    stride: Spatial | None = None
    padding: Margin = 0
    ceil_mode: bool = False

    layout = "channels"

    def resolve(self, *inputs: TensorType) -> Op:
        axes = spatial_rank(inputs[0], self.kind)
        stride = self.kernel_size if self.stride is None else self.stride
        exact = {"kernel_size": self.kernel_size, "stride": stride, "padding": self.padding}
        return replace(self, **{name: per_axis(value, axes, name) for name, value in exact.items()})

    @property
    def dilations(self) -> tuple[int, ...]:
        """The dilation of each axis."""
        return (1,) * len(self._windows()[0])

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x = floating(inputs[0], self.kind)
        kernel, stride, padding = self._windows()
        sizes = []
        for size, k, s, p, e in zip(x.spatial, kernel, stride, padding, self.extents, strict=True):
            if p > k // 2:
                message = f"padding {p} is more than half of the window of {k}"
                raise OpError(message, argument="padding", code="argument-value")
            output = (size + p + self._end(p, s, e) - e) // s + 1
            message = f"a window of {e} does not fit a size of {size} with padding {p}"
            hint = f"at most {size}" if e == k and not p else None
            require(assume.at_least(output, 1), message, argument="kernel_size", code="kernel-too-large", hint=hint)
            if self.fills_window:
                require(assume.at_least(size, k), message, argument="kernel_size", code="kernel-too-large")
            sizes.append(output)
        return x.with_shape(x.shape[0], *sizes)

    @property
    def fills_window(self) -> bool:
        """Whether PyTorch wants the image itself, without padding, to be as large as a window."""
        return False

    @property
    def extents(self) -> tuple[int, ...]:
        return extent(self._windows()[0], self.dilations)

    def _end(self, padding: int, stride: int, span: int) -> int:
        """The padding at the end with which rounding down gives torch's size, for every size of the image.

        With `ceil_mode` a window may hang over the end, but must start inside the image or its left padding.
        """
        return min(padding + stride - 1, span - 1) if self.ceil_mode else padding

    def pads(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The paddings at the start and at the end of each axis, for a pool that rounds down."""
        _, stride, padding = self._windows()
        return padding, tuple(self._end(p, s, e) for p, s, e in zip(padding, stride, self.extents, strict=True))

    def torch_call(self, name: str, lead: tuple[Any, ...], **values: Any) -> Torch:
        """`nn.<Name>Pool2d(...)` and its function, with what differs from torch's defaults."""
        kernel, stride, _ = self._windows()
        axes = len(kernel)
        defaults = {
            "stride": compact(kernel),
            "padding": 0,
            "dilation": 1,
            "ceil_mode": False,
            "count_include_pad": True,
        }
        options = optional(defaults, stride=compact(stride), **values)
        function = {"Max": "max_pool", "Avg": "avg_pool", "LP": "lp_pool"}[name]
        arguments = (*lead, compact(kernel))
        module = Call(f"nn.{name}Pool{axes}d", arguments, options)
        return Torch(module, Call(f"F.{function}{axes}d", (X(), *arguments), options))

    def window(self, *inputs: TensorType) -> Window:
        _, stride, padding = self._windows()
        return Window(self.extents, stride, padding)

    def _windows(self) -> tuple[Any, Any, Any]:
        return self.kernel_size, self.stride, self.padding


@register("maxpool")
class MaxPool(Pool, frozen=True):
    """The largest number in each window, as torch.nn.MaxPool1d/2d/3d by the input's rank.

    `stride` defaults to `kernel_size` and `padding` to 0 (so a window of 2 halves the image). `ceil_mode` keeps a
    last window that hangs over the end.
    """

    dilation: Spatial = 1

    positional = 1
    saves_beside = 2  # an int64: where each came from
    examples = (
        Example("maxpool(2)"),
        Example("maxpool(3, stride=2, padding=1)"),
        Example("maxpool(3, stride=2, ceil_mode=true)", ("[4, 8, 10]",)),
        Example("maxpool(2, stride=3, padding=1, ceil_mode=true)", ("[4, 8, 9]",)),
        Example("maxpool(3, stride=2, dilation=2, ceil_mode=true)", ("[4, 10, 13]",)),
        Example("maxpool((2, 3), stride=1)"),
        Example("maxpool(2)", ("[4, 9]",)),
        Example("maxpool(2)", ("[2, 4, 5, 6]",)),
    )

    def resolve(self, *inputs: TensorType) -> Op:
        dilation = per_axis(self.dilation, spatial_rank(inputs[0], self.kind), "dilation")
        return replace(super().resolve(*inputs), dilation=dilation)

    @property
    def dilations(self) -> Any:
        return self.dilation

    def torch(self, *inputs: TensorType) -> Torch:
        padding, dilation = compact(self._windows()[2]), compact(self.dilations)
        return self.torch_call("Max", (), padding=padding, dilation=dilation, ceil_mode=self.ceil_mode)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        kernel, stride, _ = self._windows()
        (start, end), data = self.pads(), x[0].name
        if any(p >= k for p, k in zip((*start, *end), kernel * 2, strict=True)):  # refused by onnxruntime
            data = g.op("Pad", data, g.const((0, 0, *start, 0, 0, *end), "int64"), g.const(-3.4028234e38))
            start = end = (0,) * len(kernel)
        pads = (*start, *end)
        return g.op("MaxPool", data, kernel_shape=kernel, strides=stride, pads=pads, dilations=self.dilations)


@register("avgpool")
class AvgPool(Pool, frozen=True):
    """The mean of each window, as torch.nn.AvgPool1d/2d/3d by the input's rank.

    `stride` defaults to `kernel_size` and `padding` to 0. `count_include_pad` says whether padded zeros count.
    """

    count_include_pad: bool = True

    positional = 1
    saves = "nothing"
    examples = (
        Example("avgpool(2)"),
        Example("avgpool(3, stride=2, padding=1)"),
        Example("avgpool(3, stride=2, padding=1, count_include_pad=false)"),
        Example("avgpool(3, stride=2, padding=1, ceil_mode=true)", ("[4, 8, 10]",)),
        Example("avgpool(3, stride=2, padding=1, ceil_mode=true, count_include_pad=false)", ("[4, 8, 10]",)),
        Example("avgpool(2, stride=2, ceil_mode=true)", ("[4, 7, 9]",)),
        Example("avgpool(2, stride=3, padding=1, ceil_mode=true)"),
        Example("avgpool(2)", ("[4, 9]",)),
        Example("avgpool(2)", ("[2, 4, 5, 6]",)),
    )

    @property
    def fills_window(self) -> bool:
        return len(self._windows()[0]) == 3

    def torch(self, *inputs: TensorType) -> Torch:
        padding = compact(self._windows()[2])
        include = self.count_include_pad
        return self.torch_call("Avg", (), padding=padding, ceil_mode=self.ceil_mode, count_include_pad=include)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        kernel, stride, padding = self._windows()
        (start, end), data, include = self.pads(), x[0].name, self.count_include_pad
        if self.ceil_mode and include:  # padding counts, what hangs over the end does not
            if any(padding):
                data = g.op("Pad", data, g.const((0, 0, *padding, 0, 0, *padding), "int64"))
            start, end = (0,) * len(kernel), tuple(e - p for e, p in zip(end, padding, strict=True))
            include = False
        counting = {"count_include_pad": 1} if include and any(padding) else {}
        return g.op("AveragePool", data, kernel_shape=kernel, strides=stride, pads=(*start, *end), **counting)


@register("lppool")
class LPPool(Op, frozen=True):
    """The p-norm of each window, `sum(x ** p) ** (1 / p)`, as torch.nn.LPPool1d/2d/3d by the input's rank.

    `norm_type` is p: 1 sums, 2 is the Euclidean norm. `stride` defaults to `kernel_size`.
    """

    norm_type: Positive
    kernel_size: Spatial
    stride: Spatial | None = None
    ceil_mode: bool = False

    layout = "channels"
    positional = 2
    examples = (
        Example("lppool(2, 2)"),
        Example("lppool(1, 3, stride=2)"),
        Example("lppool(2, 3, stride=2, ceil_mode=true)", ("[4, 8, 10]",)),
        Example("lppool(2, 2)", ("[4, 9]",)),
    )

    def resolve(self, *inputs: TensorType) -> Op:
        pool = self._pool().resolve(*inputs)
        assert isinstance(pool, AvgPool)
        return replace(self, kernel_size=pool.kernel_size, stride=pool.stride)

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        return self._pool().infer(assume, *inputs)

    def torch(self, *inputs: TensorType) -> Torch:
        return self._pool().torch_call("LP", (self.norm_type,), ceil_mode=self.ceil_mode)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        p, count = self.norm_type, 1
        for k in self._pool()._windows()[0]:
            count *= k
        name = x[0].name
        power = name if p == 1 else g.op("Mul", name, name) if p == 2 else g.op("Pow", name, g.const(float(p)))
        sums = g.op("Mul", self._pool().onnx(g, Operand(power, x[0].type)), g.const(float(count)))
        return sums if p == 1 else g.op("Sqrt", sums) if p == 2 else g.op("Pow", sums, g.const(1 / p))

    def window(self, *inputs: TensorType) -> Window:
        return self._pool().window(*inputs)

    def _pool(self) -> AvgPool:
        axes = len(self.kernel_size) if isinstance(self.kernel_size, tuple) else None
        padding = 0 if axes is None else (0,) * axes
        return AvgPool(self.kernel_size, self.stride, padding, self.ceil_mode)
