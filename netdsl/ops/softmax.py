"""Activations along an axis: `softmax`, `log_softmax`, `softmin`, `glu`; and `prelu`, which learns its slopes."""

from typing import Any, ClassVar

from netdsl.ops.base import Call, Example, Graph, Op, Operand, OpError, Param, Torch, X, known, register, require
from netdsl.ops.features import dim_of, features_at, floating
from netdsl.ops.spatial import Positive
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import floordiv
from netdsl.tensors import TensorType


class AlongAxis(Op, frozen=True):
    """The base of functions along an axis: an axis of the sample (`none`: the features), which PyTorch counts with the
    batch."""

    module: ClassVar[str]
    function: ClassVar[str]

    axis: int | None = None

    layout = "along"

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        features_at(inputs[0], self.axis)
        return floating(inputs[0], self.kind)

    def torch(self, *inputs: TensorType) -> Torch:
        dim = (("dim", self._dim(inputs[0])),)
        return Torch(Call(self.module, (), dim), Call(self.function, (X(),), dim))

    def _dim(self, x: TensorType) -> int:
        return dim_of(x, features_at(x, self.axis))


def axis_examples(kind: str) -> tuple[Example, ...]:
    return (
        Example(kind),
        Example(kind, ("[8]",)),
        Example(f"{kind}(axis=-1)", ("[4, 5, 6]",)),
        Example(kind, ("[5, 6]",)),
    )


@register("softmax")
class Softmax(AlongAxis, frozen=True):
    """`exp(x) / sum(exp(x))` over the features, as torch.nn.Softmax: the last axis of `[F]` and `[L, D]`, the channels
    of `[C, H, W]`, or `axis`."""

    module, function = "nn.Softmax", "F.softmax"
    saves = "output"
    zero_at_zero = False
    examples = axis_examples("softmax")

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op("Softmax", x[0].name, axis=self._dim(x[0].type))


@register("log_softmax")
class LogSoftmax(AlongAxis, frozen=True):
    """The logarithm of `softmax`, as torch.nn.LogSoftmax."""

    module, function = "nn.LogSoftmax", "F.log_softmax"
    saves = "output"
    zero_at_zero = False
    examples = axis_examples("log_softmax")

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op("LogSoftmax", x[0].name, axis=self._dim(x[0].type))


@register("softmin")
class Softmin(AlongAxis, frozen=True):
    """`softmax(-x)`, as torch.nn.Softmin."""

    module, function = "nn.Softmin", "F.softmin"
    zero_at_zero = False
    examples = axis_examples("softmin")

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op("Softmax", g.op("Neg", x[0].name), axis=self._dim(x[0].type))


@register("glu")
class GLU(AlongAxis, frozen=True):
    """Gated linear unit (Dauphin et al., 2016), as torch.nn.GLU: the first half of the features times the sigmoid of
    the second."""

    module, function = "nn.GLU", "F.glu"
    examples = axis_examples("glu")

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x = super().infer(assume, *inputs)
        at = features_at(x, self.axis)
        size = x.shape[at]
        require(assume.divisible(size, 2), f"`glu` halves the features, found {size}", operand=0, code="indivisible")
        return x.with_shape(*x.shape[:at], floordiv(size, 2), *x.shape[at + 1 :])

    def torch(self, *inputs: TensorType) -> Torch:
        dim = (("dim", self._dim(inputs[0])),)
        return Torch(Call(self.module, (), dim), Call(self.function, (X(),), dim))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        halves = {"num_outputs": 2} if g.opset >= 18 else {}
        value, gate = g.op("Split", x[0].name, outputs=2, axis=self._dim(x[0].type), **halves)
        return g.op("Mul", value, g.op("Sigmoid", gate))


@register("prelu")
class PReLU(Op, frozen=True):
    """`x` where positive, otherwise `weight * x` with a learnt weight (He et al., 2015), as torch.nn.PReLU.

    `num_parameters` is 1 (one slope for all) or the number of channels (the first axis); `init` is the first value.
    """

    num_parameters: Positive = 1
    init: float = 0.25

    positional = 1
    is_layer = True
    examples = (
        Example("prelu"),
        Example("prelu(4)"),
        Example("prelu(5, init=0.1)", ("[5, 6]",)),
        Example("prelu(7)", ("[7]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        if self.num_parameters != 1:
            channels = known(x.shape[0], "the number of channels") if x.rank else 0
            if channels != self.num_parameters:
                message = f"{self.num_parameters} slopes for {channels} channels: give 1 or {channels}"
                raise OpError(message, argument="num_parameters")
        return floating(x, "prelu")

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        return {"weight": Param((self.num_parameters,), "scale")}

    def layout_of(self, x: TensorType) -> str:
        return "channels" if self.num_parameters != 1 else "any"

    def torch(self, *inputs: TensorType) -> Torch:
        sizes = () if self.num_parameters == 1 else (self.num_parameters,)
        return Torch(Call("nn.PReLU", sizes, (("init", self.init),) if self.init != 0.25 else ()))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        if self.num_parameters == 1 or x[0].type.rank == 1:
            return g.op("PRelu", x[0].name, g.weight("weight"))
        across = (self.num_parameters,) + (1,) * (x[0].type.rank - 1)
        return g.op("PRelu", x[0].name, g.const(g.array("weight").reshape(across)))
