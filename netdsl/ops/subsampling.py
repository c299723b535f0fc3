"""Pools that take one position, or weigh them with fixed weights: `subsample`, `blurpool`."""

from typing import Any

from msgspec.structs import replace

from netdsl.ops.base import (
    Buffer,
    Call,
    Code,
    Example,
    Graph,
    Op,
    Operand,
    OpError,
    Torch,
    Window,
    X,
    known,
    register,
    require,
)
from netdsl.ops.features import floating
from netdsl.ops.spatial import Spatial, compact, optional, per_axis, spatial_rank
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Dim, product
from netdsl.tensors import TensorType

WIDEST_BLUR = 1024
"""The most positions of a binomial window: from 151 on its outer weights are less than float32's smallest number."""

BLUR_HELPER = '''\
class BlurPool{n}d(nn.Module):
    """A weighted mean with binomial weights at every `stride`-th position (Zhang, 2019)."""

    def __init__(
        self, channels: int, kernel_size: int | tuple[int, ...] = 3, stride: int | tuple[int, ...] = 2
    ) -> None:
        super().__init__()
        sizes = (kernel_size,) * {n} if isinstance(kernel_size, int) else kernel_size
        kernel = torch.ones(())
        for size in sizes:
            row = torch.ones(1)
            for _ in range(size - 1):
                row = (F.pad(row, (0, 1)) + F.pad(row, (1, 0))) / 2
            kernel = kernel[..., None] * row
        self.register_buffer("weight", kernel.repeat(channels, 1, *[1] * {n}))
        self.stride = stride
        self.padding = [side for size in sizes[::-1] for side in ((size - 1) // 2, size // 2)]

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, self.padding, mode="reflect")
        return F.conv{n}d(x, self.weight, stride=self.stride, groups=x.shape[1])
'''


@register("subsample")
class Subsample(Op, frozen=True):
    """Every `stride`-th position, the first kept: pick-one pooling, `x[:, :, ::stride, ::stride]`."""

    stride: Spatial

    layout = "channels"
    positional = 1
    saves = "view"
    examples = (Example("subsample(2)"), Example("subsample((2, 3))"), Example("subsample(3)", ("[4, 10]",)))

    def resolve(self, *inputs: TensorType) -> Op:
        return replace(self, stride=per_axis(self.stride, spatial_rank(inputs[0], "subsample"), "stride"))

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        sizes = ((size - 1) // s + 1 for size, s in zip(x.spatial, self._strides(), strict=True))
        return x.with_shape(x.shape[0], *sizes)

    def torch(self, *inputs: TensorType) -> Torch:
        steps = ", ".join(f"::{s}" if s > 1 else ":" for s in self._strides())
        return Torch(expression=Call("[]", (X(), Code(f":, :, {steps}"))))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        axes = tuple(range(2, x[0].type.rank + 1))
        starts, ends = (0,) * len(axes), (2**31 - 1,) * len(axes)
        return g.op("Slice", x[0].name, *(g.const(v, "int64") for v in (starts, ends, axes, self._strides())))

    def window(self, *inputs: TensorType) -> Window:
        ones = (1,) * len(self._strides())
        return Window(ones, self._strides(), (0,) * len(ones))

    def _strides(self) -> Any:
        return self.stride


@register("blurpool")
class BlurPool(Op, frozen=True):
    """A weighted mean at every `stride`-th position, with binomial weights (1 2 1 for `kernel_size=3`, one number for
    each axis or for all) and the image reflected at its edges: pooling that shifts with the image (Zhang, 2019)."""

    kernel_size: Spatial = 3
    stride: Spatial = 2

    layout = "channels"
    positional = 1
    is_layer = True
    examples = (
        Example("blurpool"),
        Example("blurpool(5)"),
        Example("blurpool(4, stride=1)"),
        Example("blurpool(stride=(1, 2))"),
        Example("blurpool((2, 5))"),
        Example("blurpool((1, 3), stride=(1, 2))"),
        Example("blurpool", ("[4, 9]",)),
    )

    def resolve(self, *inputs: TensorType) -> Op:
        axes = spatial_rank(inputs[0], "blurpool")
        kernel = per_axis(self.kernel_size, axes, "kernel_size")
        return replace(self, kernel_size=kernel, stride=per_axis(self.stride, axes, "stride"))

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x = floating(inputs[0], "blurpool")
        known(x.shape[0], "the number of channels")
        for size, kernel in zip(x.spatial, self._kernel(), strict=True):
            if kernel > WIDEST_BLUR:
                message = f"binomial weights of {kernel} positions, the most are {WIDEST_BLUR:,}"
                raise OpError(message, argument="kernel_size", code="too-large")
            message = f"a window of {kernel} does not fit a size of {size}"
            require(assume.at_least(size, kernel // 2 + 1), message, argument="kernel_size", code="kernel-too-large")
        return x.with_shape(x.shape[0], *((n - 1) // s + 1 for n, s in zip(x.spatial, self._strides(), strict=True)))

    def buffers(self, *inputs: TensorType) -> dict[str, Buffer]:
        (x,) = inputs
        return {"weight": Buffer((known(x.shape[0], "channels"), 1, *self._kernel()))}

    def macs(self, output: TensorType, *inputs: TensorType) -> Dim:
        return product((*output.shape, *self._kernel()))

    def torch(self, *inputs: TensorType) -> Torch:
        axes = inputs[0].rank - 1
        kernel, stride = compact(self._kernel()), compact(self._strides())
        options = optional({"kernel_size": 3, "stride": 2}, kernel_size=kernel, stride=stride)
        return Torch(Call(f"BlurPool{axes}d", (inputs[0].shape[0],), options), helper=BLUR_HELPER.format(n=axes))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        kernel = self._kernel()
        both = (0, 0, *((k - 1) // 2 for k in kernel), 0, 0, *(k // 2 for k in kernel))
        padded = g.op("Pad", x[0].name, g.const(both, "int64"), mode="reflect")
        group = known(x[0].type.shape[0], "channels")
        return g.op("Conv", padded, g.weight("weight"), kernel_shape=kernel, strides=self._strides(), group=group)

    def window(self, *inputs: TensorType) -> Window:
        return Window(self._kernel(), self._strides(), tuple((k - 1) // 2 for k in self._kernel()))

    def _kernel(self) -> Any:
        return self.kernel_size

    def _strides(self) -> Any:
        return self.stride
