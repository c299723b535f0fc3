"""Choices between numbers: `greater`, `less`, `equal`, `logical_not`, `masked_fill`, `where`."""

from typing import Any, ClassVar

from netdsl.ops.arithmetic import met
from netdsl.ops.base import Call, Example, Graph, Op, Operand, OpError, Torch, X, register
from netdsl.ops.features import number_for
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Dim
from netdsl.tensors import TensorType


class Comparison(Op, frozen=True):
    """The base of comparisons with a number: the result is true or false at each position."""

    jumps = True
    symbol: ClassVar[str]
    node: ClassVar[str]

    value: float

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        number_for(inputs[0], self.value, self.kind)
        return TensorType(inputs[0].shape, "bool", inputs[0].batched)

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(expression=Call(self.symbol, (X(), number_for(inputs[0], self.value, self.kind))))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op(self.node, x[0].name, g.const(self.value, x[0].type.dtype))


@register("greater")
class Greater(Comparison, frozen=True):
    """Where `x > value`, as torch.gt."""

    positional = 1
    symbol, node = ">", "Greater"
    examples = (Example("greater(0)"), Example("greater(0.1)", ("[7]",)))


@register("less")
class Less(Comparison, frozen=True):
    """Where `x < value`, as torch.lt."""

    positional = 1
    symbol, node = "<", "Less"
    examples = (Example("less(0)"), Example("less(1)", ("[7] int64",)))


@register("equal")
class Equal(Comparison, frozen=True):
    """Where `x == value`, as torch.eq."""

    positional = 1
    symbol, node = "==", "Equal"
    examples = (Example("equal(1)", ("[4, 5] int64",)), Example("equal(0)", ("[7]",)))


@register("logical_not")
class LogicalNot(Op, frozen=True):
    """True where `x` is false, as torch.logical_not."""

    examples = (Example("logical_not", ("[4, 5] bool",)),)

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        return boolean(inputs[0], "logical_not", 0)

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(expression=Call("~", (X(),)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op("Not", x[0].name)


def boolean(x: TensorType, kind: str, operand: int) -> TensorType:
    """The type itself. Raises OpError for one that is not true or false."""
    if x.dtype not in ("bool", "unknown"):
        hint = "`greater(0)` or `equal(1)` make a mask of numbers"
        if kind == "logical_not":
            hint = "`equal(0)` is what PyTorch's `logical_not` gives for numbers"
        raise OpError(f"`{kind}` needs a mask, found {x}", operand=operand, code="dtype-mismatch", hint=hint)
    return x


def same_shape(assume: Assumptions, kind: str, *inputs: TensorType) -> tuple[Dim, ...]:
    """The shape in which the values meet. Raises OpError unless they are equal but for axes of size 1."""
    shape: tuple[Dim, ...] | None = inputs[0].shape
    for i, x in enumerate(inputs[1:], start=1):
        shape = met(assume, shape, x.shape) if shape is not None and x.rank == len(shape) else None
        if shape is None:
            message = f"`{kind}` needs equal shapes, found {inputs[0]} and {x}"
            raise OpError(message, operand=i, hint="`unsqueeze` adds an axis of size 1, which is repeated")
    assert shape is not None
    return shape


@register("masked_fill")
class MaskedFill(Op, frozen=True):
    """`value` where `mask` is true, otherwise `x`, as torch.masked_fill. Shapes must be equal, but for axes of size 1,
    which are repeated. Attention over the neighbours in a graph:
    `scores -> masked_fill(mask=far, value=-1e9) -> softmax(axis=-1)`."""

    value: float

    operands = ("mask",)
    examples = (
        Example("masked_fill(mask=y, value=-1e9)", ("[4, 5, 6]", "[4, 5, 6] bool")),
        Example("masked_fill(mask=y, value=0)", ("[7]", "[7] bool")),
        Example("masked_fill(mask=y, value=0)", ("[4, 5, 6]", "[1, 1, 6] bool")),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x, mask = inputs
        boolean(mask, "masked_fill", 1)
        number_for(x, self.value, "masked_fill")
        return TensorType(same_shape(assume, "masked_fill", x, mask), x.dtype, x.batched or mask.batched)

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(expression=Call(".masked_fill", (X(), X(1), self.value)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op("Where", x[1].name, g.const(self.value, x[0].type.dtype), x[0].name)


@register("where")
class Where(Op, frozen=True):
    """`a` where `condition` is true, otherwise `b`, as torch.where. Shapes must be equal, but for axes of
    size 1, which are repeated."""

    operands = ("condition", "a", "b")
    takes_it = False
    examples = (
        Example("where(x, y, z)", ("[4, 5] bool", "[4, 5]", "[4, 5]")),
        Example("where(x, y, z)", ("[4, 5] bool", "[4, 5] bool", "[4, 5] bool")),
        Example("where(x, y, z)", ("[1, 5] bool", "[4, 1]", "[4, 5]")),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        condition, a, b = inputs
        boolean(condition, "where", 0)
        if a.dtype != b.dtype:
            raise OpError(f"`where` between {a.dtype} and {b.dtype}", operand=2, code="dtype-mismatch")
        return TensorType(same_shape(assume, "where", *inputs), a.dtype, any(x.batched for x in inputs))

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(expression=Call("torch.where", (X(0), X(1), X(2))))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        condition, a, b = (o.name for o in x)
        if x[1].type.dtype == "bool":  # onnxruntime's Where is for numbers
            return g.op("Or", g.op("And", condition, a), g.op("And", g.op("Not", condition), b))
        return g.op("Where", condition, a, b)
