"""Arithmetic between values and with numbers: `add`, `sub`, `mul`, `div`, `maximum`, `minimum`, `scalar`."""

from typing import Any, ClassVar, Literal

from netdsl.ops.base import Call, Code, Example, Graph, Op, Operand, OpError, Torch, X, feature_axis, register
from netdsl.ops.features import floating, number_for
from netdsl.sizes.constraints import IMPOSSIBLE, Assumptions
from netdsl.sizes.dims import Dim
from netdsl.tensors import TensorType, joined


def broadcast(assume: Assumptions, a: TensorType, b: TensorType, symbol: str) -> TensorType:
    """The type of `a symbol b`: equal shapes but for axes of size 1, or a vector that meets the features of the other.

    Raises OpError with both shapes and a hint that fixes it.
    """
    if a.dtype != b.dtype:
        message = f"`{symbol}` of {a.dtype} and {b.dtype}"
        wider = b.dtype if "float" in b.dtype else a.dtype
        convert = f"`cast(dtype={wider})` turns one into the other"
        raise OpError(message, operand=1, code="dtype-mismatch", hint=convert)
    shape = _shape_of(assume, a, b, symbol in "+-")
    if shape is None:
        hint = _one_channel(a, b) if symbol in "+-" else None
        raise OpError(f"`{symbol}` needs equal shapes, found {a} and {b}", operand=1, hint=hint or mend(a, b))
    return TensorType(shape, a.dtype, a.batched or b.batched)


def _shape_of(assume: Assumptions, a: TensorType, b: TensorType, adds: bool) -> tuple[Dim, ...] | None:
    """The shape in which two values meet; `adds`: not one feature over many, unless both are the same for every
    sample."""
    if a.rank == b.rank:
        at = joined(a.rank, (a, b))
        fixed = feature_axis(a.with_features(at)) if adds and a.rank and (a.batched or b.batched) else None
        return met(assume, a.shape, b.shape, fixed)
    big, small = (a, b) if a.rank >= b.rank else (b, a)
    if small.rank == 0:
        return big.shape
    if small.rank == 1 and big.features not in (None, 0, big.rank - 1):
        message = f"a vector meets the features, which of this {big} are not told"
        hint = "`unsqueeze` gives it the axes that it lacks"
        raise OpError(message, operand=int(big is a), code="feature-axis", hint=hint)
    own = big.shape[feature_axis(big)]
    return big.shape if small.rank == 1 and assume.equal(own, small.shape[0]) != IMPOSSIBLE else None


def met(
    assume: Assumptions, a: tuple[Dim, ...], b: tuple[Dim, ...], fixed: int | None = None
) -> tuple[Dim, ...] | None:
    """The shape in which two of one rank meet: an axis of size 1 is repeated, but for the one at `fixed`."""
    shape: list[Dim] = []
    for axis, (m, n) in enumerate(zip(a, b, strict=True)):
        if (m == 1 or n == 1) and axis != fixed:
            shape.append(n if m == 1 else m)
        elif assume.equal(m, n) == IMPOSSIBLE:
            return None
        else:
            shape.append(m)
    return tuple(shape)


def _one_channel(a: TensorType, b: TensorType) -> str | None:
    """How to say that one feature is added to all, which is a mistake more often than meant."""
    for one, many in ((a, b), (b, a)):
        at = feature_axis(many) if many.rank else 0
        both = met(Assumptions(), one.shape, many.shape) if one.rank == many.rank > 0 else None
        if both is not None and one.shape[at] == 1:
            return _meant_for_all(one, both)
    return None


def _meant_for_all(one: TensorType, shape: tuple[Dim, ...]) -> str:
    return f"`expand({_written(shape)})` on {one} says that its one feature is meant for all"


def _written(shape: tuple[Dim, ...]) -> str:
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def mend(a: TensorType, b: TensorType) -> str | None:
    """A hint that makes the shapes equal: a projection of the larger image, or of the channels alone."""
    if a.rank != b.rank or a.rank < 1:
        return _mend_vector(a, b)
    if a.rank <= 2:
        if a.shape[:-1] != b.shape[:-1]:
            return None
        if isinstance(b.shape[-1], int):
            return f"`linear({b.shape[-1]})` on the left would bring it to {b}"
        return "the lengths differ: look at kernel sizes and paddings on both sides (`padding=same` keeps the length)"
    if a.shape[0] == b.shape[0]:
        for gate in (a, b):
            if set(gate.spatial) == {1}:
                return f"`flatten` (or `gap` before) makes {gate} a vector, which meets an image per channel"
    return _mend_images(a, b)


def _mend_images(a: TensorType, b: TensorType) -> str | None:
    for large, small, side in ((a, b, "left"), (b, a, "right")):
        stride = _stride(large.spatial, small.spatial)
        if stride is None:
            continue
        projection = f"conv({small.shape[0]}, 1{f', stride={stride}' if stride > 1 else ''})"
        if side == "left":
            return f"`{projection}` on the left brings it to {b}; in a residual link: `residual(shortcut={projection})`"
        return f"`{projection}` on the right brings it to {a}"
    if a.spatial != b.spatial:
        return "the images differ: look at kernel sizes and paddings on both sides (`padding=same` keeps the size)"
    return None


def _mend_vector(a: TensorType, b: TensorType) -> str | None:
    """A hint that lets a vector meet the other value."""
    big, small = (a, b) if a.rank > b.rank else (b, a)
    if small.rank != 1 or not (small.batched or big.shape[feature_axis(big)] == 1):
        return "`unsqueeze` and `expand` bring a value to another shape"
    at, size = feature_axis(big), small.shape[0]
    if big.shape[at] == 1:
        return _meant_for_all(big, (*big.shape[:at], size, *big.shape[at + 1 :]))
    if big.rank == 2 and big.shape[1 - at] == size:
        return f"`unsqueeze(axis={at}) -> expand({_written(big.shape)})` on {small} gives each position its number"
    where = "per channel" if at == 0 else "per feature"
    return f"a vector meets {big} {where}: `linear({big.shape[at]})` gives it {big.shape[at]} numbers"


def _stride(large: tuple[Dim, ...], small: tuple[Dim, ...]) -> int | None:
    """The stride of a 1x1 convolution that takes one image's size to the other's."""
    for stride in (1, 2, 3, 4, 8, 16):
        if all((m - 1) // stride + 1 == n for m, n in zip(large, small, strict=True)):
            return stride
    return None


def new_axes(own: TensorType, other: TensorType) -> tuple[int, ...]:
    """The axes (counted with the batch) that bring a vector or a scalar to the rank of the value that it meets.

    Those of a parameter are counted from the end, since it may lack a batch axis.
    """
    missing = other.rank - own.rank
    first = own.rank and feature_axis(other) == 0
    if missing <= 0 or not (own.batched or first):
        return ()
    if not own.batched:
        return tuple(range(-missing, 0))
    return tuple(range(2, 2 + missing) if first else range(1, 1 + missing))


def spread(index: int, own: TensorType, other: TensorType) -> Any:
    """Input `index` in a PyTorch form, with axes added where a vector meets an image."""
    axes = new_axes(own, other)
    if not axes:
        return X(index)
    before = [":"] * axes[0] if axes[0] > 0 else ["..."]
    return Call("[]", (X(index), Code(", ".join(before + ["None"] * len(axes)))))


def spread_onnx(g: Graph, own: Operand, other: Operand) -> str:
    """The ONNX counterpart of `spread`."""
    axes = new_axes(own.type, other.type)
    return str(g.op("Unsqueeze", own.name, g.const(axes, "int64"))) if axes else own.name


class Binary(Op, frozen=True):
    """Two values of equal shapes, element by element. A vector `[C]` is applied to an image `[C, H, W]` per channel,
    and an axis of size 1 is repeated (but not one channel over many, for `+` and `-`)."""

    symbol: ClassVar[str]
    function: ClassVar[str]
    node: ClassVar[str]

    operands = ("a", "b")
    takes_it = False

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        a, b = inputs
        for i, x in enumerate(inputs):
            if x.dtype == "bool" or (self.symbol == "/" and "int" in x.dtype):
                hint = "`cast(dtype=float32)` makes real numbers"
                message = f"`{self.symbol}` of {a} and {b}"
                raise OpError(message, operand=i, code="dtype-mismatch", hint=hint)
        return broadcast(assume, a, b, self.symbol)

    def torch(self, *inputs: TensorType) -> Torch:
        a, b = inputs
        return Torch(expression=Call(self.function, (spread(0, a, b), spread(1, b, a))))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op(self.node, spread_onnx(g, *x), spread_onnx(g, *x[::-1]))


def binary_examples(kind: str) -> tuple[Example, ...]:
    call = f"{kind}(x, y)"
    image, vector = "[4, 5, 6]", "[4]"
    return (
        Example(call, (image, image)),
        Example(call, (image, vector)),
        Example(call, (vector, image)),
        Example(call, ("[5, 6]", "[6]")),
        Example(call, ("[4, 2, 3, 5]", vector)),
        Example(call, (vector, vector)),
        Example(call, (image, "[]")),
        Example(call, (image, "[4, 1, 6]")),
        Example(call, ("[4, 1, 6]", "[4, 5, 1]")),
        Example(call, ("[5, 6]", "[1, 6]")),
    )


GATE = (("[4, 5, 6]", "[1, 5, 6]"), ("[4, 1, 1]", "[4, 5, 6]"))
"""One channel that meets many: a gate, for what is not added."""


def gates(kind: str) -> tuple[Example, ...]:
    return tuple(Example(f"{kind}(x, y)", shapes) for shapes in GATE)


@register("add")
class Add(Binary, frozen=True):
    """`a + b`. Shapes must be equal, but a vector `[C]` meets an image `[C, H, W]` per channel, a vector `[D]` a
    sequence `[L, D]` per feature, and a number meets all. Of equal rank, an axis of size 1 is repeated, but for that of
    the features: `expand` says that one channel is meant for many."""

    symbol, function, node = "+", "+", "Add"
    saves = "nothing"
    examples = binary_examples("add")


@register("sub")
class Sub(Binary, frozen=True):
    """`a - b`. Shapes must be equal, but a vector `[C]` meets an image `[C, H, W]` per channel."""

    symbol, function, node = "-", "-", "Sub"
    saves = "nothing"
    examples = binary_examples("sub")


@register("mul")
class Mul(Binary, frozen=True):
    """`a * b`. Shapes must be equal, but a vector `[C]` meets an image `[C, H, W]` per channel, and an axis of size 1
    is repeated: a gate `[1, H, W]` or `[C, 1, 1]` meets `[C, H, W]`."""

    symbol, function, node = "*", "*", "Mul"
    examples = (*binary_examples("mul"), *gates("mul"))


@register("div")
class Div(Binary, frozen=True):
    """`a / b`. Shapes must be equal, but a vector `[C]` meets an image `[C, H, W]` per channel."""

    symbol, function, node = "/", "/", "Div"
    examples = (*binary_examples("div"), *gates("div"))


@register("maximum")
class Maximum(Binary, frozen=True):
    """The larger of two values, element by element, with the shapes of `add`."""

    symbol, function, node = "maximum", "torch.maximum", "Max"
    examples = (*binary_examples("maximum"), *gates("maximum"))


@register("minimum")
class Minimum(Binary, frozen=True):
    """The smaller of two values, element by element, with the shapes of `add`."""

    symbol, function, node = "minimum", "torch.minimum", "Min"
    examples = (*binary_examples("minimum"), *gates("minimum"))


NODES = {"+": "Add", "-": "Sub", "*": "Mul", "/": "Div", "**": "Pow"}


@register("scalar")
class Scalar(Op, frozen=True):
    """Arithmetic with a number: `x + 2`, `0.5 * x`, `1 - x` (`reverse`), `x / 3`, `x ** 2`; of whole numbers `x // 3`
    and `x % 3`, rounded down as in Python."""

    operator: Literal["+", "-", "*", "/", "**", "//", "%"]
    value: float
    reverse: bool = False

    positional = 2
    saves = "nothing"
    examples = (
        Example('scalar("+", 2)'),
        Example('scalar("-", 1, reverse=true)'),
        Example('scalar("*", 0.5)', ("[7]",)),
        Example('scalar("/", 3)'),
        Example('scalar("**", 2)'),
        Example('scalar("**", 2, reverse=true)'),
        Example('scalar("-", 1)', ("[5] int64",)),
        Example('scalar("//", 2)', ("[4, 5] int64",)),
        Example('scalar("%", -2)', ("[7] int64",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        if self.operator in ("//", "%"):
            self._check_whole(inputs[0])
        number_for(inputs[0], self.value, self.operator)
        if self.operator in ("/", "**") and "int" in inputs[0].dtype:
            message = f"`{self.operator}` needs real numbers, found {inputs[0]}"
            raise OpError(message, operand=0, code="dtype-mismatch", hint="`cast(dtype=float32)` makes them real")
        return floating(inputs[0], self.operator) if self.operator in ("/", "**") else inputs[0]

    def torch(self, *inputs: TensorType) -> Torch:
        number = number_for(inputs[0], self.value, self.operator)
        return Torch(expression=Call(self.operator, (number, X()) if self.reverse else (X(), number)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        if self.operator == "**" and self.value == 2 and not self.reverse:
            return g.op("Mul", x[0].name, x[0].name)
        number = g.const(self.value, x[0].type.dtype)
        if self.operator in ("//", "%"):
            rest = g.op("Mod", x[0].name, number)
            return rest if self.operator == "%" else g.op("Div", g.op("Sub", x[0].name, rest), number)
        return g.op(NODES[self.operator], *((number, x[0].name) if self.reverse else (x[0].name, number)))

    def _check_whole(self, x: TensorType) -> None:
        """Raise OpError for what `//` and `%` are not defined for."""
        if "int" not in x.dtype:
            hint = "divide by `/`, and round down by a `floor` after it"
            raise OpError(
                f"`{self.operator}` needs whole numbers, found {x}", operand=0, code="dtype-mismatch", hint=hint
            )
        if self.value == 0:
            raise OpError(f"`{self.operator}` by zero", argument="value", code="argument-value")
        if self.reverse:
            message = f"a number on the left of `{self.operator}` has no meaning here"
            raise OpError(message, argument="reverse", code="argument-value")
