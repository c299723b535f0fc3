"""Layers over the feature axis: `linear`; `TiedLinear`, one by the weight of another layer."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from netdsl.ops.base import Buffer, Call, Example, Graph, Op, Operand, OpError, Param, Torch, X, register
from netdsl.ops.conv import absorb_outputs
from netdsl.ops.features import feature_size, features_at, first_or_last, floating, settled
from netdsl.ops.spatial import Positive, optional
from netdsl.ops.weightnorm import Normed
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Dim, product
from netdsl.tensors import TensorType

POINTWISE = "pwconv"
"""What a layer is called that is a 1x1 convolution in PyTorch."""


@register("linear")
class Linear(Op, frozen=True):
    """`x @ weight.T + bias` over the features, as torch.nn.Linear.

    Features are the last axis of `[F]` and `[L, D]`, and the channels of `[C, H, W]`, where it acts at every position
    as a 1x1 convolution (its weight is then `(out, in, 1, 1)`). `axis=-1` takes the last axis whatever the rank.
    `weight_norm` and `spectral_norm` compute the weight as those of `conv` do.
    """

    out_features: Positive
    bias: bool = True
    axis: int | None = None
    weight_norm: bool = False
    spectral_norm: bool = False

    layout = "along"
    positional = 1
    is_layer = True
    layer_names = ("linear", POINTWISE)
    examples = (
        Example("linear(5)", ("[7]",)),
        Example("linear(5, bias=false)", ("[7]",)),
        Example("linear(6)", ("[5, 4]",)),
        Example("linear(6)"),
        Example("linear(6, bias=false)", ("[2, 3, 4, 5]",)),
        Example("linear(6, axis=-1)"),
        Example("linear(6, weight_norm=true)", ("[7]",)),
        Example("linear(6, weight_norm=true)"),
        Example("linear(6, spectral_norm=true, bias=false)", ("[5, 4]",)),
    )

    def alone(self) -> bool:
        return self._normed().active

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        self._normed().check("" if self.kind == "linear" else self.kind)
        at = first_or_last(x, self.axis)
        feature_size(x, self.axis)
        if self._is_pointwise(x) and x.rank > 4:
            message = f"`{self.kind}` over channels is for 1 to 3 spatial axes, found {x}"
            raise OpError(message, operand=0, hint="`axis=-1` takes the last axis")
        return x.with_shape(*x.shape[:at], self.out_features, *x.shape[at + 1 :])

    def features(self, result: TensorType, *inputs: TensorType) -> int | None:
        return settled(result, inputs[0], self.axis)

    def layer_name(self, *inputs: TensorType) -> str:
        return POINTWISE if self._is_pointwise(inputs[0]) else self.kind

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        (x,) = inputs
        pointwise = (1,) * (x.rank - 1) if self._is_pointwise(x) else ()
        weight = Param((self.out_features, feature_size(x, self.axis), *pointwise), "linear")
        bias = {"bias": Param((self.out_features,), "bias")} if self.bias else {}
        return self._normed().params({"weight": weight} | bias)

    def buffers(self, *inputs: TensorType) -> dict[str, Buffer]:
        return self._normed().buffers(replace(self, spectral_norm=False, weight_norm=False).params(*inputs)["weight"])

    def macs(self, output: TensorType, *inputs: TensorType) -> Dim:
        return product(inputs[0].shape) * self.out_features

    def torch(self, *inputs: TensorType) -> Torch:
        (x,) = inputs
        sizes = (feature_size(x, self.axis), self.out_features)
        options = optional({"bias": True}, bias=self.bias)
        if self._is_pointwise(x):
            return Torch(self._normed().wrapped(Call(f"nn.Conv{x.rank - 1}d", (*sizes, 1), options)))
        return Torch(self._normed().wrapped(Call("nn.Linear", sizes, options)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        bias = [g.weight("bias")] if self.bias else []
        if self._is_pointwise(x[0].type):
            weight = self._normed().stored(g)
            return g.op("Conv", x[0].name, weight, *bias, kernel_shape=(1,) * (x[0].type.rank - 1))
        if x[0].type.rank == 1 and x[0].type.batched:
            return g.op("Gemm", x[0].name, self._normed().stored(g), *bias, transB=1)
        product = g.op("MatMul", x[0].name, g.const(self._normed().array(g).T))
        return g.op("Add", product, *bias) if bias else product

    def absorb(self, weights: Mapping[str, Any], scale: Any, shift: Any) -> tuple[Op, dict[str, Any]] | None:
        return None if self._normed().active else absorb_outputs(self, weights, scale, shift, axis=0)

    def _normed(self) -> Normed:
        return Normed(self.weight_norm, self.spectral_norm)

    def _is_pointwise(self, x: TensorType) -> bool:
        return features_at(x, self.axis) == 0 and x.rank > 1


class TiedLinear(Linear, frozen=True, kw_only=True):
    """`x @ weight.T` by the weight of another layer, whose step this is: `linear(weight=table.weight, bias=false)`."""

    bias: bool = False
    weight: Param

    examples = ()  # type: ignore[assignment] # those of a spec: an op alone has no other layer

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x = floating(inputs[0], "linear")
        if self._is_pointwise(x):
            message = f"`linear` with a `weight` is for vectors and sequences, found {x}"
            raise OpError(message, operand=0, hint="`axis=-1` takes the last axis")
        width = self.weight.shape[1]
        if feature_size(x, self.axis) != width:
            message = f"a weight of [{self.out_features}, {width}] needs {width} features, found {x}"
            raise OpError(message, operand=0)
        return super().infer(assume, *inputs)

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        return {"weight": self.weight}

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(expression=Call("F.linear", (X(), X(1))), owns=("weight",))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        if x[0].type.rank == 1 and x[0].type.batched:
            return g.op("Gemm", x[0].name, g.weight("weight"), transB=1)
        return g.op("MatMul", x[0].name, g.op("Transpose", g.weight("weight"), perm=(1, 0)))

    def absorb(self, weights: Mapping[str, Any], scale: Any, shift: Any) -> None:
        return None
