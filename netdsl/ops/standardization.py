"""Preprocessing that belongs to the net: `standardize`."""

from math import prod
from typing import Any, Literal

from netdsl.ops.base import Buffer, Call, Example, Graph, Op, Operand, OpError, Torch, known, register
from netdsl.ops.features import axis_of, floating
from netdsl.ops.lowering import reduction
from netdsl.sizes.constraints import Assumptions
from netdsl.tensors import TensorType

HELPER = '''\
class Standardize(nn.Module):
    """(x - mean) / std with fixed statistics, kept with the weights."""

    def __init__(self, mean: tuple, std: tuple, shape: tuple[int, ...]) -> None:
        super().__init__()
        each = (shape[0], *[1] * (len(shape) - 1))
        for name, values in (("mean", mean), ("std", std)):
            buffer = torch.tensor(values).expand(shape[0]).reshape(each).expand(shape)
            self.register_buffer(name, buffer.clone())

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std
'''

OWN_HELPER = '''\
class StandardizeImage(nn.Module):
    """(x - mean) / std by the statistics of each sample; std is at least 1 / sqrt(its elements)."""

    def forward(self, x: Tensor) -> Tensor:
        axes = tuple(range(1, x.ndim))
        centred = x - x.mean(axes, keepdim=True)
        std = centred.square().mean(axes, keepdim=True).sqrt()
        return centred / std.clamp(min=x[0].numel() ** -0.5)
'''

Statistics = float | tuple[float, ...]


@register("standardize")
class Standardize(Op, frozen=True):
    """`(x - mean) / std` with fixed statistics per channel, at the net's input: the net then takes raw pixels wherever
    it runs. Channels are the first axis, or `axis`: -1 for rows of features. Numbers for all channels or one for each;
    a recipe may replace them by those of the training data. ImageNet's are
    `mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)`.

    `per=pixel` keeps one number for every pixel and channel among the weights, at first those of `mean` and `std`
    (He et al., 2016, on CIFAR). `per=image` takes every sample's own mean and deviation over all axes, the latter at
    least `1 / sqrt(numbers in a sample)`, as TensorFlow's `per_image_standardization`.
    """

    mean: Statistics = 0.0
    std: Statistics = 1.0
    per: Literal["channel", "pixel", "image"] = "channel"
    axis: int = 0

    is_layer = True
    examples = (
        Example("standardize(mean=(0.4, 0.5, 0.6), std=0.25)", ("[3, 4, 5]",)),
        Example("standardize(mean=0.1, std=0.3)", ("[1, 4, 5]",)),
        Example("standardize(mean=0.5)", ("[7]",)),
        Example("standardize(mean=(0.4, 0.6, 2), std=0.25, axis=-1)", ("[5, 3]",)),
        Example("standardize(mean=(0.4, 0.6), std=0.25, per=pixel)", ("[2, 4, 5]",)),
        Example("standardize(per=image)", ("[2, 4, 5]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x = floating(inputs[0], "standardize")
        channels = self._shape(x)[0]
        if self.axis and self.per != "channel":
            message = f"`axis` is that of channels, and there are none with `per={self.per}`"
            raise OpError(message, argument="axis", code="argument-conflict")
        if self.per == "image":
            self._count(x)
            if (self.mean, self.std) != (0.0, 1.0):
                name = "mean" if self.mean != 0 else "std"
                raise OpError(f"`{name}` is each image's own with `per=image`", argument=name, code="argument-conflict")
        for name, value in (("mean", self.mean), ("std", self.std)):
            if isinstance(value, tuple) and len(value) != channels:
                raise OpError(f"`{name}` has {len(value)} numbers for {channels} channels", argument=name)
        if 0 in (self.std if isinstance(self.std, tuple) else (self.std,)):
            raise OpError("`std` must not be 0", argument="std", code="argument-value")
        return x

    def buffers(self, *inputs: TensorType) -> dict[str, Buffer]:
        if self.per == "image":
            return {}
        shape = self._shape(inputs[0])
        return {"mean": Buffer(shape), "std": Buffer(shape)}

    def torch(self, *inputs: TensorType) -> Torch:
        if self.per == "image":
            return Torch(Call("StandardizeImage", ()), helper=OWN_HELPER)
        return Torch(Call("Standardize", (self.mean, self.std, self._shape(inputs[0]))), helper=HELPER)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        if self.per == "image":
            return self._own(g, x[0])
        centred = g.op("Sub", x[0].name, g.weight("mean"))
        return g.op("Mul", centred, g.const(1 / g.array("std")))

    def _own(self, g: Graph, x: Operand) -> Any:
        axes = tuple(range(1, x.type.rank + 1))
        centred = g.op("Sub", x.name, reduction(g, "ReduceMean", x.name, axes, keepdims=True))
        square = reduction(g, "ReduceMean", g.op("Mul", centred, centred), axes, keepdims=True)
        return g.op("Div", centred, g.op("Max", g.op("Sqrt", square), g.const(self._count(x.type) ** -0.5)))

    def _count(self, x: TensorType) -> int:
        return prod(known(size, "the size of a sample") for size in x.shape)

    def _shape(self, x: TensorType) -> tuple[int, ...]:
        if x.rank < 1:
            raise OpError(f"`standardize` needs channels, found {x}", operand=0)
        axis = axis_of(x, self.axis)
        channels = known(x.shape[axis], "the number of channels")
        if self.per == "pixel":
            return (channels, *(known(size, "the size of a sample") for size in x.shape[1:]))
        return (channels, *(1,) * (x.rank - 1 - axis))
