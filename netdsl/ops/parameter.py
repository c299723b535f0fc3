"""Tensors that a layer owns and gives as they are: `param`, `constant`, `fill`; `affine`, a learnt scale and shift."""

from collections.abc import Mapping
from typing import Any, Literal

from netdsl.ops.base import Buffer, Call, Code, Example, Graph, Op, Operand, OpError, Param, Torch, X, known, register
from netdsl.ops.described import described
from netdsl.ops.features import feature_size, features_at, floating
from netdsl.ops.lowering import full_shape
from netdsl.ops.spatial import Positive
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Size
from netdsl.tensors import TensorType

Role = Literal["position", "gate", "scale", "embedding", "bias", "norm", "conv", "linear"]


@register("param")
class Parameter(Op, frozen=True):
    """A learnt tensor of `shape`, the same for every sample: class tokens, position embeddings, gates, gains.

    It starts at the number `init`, or with `init=normal` (of deviation `std`). `role` is what recipes select it by. An
    empty shape `()` is a single number. Its `nn.Parameter` has a first axis of size 1 for the batch, unless it is a
    vector or a number.
    """

    shape: tuple[Any, ...]
    init: float | Literal["normal"] = 0.0
    std: float = 0.02
    role: Role = "scale"

    positional = 1
    takes_it = False
    is_layer = True
    saves = "nothing"
    hints = {"init": "it can be a number, or `normal` of a deviation: `init=1`, or `init=normal, std=0.02`"}
    examples = (
        Example("param((5,))", ()),
        Example("param((3, 4), init=1, role=position)", ()),
        Example("param((1, 4), init=normal, std=0.1, role=embedding)", ()),
        Example("param((2, 3, 4), init=0.5, role=gate)", ()),
        Example("param(())", ()),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        return TensorType(tuple(known_size(s) for s in self.shape), batched=False)

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        return {"": Param(self._stored(), self.role)}

    def torch(self, *inputs: TensorType) -> Torch:
        if self.init == "normal":
            draw = Call("torch.randn", self._stored() or ((),))
            return Torch(parameter=draw if self.std == 1 else Call("*", (draw, self.std)))
        if self.init in (0, 1):
            name = "torch.ones" if self.init else "torch.zeros"
            return Torch(parameter=Call(name, self._stored() or ((),)))
        return Torch(parameter=Call("torch.full", (self._stored(), self.init)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.weight("")

    def _stored(self) -> tuple[int, ...]:
        sizes = tuple(known_size(s) for s in self.shape)
        return sizes if len(sizes) < 2 else (1, *sizes)


def known_size(size: Any) -> int:
    """A size of a parameter. Raises OpError for one that is not a positive number."""
    if isinstance(size, int) and not isinstance(size, bool) and size > 0:
        return size
    if not isinstance(size, Size):
        raise OpError(
            f"sizes are whole numbers from 1, found {described(size)}", argument="shape", code="argument-value"
        )
    return known(size, "the shape of a parameter")


CONSTANT_HELPER = '''\
class Constant(nn.Module):
    """Fixed numbers, kept with the weights."""

    def __init__(self, value: tuple) -> None:
        super().__init__()
        self.register_buffer("value", torch.tensor(value))

    def forward(self) -> Tensor:
        return self.value if self.value.ndim < 2 else self.value[None]
'''


@register("constant")
class Constant(Op, frozen=True):
    """Fixed numbers, given as nested lists, the same for every sample; kept with the weights as a buffer (the target
    bitmaps of LeNet-5's output layer, LeCun et al., 1998)."""

    value: Any

    positional = 1
    takes_it = False
    is_layer = True
    saves = "nothing"
    examples = (Example("constant(((1, -1), (0.5, 2), (0, 1)))", ()), Example("constant((1, 2, 3))", ()))

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        return TensorType(_shape(self.value), batched=False)

    def buffers(self, *inputs: TensorType) -> dict[str, Buffer]:
        return {"value": Buffer(_shape(self.value))}

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(Call("Constant", (_floats(self.value),)), helper=CONSTANT_HELPER)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.weight("value") if len(_shape(self.value)) < 2 else g.const(g.array("value")[None])


def _shape(value: Any) -> tuple[int, ...]:
    """The shape of nested lists. Raises OpError for ragged ones and for what is not a number."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return ()
    inner = {_shape(v) for v in value} if isinstance(value, tuple | list) else set()
    if len(inner) != 1:
        raise OpError(
            "`value` must be a list of numbers, or of lists of one length", argument="value", code="argument-value"
        )
    return (len(value), *inner.pop())


def _floats(value: Any) -> Any:
    return tuple(map(_floats, value)) if isinstance(value, tuple | list) else float(value)


@register("fill")
class Fill(Op, frozen=True):
    """`channels` channels filled with one number, of the image's size: `concat(fill(t), it)` tells a convolution the
    time (neural ODEs, Chen et al., 2018)."""

    value: float
    channels: Positive = 1

    positional = 1
    saves = "nothing"
    examples = (Example("fill(0.25)"), Example("fill(1, channels=2)", ("[4, 9]",)))

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x = floating(inputs[0], "fill")
        if x.rank < 1:
            raise OpError(f"`fill` needs channels, found {x}", operand=0)
        return x.with_shape(self.channels, *x.spatial)

    def torch(self, *inputs: TensorType) -> Torch:
        like = Call("[]", (X(), Code(":"), Code(":1")))
        like = like if self.channels == 1 else Call(".expand", (like, -1, self.channels, *(-1,) * (inputs[0].rank - 1)))
        return Torch(expression=Call("torch.full_like", (like, self.value)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op("Expand", g.const(self.value), full_shape(g, x[0].type, self.channels, *x[0].type.spatial))


AFFINE_HELPER = '''\
class Affine{axes}(nn.Module):
    """A learnt factor and shift per channel."""

    def __init__(self, channels: int, init: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((channels,), init))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight{index} + self.bias{index}
'''


@register("affine")
class Affine(Op, frozen=True):
    """`x * weight + bias` with a learnt number each per feature: the coefficient and bias of LeNet-5's subsampling
    (LeCun et al., 1998), or normalisation at inference without statistics (ResMLP, Touvron et al., 2021). The weights
    start at `init`, the biases at 0.

    Features are the last axis of `[F]` and `[L, D]`, and the channels of `[C, H, W]`.
    """

    init: float = 1.0
    axis: int | None = None

    layout = "along"
    positional = 1
    is_layer = True
    examples = (
        Example("affine"),
        Example("affine(0)"),
        Example("affine", ("[7]",)),
        Example("affine", ("[5, 6]",)),
        Example("affine(axis=0)", ("[5, 6]",)),
        Example("affine", ("[2, 3, 4, 5]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        feature_size(inputs[0], self.axis)
        return floating(inputs[0], "affine")

    def params(self, *inputs: TensorType) -> dict[str, Param]:
        size = (feature_size(inputs[0], self.axis),)
        return {"weight": Param(size, "scale"), "bias": Param(size, "bias")}

    def torch(self, *inputs: TensorType) -> Torch:
        after = self._after(inputs[0])
        index = f"[:, {', '.join(['None'] * after)}]" if after else ""
        name = f"{after}d" if after else ""
        helper = AFFINE_HELPER.format(axes=name, index=index)
        options = (("init", self.init),) if self.init != 1 else ()
        return Torch(Call(f"Affine{name}", (feature_size(inputs[0], self.axis),), options), helper=helper)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        across = (-1, *(1,) * self._after(x[0].type))
        scaled = g.op("Mul", x[0].name, g.const(g.array("weight").reshape(across)))
        return g.op("Add", scaled, g.const(g.array("bias").reshape(across)))

    def as_affine(self, weights: Mapping[str, Any]) -> tuple[Any, Any]:
        return weights["weight"], weights["bias"]

    def _after(self, x: TensorType) -> int:
        """How many axes follow the features."""
        return x.rank - 1 - features_at(x, self.axis)
