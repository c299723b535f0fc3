"""The same numbers in another shape: `flatten`, `reshape`, `permute`, `unsqueeze`, `squeeze`, `expand`; `cast`."""

from math import isqrt, prod
from typing import Any, Literal

from netdsl.ops.base import Call, Code, Example, Graph, Op, Operand, OpError, Torch, X, feature_axis, register, require
from netdsl.ops.described import described
from netdsl.ops.features import axis_of, dim_of, features_with, features_without, is_bare, moved
from netdsl.ops.layout import reshaped_features
from netdsl.ops.lowering import reshaped, transposed
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Dim, Size, floordiv, product
from netdsl.tensors import MOST_AXES, UNCLEAR, TensorType


@register("identity")
class Identity(Op, frozen=True):
    """The value itself."""

    saves = "view"
    examples = (Example("identity"),)

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        return inputs[0]

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(Call("nn.Identity"), X())

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return x[0].name


@register("flatten")
class Flatten(Op, frozen=True):
    """Axes from `start` to `end` (both included, counted in the sample) as one: by default all of them, `[C, H, W]` to
    `[C * H * W]`, as torch.nn.Flatten. `flatten(start=1)` makes a row of pixels per channel, `[C, H * W]`."""

    start: int = 0
    end: int = -1

    saves = "view"
    examples = (
        Example("flatten"),
        Example("flatten(start=1)"),
        Example("flatten(start=0, end=1)"),
        Example("flatten", ("[7]",)),
        Example("flatten(start=1, end=2)", ("[2, 3, 4, 5]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        start, end = axis_of(x, self.start, "start"), axis_of(x, self.end, "end")
        if start > end:
            raise OpError(f"`start` {start} comes after `end` {end}", argument="start", code="argument-value")
        return x.with_shape(*x.shape[:start], product(x.shape[start : end + 1]), *x.shape[end + 1 :])

    def features(self, result: TensorType, *inputs: TensorType) -> int | None:
        return reshaped_features(inputs[0], result)

    def torch(self, *inputs: TensorType) -> Torch:
        if is_bare(inputs[0]):
            return Torch(Call("nn.Identity"), X())
        start, end = axis_of(inputs[0], self.start) + 1, axis_of(inputs[0], self.end) + 1
        to_end = end == inputs[0].rank
        module = () if start == 1 and to_end else ((start,) if to_end else (start, end))
        return Torch(Call("nn.Flatten", module), Call(".flatten", (X(), start) if to_end else (X(), start, end)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        if is_bare(x[0].type):
            return x[0].name
        start, end = axis_of(x[0].type, self.start), axis_of(x[0].type, self.end)
        if start == 0 and end == x[0].type.rank - 1:
            return g.op("Flatten", x[0].name)
        return reshaped(g, x[0], *self.infer(Assumptions(), x[0].type).shape)


def _filled(elements: Dim, sizes: list[Dim]) -> str | None:
    """A hint with a shape that a value of so many numbers fills: one size is another, or both sides of an image are."""
    whole = [s for s in sizes if isinstance(s, int)]
    if not isinstance(elements, int) or len(whole) < len(sizes):
        return None
    ways = [_square(elements, whole), *(_replaced(elements, whole, i) for i in reversed(range(len(whole))))]
    found = next((way for way in ways if way is not None), None)
    return (
        None if found is None else f"`reshape(({', '.join(map(str, found))}{',' * (len(found) == 1)}))` has {elements}"
    )


def _square(elements: int, sizes: list[int]) -> list[int] | None:
    """So many channels of a square image."""
    if len(sizes) != 3 or sizes[1] != sizes[2]:
        return None
    side = isqrt(elements // sizes[0])
    return [sizes[0], side, side] if sizes[0] * side * side == elements else None


def _replaced(elements: int, sizes: list[int], axis: int) -> list[int] | None:
    """The sizes with another one on an axis."""
    size, rest = divmod(elements, prod(sizes[:axis] + sizes[axis + 1 :]))
    return None if rest or not size else [*sizes[:axis], size, *sizes[axis + 1 :]]


@register("reshape")
class Reshape(Op, frozen=True):
    """The same numbers, in the same order, in another shape (without the batch); one size may be -1, which is then
    worked out: `reshape((heads, -1, 64))`."""

    shape: tuple[Any, ...]

    positional = 1
    saves = "view"
    examples = (
        Example("reshape((2, 2, 72))"),
        Example("reshape((8, -1))"),
        Example("reshape((-1,))"),
        Example("reshape((3, 4))", ("[12]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        sizes = sizes_of(self.shape, "shape")
        given = product(s for s in sizes if s != -1)
        if sizes.count(-1) > 1:
            raise OpError("only one size may be -1", argument="shape", code="argument-value")
        if any(isinstance(s, int) and s < 1 and s != -1 for s in sizes):
            raise OpError("sizes are at least 1", argument="shape", code="argument-value")
        message = f"{x} has {x.elements} numbers, which do not fill [{', '.join(map(str, sizes))}]"
        if -1 not in sizes:
            hint = _filled(x.elements, sizes)
            require(assume.equal(x.elements, given), message, argument="shape", hint=hint)
        else:
            require(assume.equal(x.elements % given, 0), message, argument="shape")
            sizes[sizes.index(-1)] = floordiv(x.elements, given)
        return x.with_shape(*sizes)

    def features(self, result: TensorType, *inputs: TensorType) -> int | None:
        return reshaped_features(inputs[0], result)

    def torch(self, *inputs: TensorType) -> Torch:
        shape = self.infer(Assumptions(), *inputs).shape
        if len(self.shape) == 1 and inputs[0].rank > 1:
            return Torch(Call("nn.Flatten"), Call(".flatten", (X(), 1)))
        return Torch(expression=Call(".reshape", (X(), -1, *shape)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return reshaped(g, x[0], *self.infer(Assumptions(), x[0].type).shape)


def sizes_of(values: tuple[Any, ...], argument: str) -> list[Dim]:
    """An argument that is a shape. Raises OpError for what is no size, and for more axes than a tensor has."""
    if len(values) > MOST_AXES:
        message = f"a shape of {len(values):,} axes: a tensor has {MOST_AXES} at most, without the batch"
        raise OpError(message, argument=argument, code="too-large")
    return [size_of(v, argument) for v in values]


def size_of(value: Any, argument: str) -> Dim:
    """An argument that is a size. Raises OpError for what is neither a whole number nor symbolic."""
    if isinstance(value, bool) or not isinstance(value, int | Size):
        message = f"`{argument}` must be whole numbers, found {described(value)}"
        raise OpError(message, argument=argument, code="argument-value")
    return value


@register("permute")
class Permute(Op, frozen=True):
    """The axes of the sample in another order, as torch.permute: `permute((1, 0))` makes rows of columns."""

    axes: tuple[int, ...]

    positional = 1
    saves = "view"
    examples = (Example("permute((2, 0, 1))"), Example("permute((1, 0))", ("[4, 9]",)), Example("permute((-1, 1, 0))"))

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        return inputs[0].with_shape(*(inputs[0].shape[a] for a in self._order(inputs[0])))

    def features(self, result: TensorType, *inputs: TensorType) -> int | None:
        (x,) = inputs
        if x.rank <= 2:
            return None  # rows of columns are what their author takes them for
        return UNCLEAR if x.features == UNCLEAR else moved(x, self._order(x).index(feature_axis(x)), result)

    def torch(self, *inputs: TensorType) -> Torch:
        order = self._order(inputs[0])
        moved = [i for i, a in enumerate(order) if i != a]
        if len(moved) == 2:
            return Torch(expression=Call(".transpose", (X(), moved[0] + 1, moved[1] + 1)))
        return Torch(expression=Call(".permute", (X(), 0, *(a + 1 for a in order))))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return transposed(g, x[0].name, *self._order(x[0].type))

    def _order(self, x: TensorType) -> list[int]:
        order = [axis_of(x, a, "axes") for a in self.axes]
        if sorted(order) != list(range(x.rank)):
            message = f"`axes` must name each of the {x.rank} axes of {x} once"
            raise OpError(message, argument="axes", code="bad-axis")
        return order


@register("unsqueeze")
class Unsqueeze(Op, frozen=True):
    """A new axis of size 1 at `axis`, as torch.unsqueeze (without counting the batch)."""

    axis: int

    saves = "view"
    examples = (
        Example("unsqueeze(axis=0)"),
        Example("unsqueeze(axis=-1)", ("[7]",)),
        Example("unsqueeze(axis=1)", ("[7]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        at = axis_of(x, self.axis, extra=1)
        return x.with_shape(*x.shape[:at], 1, *x.shape[at:])

    def features(self, result: TensorType, *inputs: TensorType) -> int | None:
        return features_with(inputs[0], axis_of(inputs[0], self.axis, extra=1), result)

    def torch(self, *inputs: TensorType) -> Torch:
        (x,) = inputs
        if is_bare(x):
            return Torch(expression=Call(".reshape", (X(), 1, *self.infer(Assumptions(), x).shape)))
        return Torch(expression=Call(".unsqueeze", (X(), axis_of(x, self.axis, extra=1) + 1)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        if is_bare(x[0].type):
            return reshaped(g, x[0], *self.infer(Assumptions(), x[0].type).shape)
        at = axis_of(x[0].type, self.axis, extra=1) + 1
        return g.op("Unsqueeze", x[0].name, g.const((at,), "int64"))


@register("squeeze")
class Squeeze(Op, frozen=True):
    """The axis of size 1 at `axis` taken away, as torch.squeeze (without counting the batch)."""

    axis: int

    saves = "view"
    examples = (Example("squeeze(axis=0)", ("[1, 5, 6]",)), Example("squeeze(axis=-1)", ("[7, 1]",)))

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        at = axis_of(x, self.axis)
        require(assume.equal(x.shape[at], 1), f"axis {at} of {x} is not of size 1", argument="axis")
        return x.with_shape(*x.shape[:at], *x.shape[at + 1 :])

    def features(self, result: TensorType, *inputs: TensorType) -> int | None:
        return features_without(result, inputs[0], (axis_of(inputs[0], self.axis),))

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(expression=Call(".squeeze", (X(), dim_of(inputs[0], self.axis))))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op("Squeeze", x[0].name, g.const((dim_of(x[0].type, self.axis),), "int64"))


@register("expand")
class Expand(Op, frozen=True):
    """Axes of size 1 repeated until the value has `shape`, as torch.expand. This is how values of different shapes meet
    on purpose: `a -> unsqueeze(axis=1) -> expand((n, n))`."""

    shape: tuple[Any, ...]

    positional = 1
    saves = "view"
    examples = (
        Example("expand((4, 5, 6))", ("[4, 1, 6]",)),
        Example("expand((3, 5))", ("[1, 5]",)),
        Example("expand((3, 5))", ("[3, 1]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        sizes = sizes_of(self.shape, "shape")
        message = f"{x} does not expand to [{', '.join(map(str, sizes))}]: sizes must be equal, or 1 at first"
        if len(sizes) != x.rank:
            raise OpError(message, argument="shape", hint="`unsqueeze` adds an axis of size 1")
        for old, new in zip(x.shape, sizes, strict=True):
            if old != 1:
                require(assume.equal(old, new), message, argument="shape")
        return x.with_shape(*sizes)

    def torch(self, *inputs: TensorType) -> Torch:
        if is_bare(inputs[0]):
            return Torch(expression=Call(".expand", (X(), 1, *self.shape)))
        sizes = (
            new if isinstance(new, int) or old != new else -1
            for old, new in zip(inputs[0].shape, self.shape, strict=True)
        )
        return Torch(expression=Call(".expand", (X(), -1, *sizes)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        sizes = (1 if old == new else new for old, new in zip(x[0].type.shape, self.shape, strict=True))
        return g.op("Expand", x[0].name, g.shape(1, *sizes, batch=False))


@register("cast")
class Cast(Op, frozen=True):
    """The numbers in another dtype, as torch.Tensor.to."""

    dtype: Literal["float32", "int64", "bool"]

    positional = 1
    saves = "nothing"
    jumps = True
    examples = (
        Example("cast(dtype=float32)", ("[4, 5] int64",)),
        Example("cast(dtype=int64)"),
        Example("cast(dtype=float32)", ("[4] bool",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        return TensorType(inputs[0].shape, self.dtype, inputs[0].batched)

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(expression=Call(".to", (X(), Code(f"torch.{self.dtype}"))))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op("Cast", x[0].name, to={"float32": 1, "int64": 7, "bool": 9}[self.dtype])
