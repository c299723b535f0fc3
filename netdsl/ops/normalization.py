"""Normalisation layers: `bn`, `layernorm`, `groupnorm`, `instancenorm`, `rmsnorm`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta

from netdsl.constraints import Assumptions
from netdsl.ops.base import Buffer, Call, Example, Graph, Op, Operand, OpError, Param, Torch, X, known, register
from netdsl.ops.features import feature_size, features_at, floating
from netdsl.ops.lowering import reduction
from netdsl.ops.spatial import Positive, optional
from netdsl.tensors import TensorType

Epsilon = Annotated[float, Meta(ge=0)]

LAYER_NORM_HELPER = '''\
class LayerNorm{rank}d(nn.LayerNorm):
    """Layer normalisation over the channels at every position."""

    def forward(self, x):
        x = F.layer_norm(x.movedim(1, -1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.movedim(-1, 1)
'''

RMS_NORM_HELPER = '''\
class RMSNorm{rank}d(nn.RMSNorm):
    """Root-mean-square normalisation over the channels at every position."""

    def forward(self, x):
        return F.rms_norm(x.movedim(1, -1), self.normalized_shape, self.weight, self.eps).movedim(-1, 1)
'''


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


def channels_last(rank: int, at: int) -> tuple[list[int], list[int]]:
    """The permutation (with the batch axis) that moves axis `at` of a sample last, and the one that moves it back."""
    there = [i for i in range(rank + 1) if i != at + 1] + [at + 1]
    return there, sorted(range(rank + 1), key=there.__getitem__)


def over_features(g: Graph, x: Operand, at: int, norm: Any) -> Any:
    """`norm(name)` over axis `at`: between two transposes unless it is the last."""
    if at == x.type.rank - 1:
        return norm(x.name)
    there, back = channels_last(x.type.rank, at)
    return g.op("Transpose", norm(g.op("Transpose", x.name, perm=there)), perm=back)


@register("bn")
class BatchNorm(Op, frozen=True):
    """Batch normalisation of each channel (Ioffe & Szegedy, 2015), as torch.nn.BatchNorm1d/2d/3d by the input's rank.

    Channels are the first axis. The running statistics (used at inference) move by `momentum` at each training step;
    `momentum=none` averages over all steps.
    """

    eps: Epsilon = 1e-5
    momentum: Annotated[float, Meta(ge=0, le=1)] | None = 0.1
    affine: bool = True

    is_layer = True
    examples = (
        Example("bn"),
        Example("bn(eps=1e-3, momentum=0.01)"),
        Example("bn(affine=false)"),
        Example("bn", ("[7]",)),
        Example("bn", ("[4, 9]",)),
        Example("bn(momentum=none)", ("[2, 3, 4, 5]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        if not 1 <= x.rank <= 4:
            raise OpError(f"`bn` needs channels and up to 3 spatial axes, found {x}", operand=0)
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


@register("layernorm")
class LayerNorm(Op, frozen=True):
    """Layer normalisation over the features (Ba et al., 2016), as torch.nn.LayerNorm.

    Features are the last axis of `[F]` and `[L, D]`, and the channels of `[C, H, W]`, which are normalised at each
    position (ConvNeXt). `axis=-1` takes the last axis whatever the rank.
    """

    eps: Epsilon = 1e-5
    elementwise_affine: bool = True
    bias: bool = True
    axis: int | None = None

    is_layer = True
    examples = (
        Example("layernorm"),
        Example("layernorm(eps=1e-6)", ("[2, 3, 4, 5]",)),
        Example("layernorm(eps=1e-3)", ("[5, 6]",)),
        Example("layernorm(elementwise_affine=false)", ("[6]",)),
        Example("layernorm(bias=false)"),
        Example("layernorm(axis=-1)"),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        feature_size(inputs[0], self.axis)
        return floating(inputs[0], "layernorm")

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        return gain_and_shift(feature_size(inputs[0], self.axis), self.elementwise_affine, self.bias)

    def torch(self, *inputs: TensorType) -> Torch:
        defaults = {"eps": 1e-5, "elementwise_affine": True, "bias": True}
        options = optional(defaults, eps=self.eps, elementwise_affine=self.elementwise_affine, bias=self.bias)
        return over_features_torch("LayerNorm", LAYER_NORM_HELPER, inputs[0], self.axis, options)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        weight = gain(g, feature_size(x[0].type, self.axis), self.elementwise_affine)
        bias = [g.weight("bias")] if self.elementwise_affine and self.bias else []
        at = features_at(x[0].type, self.axis)
        return over_features(
            g, x[0], at, lambda name: g.op("LayerNormalization", name, weight, *bias, axis=-1, epsilon=self.eps)
        )


@register("rmsnorm")
class RMSNorm(Op, frozen=True):
    """`x / sqrt(mean(x^2) + eps) * weight` over the features (Zhang & Sennrich, 2019), as torch.nn.RMSNorm.

    Features are found as for `layernorm`. `eps=none` is the smallest step of float32 at 1, 1.2e-7.
    """

    eps: Epsilon | None = None
    elementwise_affine: bool = True
    axis: int | None = None

    is_layer = True
    examples = (
        Example("rmsnorm"),
        Example("rmsnorm(eps=1e-5)", ("[5, 6]",)),
        Example("rmsnorm(elementwise_affine=false)", ("[6]",)),
        Example("rmsnorm(axis=-1)"),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        feature_size(inputs[0], self.axis)
        return floating(inputs[0], "rmsnorm")

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        return gain_and_shift(feature_size(inputs[0], self.axis), self.elementwise_affine, bias=False)

    def torch(self, *inputs: TensorType) -> Torch:
        defaults = {"eps": None, "elementwise_affine": True}
        options = optional(defaults, eps=self.eps, elementwise_affine=self.elementwise_affine)
        return over_features_torch("RMSNorm", RMS_NORM_HELPER, inputs[0], self.axis, options)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        weight = [gain(g, feature_size(x[0].type, self.axis), True)] if self.elementwise_affine else []
        epsilon = 2.0**-23 if self.eps is None else self.eps

        def norm(name: str) -> str:
            if g.opset >= 23:
                scale = weight[0] if weight else g.const([1.0] * feature_size(x[0].type, self.axis))
                return str(g.op("RMSNormalization", name, scale, axis=-1, epsilon=epsilon))
            square = reduction(g, "ReduceMean", g.op("Mul", name, name), (-1,), keepdims=True)
            normed = g.op("Div", name, g.op("Sqrt", g.op("Add", square, g.const(epsilon))))
            return str(g.op("Mul", normed, *weight) if weight else normed)

        return over_features(g, x[0], features_at(x[0].type, self.axis), norm)


def over_features_torch(name: str, helper: str, x: TensorType, axis: int | None, options: Any) -> Torch:
    """The PyTorch form of a norm over the features: torch's own where they are the last axis, otherwise the helper."""
    size = feature_size(x, axis)
    at = features_at(x, axis)
    if at == x.rank - 1:
        return Torch(Call(f"nn.{name}", (size,), options))
    if at != 0:
        raise OpError(f"`axis` must be the first or the last of {x}", argument="axis", code="bad-argument")
    return Torch(Call(f"{name}{x.rank - 1}d", (size,), options), helper=helper.format(rank=x.rank - 1))


@register("groupnorm")
class GroupNorm(Op, frozen=True):
    """Normalisation over groups of channels and all positions of one sample (Wu & He, 2018), as torch.nn.GroupNorm.

    Channels are the first axis. `groupnorm(1)` normalises over everything.
    """

    num_groups: Positive
    eps: Epsilon = 1e-5
    affine: bool = True

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
            raise OpError(message, argument="num_groups", code="indivisible", hint=nearest_divisor(channels, self))
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
        grouped = g.op("Reshape", x[0].name, g.const((0, self.num_groups, -1), "int64"))
        ones, zeros = g.const([1.0] * self.num_groups), g.const([0.0] * self.num_groups)
        normed = g.op("InstanceNormalization", grouped, ones, zeros, epsilon=self.eps)
        y = g.op("Reshape", normed, g.shape(*x[0].type.shape))
        if not self.affine:
            return y
        across = (channels,) + (1,) * (rank - 1)
        y = g.op("Mul", y, g.const(g.array("weight").reshape(across)))
        return g.op("Add", y, g.const(g.array("bias").reshape(across)))


def nearest_divisor(channels: int, norm: GroupNorm) -> str:
    divisors = (d for d in range(1, channels + 1) if channels % d == 0)
    return f"`groupnorm({min(divisors, key=lambda d: abs(d - norm.num_groups))})` would"


@register("instancenorm")
class InstanceNorm(Op, frozen=True):
    """Normalisation of each channel of each sample over its positions (Ulyanov et al., 2016), as
    torch.nn.InstanceNorm1d/2d/3d by the input's rank. As in PyTorch nothing is learnt unless `affine=true`."""

    eps: Epsilon = 1e-5
    affine: bool = False

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


@register("lrn")
class LocalResponseNorm(Op, frozen=True):
    """Division by a power of the mean square over `size` neighbouring channels (Krizhevsky et al., 2012), as
    torch.nn.LocalResponseNorm: `x / (k + alpha * mean(x^2)) ** beta`. The paper's sum over 5 channels with its
    alpha of 1e-4 is `lrn(5, alpha=5e-4, k=2)`.
    """

    size: Positive
    alpha: float = 1e-4
    beta: float = 0.75
    k: float = 1.0

    examples = (Example("lrn(5)"), Example("lrn(3, alpha=0.5, beta=0.6, k=2)"))

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        if self.size % 2 == 0:
            raise OpError("`size` must be odd: as many channels before as after", argument="size", code="bad-argument")
        if inputs[0].rank != 3:
            raise OpError(f"`lrn` needs a picture [C, H, W], found {inputs[0]}", operand=0)
        return floating(inputs[0], "lrn")

    def torch(self, *inputs: TensorType) -> Torch:
        defaults = {"alpha": 1e-4, "beta": 0.75, "k": 1.0}
        options = optional(defaults, alpha=self.alpha, beta=self.beta, k=self.k)
        call = Call("F.local_response_norm", (X(), self.size), options)
        return Torch(Call("nn.LocalResponseNorm", (self.size,), options), call)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op("LRN", x[0].name, size=self.size, alpha=self.alpha, beta=self.beta, bias=self.k)
