"""Normalisation of channels over positions and samples: `bn`, `groupnorm`, `instancenorm`."""

from collections.abc import Mapping
from math import prod
from typing import Annotated, Any

from msgspec import Meta

from netdsl.ops.base import Buffer, Call, Example, Graph, Op, Operand, OpError, Param, Torch, known, register, require
from netdsl.ops.features import floating, is_bare, nearest_divisor
from netdsl.ops.lowering import reshaped
from netdsl.ops.spatial import Positive, optional
from netdsl.sizes.constraints import Assumptions
from netdsl.tensors import TensorType

Epsilon = Annotated[float, Meta(ge=0)]


def gain_and_shift(size: int, affine: bool, bias: bool = True) -> dict[str, Param]:
    """The learnable `weight` and `bias` of a norm."""
    names = (["weight"] if affine else []) + (["bias"] if affine and bias else [])
    return {name: Param((size,), "norm") for name in names}


def gain(g: Graph, size: int, affine: bool) -> str:
    """The learnable gain of a norm in ONNX; ones where it has none."""
    return g.weight("weight") if affine else g.const([1.0] * size)


def shift(g: Graph, size: int, affine: bool) -> str:
    """The learnable shift of a norm in ONNX; zeros where it has none."""
    return g.weight("bias") if affine else g.const([0.0] * size)


@register("bn")
class BatchNorm(Op, frozen=True):
    """Batch normalisation of each channel (Ioffe & Szegedy, 2015), as torch.nn.BatchNorm1d/2d/3d by the input's rank.

    Channels are the first axis. The running statistics (used at inference) move by `momentum` at each training step;
    `momentum=none` averages over all steps.
    """

    eps: Epsilon = 1e-5
    momentum: Annotated[float, Meta(ge=0, le=1)] | None = 0.1
    affine: bool = True

    layout = "channels"
    is_layer = True
    examples = (
        Example("bn"),
        Example("bn(eps=1e-3, momentum=0.01)"),
        Example("bn(affine=false)"),
        Example("bn", ("[7]",)),
        Example("bn", ("[4, 9]",)),
        Example("bn(momentum=none)", ("[2, 3, 4, 5]",)),
    )

    def alone(self) -> bool:
        return self.momentum is None

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        if not 1 <= x.rank <= 4:
            raise OpError(f"`bn` needs channels and up to 3 spatial axes, found {x}", operand=0)
        if is_bare(x):
            raise OpError(f"`bn` needs channels of each sample, found a parameter {x}", operand=0)
        known(x.shape[0], "the number of channels")
        return floating(x, "bn")

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        return gain_and_shift(known(inputs[0].shape[0], "the number of channels"), self.affine)

    def buffers(self, *inputs: TensorType) -> dict[str, Buffer]:
        channels = known(inputs[0].shape[0], "the number of channels")
        return {
            "running_mean": Buffer((channels,)),
            "running_var": Buffer((channels,)),
            "num_batches_tracked": Buffer((), "int64"),
        }

    def torch(self, *inputs: TensorType) -> Torch:
        defaults = {"eps": 1e-5, "momentum": 0.1, "affine": True}
        options = optional(defaults, eps=self.eps, momentum=self.momentum, affine=self.affine)
        return Torch(Call(f"nn.BatchNorm{max(1, inputs[0].rank - 1)}d", (inputs[0].shape[0],), options))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        channels = known(x[0].type.shape[0], "the number of channels")
        weight, bias = gain(g, channels, self.affine), shift(g, channels, self.affine)
        statistics = g.weight("running_mean"), g.weight("running_var")
        return g.op("BatchNormalization", x[0].name, weight, bias, *statistics, epsilon=self.eps)

    def as_affine(self, weights: Mapping[str, Any]) -> tuple[Any, Any]:
        scale = (weights["running_var"].astype("float64") + self.eps) ** -0.5
        bias = 0.0
        if self.affine:
            scale, bias = scale * weights["weight"], weights["bias"]
        return scale, bias - weights["running_mean"] * scale


@register("groupnorm")
class GroupNorm(Op, frozen=True):
    """Normalisation over groups of channels and all positions of one sample (Wu & He, 2018), as torch.nn.GroupNorm.

    Channels are the first axis. `groupnorm(1)` normalises over everything.
    """

    num_groups: Positive
    eps: Epsilon = 1e-5
    affine: bool = True

    layout = "channels"
    positional = 1
    is_layer = True
    examples = (
        Example("groupnorm(2)"),
        Example("groupnorm(1, eps=1e-3)", ("[4, 9]",)),
        Example("groupnorm(4, affine=false)"),
        Example("groupnorm(2)", ("[8]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        if x.rank < 1:
            raise OpError(f"`groupnorm` needs channels, found {x}", operand=0)
        channels = known(x.shape[0], "the number of channels")
        if channels % self.num_groups:
            message = f"{self.num_groups} groups do not divide the {channels} channels"
            hint = f"`groupnorm({nearest_divisor(channels, self.num_groups)})` would"
            raise OpError(message, argument="num_groups", code="indivisible", hint=hint)
        return floating(x, "groupnorm")

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        return gain_and_shift(known(inputs[0].shape[0], "the number of channels"), self.affine)

    def torch(self, *inputs: TensorType) -> Torch:
        options = optional({"eps": 1e-5, "affine": True}, eps=self.eps, affine=self.affine)
        return Torch(Call("nn.GroupNorm", (self.num_groups, inputs[0].shape[0]), options))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        channels, rank = known(x[0].type.shape[0], "the number of channels"), x[0].type.rank
        if g.opset >= 21 and rank > 1:
            weight, bias = gain(g, channels, self.affine), shift(g, channels, self.affine)
            return g.op(
                "GroupNormalization", x[0].name, weight, bias, num_groups=self.num_groups, epsilon=self.eps
            )  # fmt: skip
        positions = prod(x[0].type.shape[1:], start=channels // self.num_groups)
        grouped = reshaped(g, x[0], self.num_groups, positions)
        ones, zeros = g.const([1.0] * self.num_groups), g.const([0.0] * self.num_groups)
        normed = g.op("InstanceNormalization", grouped, ones, zeros, epsilon=self.eps)
        y = reshaped(g, Operand(normed, x[0].type), *x[0].type.shape)
        if not self.affine:
            return y
        across = (channels,) + (1,) * (rank - 1)
        y = g.op("Mul", y, g.const(g.array("weight").reshape(across)))
        return g.op("Add", y, g.const(g.array("bias").reshape(across)))


@register("instancenorm")
class InstanceNorm(Op, frozen=True):
    """Normalisation of each channel of each sample over its positions (Ulyanov et al., 2016), as
    torch.nn.InstanceNorm1d/2d/3d by the input's rank. As in PyTorch nothing is learnt unless `affine=true`."""

    eps: Epsilon = 1e-5
    affine: bool = False

    layout = "channels"
    is_layer = True
    examples = (
        Example("instancenorm"),
        Example("instancenorm(affine=true)"),
        Example("instancenorm(eps=1e-3)", ("[4, 9]",)),
        Example("instancenorm(affine=true)", ("[2, 3, 4, 5]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        if not 2 <= x.rank <= 4:
            raise OpError(f"`instancenorm` needs channels and 1 to 3 spatial axes, found {x}", operand=0)
        message = f"`instancenorm` of one position is 0, which PyTorch refuses; found {x}"
        require(assume.at_least(prod(x.spatial), 2), message, operand=0)
        known(x.shape[0], "the number of channels")
        return floating(x, "instancenorm")

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        return gain_and_shift(known(inputs[0].shape[0], "the number of channels"), self.affine)

    def torch(self, *inputs: TensorType) -> Torch:
        options = optional({"eps": 1e-5, "affine": False}, eps=self.eps, affine=self.affine)
        return Torch(Call(f"nn.InstanceNorm{inputs[0].rank - 1}d", (inputs[0].shape[0],), options))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        channels = known(x[0].type.shape[0], "the number of channels")
        weight, bias = gain(g, channels, self.affine), shift(g, channels, self.affine)
        return g.op("InstanceNormalization", x[0].name, weight, bias, epsilon=self.eps)
