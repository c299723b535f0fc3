"""Normalisation layers: `bn`, `layernorm`, `groupnorm`, `instancenorm`, `rmsnorm`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from msgspec import Meta

from netdsl.constraints import Assumptions
from netdsl.dims import Dim
from netdsl.ops.base import Buffer, Call, Example, Graph, Op, OpError, Operand, Param, Torch, known, register
from netdsl.ops.features import axis_of, feature_size, features_at, floating
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

    def affine_form(self, weights: Mapping[str, Any]) -> tuple[Any, Any]:
        scale = (weights["running_var"].astype("float64") + self.eps) ** -0.5
        bias = 0.0
        if self.affine:
            scale, bias = scale * weights["weight"], weights["bias"]
        return scale, bias - weights["running_mean"] * scale
