"""Normalisation over the features at each position: `layernorm`, `rmsnorm`, `lrn`, `l2_normalize`."""

from typing import Annotated, Any

from msgspec import Meta

from netdsl.ops.base import Call, Example, Graph, Op, Operand, OpError, Param, Torch, X, register
from netdsl.ops.features import dim_of, feature_size, features_at, first_or_last, floating
from netdsl.ops.lowering import reduction
from netdsl.ops.normalization import Epsilon, gain, gain_and_shift
from netdsl.ops.spatial import Positive, optional
from netdsl.sizes.constraints import Assumptions
from netdsl.tensors import TensorType

LAYER_NORM_HELPER = '''\
class LayerNorm{rank}d(nn.LayerNorm):
    """Layer normalisation over the channels at every position."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.layer_norm(x.movedim(1, -1), self.normalized_shape, self.weight, self.bias, self.eps)
        return x.movedim(-1, 1)
'''

RMS_NORM_HELPER = '''\
class RMSNorm{rank}d(nn.RMSNorm):
    """Root-mean-square normalisation over the channels at every position."""

    def forward(self, x: Tensor) -> Tensor:
        x = F.rms_norm(x.movedim(1, -1), self.normalized_shape, self.weight, self.eps)
        return x.movedim(-1, 1)
'''


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

    layout = "along"
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
        first_or_last(inputs[0], self.axis)
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

    layout = "along"
    is_layer = True
    examples = (
        Example("rmsnorm"),
        Example("rmsnorm(eps=1e-5)", ("[5, 6]",)),
        Example("rmsnorm(elementwise_affine=false)", ("[6]",)),
        Example("rmsnorm(axis=-1)"),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        first_or_last(inputs[0], self.axis)
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
    return Torch(Call(f"{name}{x.rank - 1}d", (size,), options), helper=helper.format(rank=x.rank - 1))


@register("lrn")
class LocalResponseNorm(Op, frozen=True):
    """Division by a power of the mean square over `size` neighbouring channels (Krizhevsky et al., 2012), as
    torch.nn.LocalResponseNorm: `x / (k + alpha * mean(x^2)) ** beta`. The paper's sum over 5 channels with its
    alpha of 1e-4 is `lrn(5, alpha=5e-4, k=2)`.
    """

    size: Positive
    alpha: Annotated[float, Meta(gt=0)] = 1e-4
    beta: Annotated[float, Meta(gt=0)] = 0.75
    k: float = 1.0

    layout = "channels"
    positional = 1
    examples = (Example("lrn(5)"), Example("lrn(3, alpha=0.5, beta=0.6, k=2)"))

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        if self.size % 2 == 0:
            raise OpError(
                "`size` must be odd: as many channels before as after", argument="size", code="argument-value"
            )
        if inputs[0].rank != 3:
            raise OpError(f"`lrn` needs an image [C, H, W], found {inputs[0]}", operand=0)
        return floating(inputs[0], "lrn")

    def torch(self, *inputs: TensorType) -> Torch:
        defaults = {"alpha": 1e-4, "beta": 0.75, "k": 1.0}
        options = optional(defaults, alpha=self.alpha, beta=self.beta, k=self.k)
        call = Call("F.local_response_norm", (X(), self.size), options)
        return Torch(Call("nn.LocalResponseNorm", (self.size,), options), call)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op("LRN", x[0].name, size=self.size, alpha=self.alpha, beta=self.beta, bias=self.k)


@register("l2_normalize")
class L2Normalize(Op, frozen=True):
    """`x / max(|x|, eps)` with the Euclidean norm over the features, as torch's F.normalize: what a
    Siamese net compares.

    Features are found as for `layernorm`.
    """

    eps: Epsilon = 1e-12
    axis: int | None = None

    layout = "along"
    examples = (
        Example("l2_normalize"),
        Example("l2_normalize(eps=2)", ("[6]",)),
        Example("l2_normalize", ("[5, 6]",)),
        Example("l2_normalize(axis=1)"),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        features_at(inputs[0], self.axis)
        return floating(inputs[0], "l2_normalize")

    def torch(self, *inputs: TensorType) -> Torch:
        dim = dim_of(inputs[0], features_at(inputs[0], self.axis))
        options = optional({"dim": 1, "eps": 1e-12}, dim=dim, eps=self.eps)
        return Torch(expression=Call("F.normalize", (X(),), options))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        dim = dim_of(x[0].type, features_at(x[0].type, self.axis))
        norm = reduction(g, "ReduceL2", x[0].name, (dim,), keepdims=True)
        return g.op("Div", x[0].name, g.op("Max", norm, g.const(self.eps)))
