"""Values side by side and apart: `concat`, `stack`, `chunk`, `split`."""

from typing import Any

from netdsl.budget import spend
from netdsl.ops.base import Call, Example, Graph, Op, Operand, OpError, Torch, X, register, require
from netdsl.ops.features import axis_of, dim_of, features_with, is_bare, nearest_divisor, unclear
from netdsl.ops.lowering import full_shape
from netdsl.ops.spatial import Positive
from netdsl.sizes.constraints import IMPOSSIBLE, Assumptions
from netdsl.sizes.dims import Dim, floordiv, total
from netdsl.tensors import TensorType


@register("concat")
class Concat(Op, frozen=True):
    """Values joined along an axis of the sample: the channels, unless `axis` says another. Other sizes must agree."""

    axis: int = 0

    variadic = True
    takes_it = False
    saves = "nothing"
    examples = (
        Example("concat(x, y)", ("[4, 5, 6]", "[2, 5, 6]")),
        Example("concat(x, y, z)", ("[4, 9]", "[2, 9]", "[1, 9]")),
        Example("concat(x, y, axis=-1)", ("[5, 6]", "[5, 2]")),
        Example("concat(x, y)", ("[4]", "[3]")),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        if not inputs:
            raise OpError("`concat` of nothing", code="argument-value")
        first, at = inputs[0], axis_of(inputs[0], self.axis)
        for i, x in enumerate(inputs):
            if x.rank != first.rank or x.dtype != first.dtype:
                raise OpError(
                    f"`concat` needs values of one kind, found {first} and {x}", operand=i, hint=_extra(first, x)
                )
            for axis, (m, n) in enumerate(zip(first.shape, x.shape, strict=True)):
                if axis != at and assume.equal(m, n) == IMPOSSIBLE:
                    message = f"`concat` along axis {at} needs the other sizes to agree, found {first} and {x}"
                    raise OpError(
                        message, operand=i, hint=_mend(first, x, m, n) if first.rank > 2 else _turned(first, x)
                    )
        joined = total(x.shape[at] for x in inputs)
        shape = (*first.shape[:at], joined, *first.shape[at + 1 :])
        return TensorType(shape, first.dtype, any(x.batched for x in inputs))

    def torch(self, *inputs: TensorType) -> Torch:
        batch = next((X(i) for i, x in enumerate(inputs) if x.batched), None)
        parts = tuple(_for_each_sample(X(i), x, batch) for i, x in enumerate(inputs))
        return Torch(expression=Call("torch.cat", (parts,), (("dim", dim_of(inputs[0], self.axis)),)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        mixed = any(o.type.batched for o in x)
        parts = [_for_each_sample_onnx(g, o) if mixed and not o.type.batched else o.name for o in x]
        return g.op("Concat", *parts, axis=dim_of(x[0].type, self.axis))


def _for_each_sample(value: X, x: TensorType, batch: X | None) -> Any:
    """A value that is the same for every sample, repeated over the batch of another."""
    if x.batched or batch is None:
        return value
    kept = (-1,) * x.rank if x.rank > 1 else x.shape
    return Call(".expand", (value, Call(".size", (batch, 0)), *kept))


def _for_each_sample_onnx(g: Graph, x: Operand) -> Any:
    return g.op("Expand", x.name, g.shape(*x.type.shape))


def _turned(first: TensorType, other: TensorType) -> str | None:
    """Rows that differ along one axis alone can be joined along it."""
    differing = [axis for axis, (a, b) in enumerate(zip(first.shape, other.shape, strict=True)) if a != b]
    return f"`axis={differing[0]}` joins them side by side" if len(differing) == 1 else None


def _mend(first: TensorType, other: TensorType, m: Dim, n: Dim) -> str | None:
    if not (isinstance(m, int) and isinstance(n, int)):
        return None
    small, large = sorted((m, n))
    if large % small == 0:
        return (
            f"`upsample({large // small})` would enlarge the smaller one, a stride of {large // small} shrink the other"
        )
    least = [
        min(a, b)
        for a, b in zip(first.shape[1:], other.shape[1:], strict=True)
        if isinstance(a, int) and isinstance(b, int)
    ]
    if len(least) != first.rank - 1 or not least:
        return None
    size = str(least[0]) if len(set(least)) == 1 else f"({', '.join(map(str, least))})"
    return f"`crop({size})` would cut the larger one to the middle"


def _extra(first: TensorType, other: TensorType) -> str | None:
    """A hint for values of which one has an axis of size 1 more, as a batch is elsewhere."""
    more, less = sorted((first, other), key=lambda x: -x.rank)
    if more.rank == less.rank + 1 and more.shape[0] == 1:
        return f"the batch is not written: {more} may be meant as {TensorType(more.shape[1:], more.dtype)}"
    return None


@register("stack")
class Stack(Op, frozen=True):
    """Values of one shape side by side along a new axis, the first unless `axis` says another, as torch.stack: two
    vectors `[D]` make `[2, D]`."""

    axis: int = 0

    variadic = True
    takes_it = False
    saves = "nothing"
    examples = (
        Example("stack(x, y)", ("[4, 5, 6]", "[4, 5, 6]")),
        Example("stack(x, y, z)", ("[5]", "[5]", "[5]")),
        Example("stack(x, y, axis=-1)", ("[5, 6]", "[5, 6]")),
        Example("stack(x, y)", ("[]", "[]")),
        Example("stack(x)", ("[3] int64",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        if not inputs:
            raise OpError("`stack` of nothing", code="argument-value")
        first, at = inputs[0], axis_of(inputs[0], self.axis, extra=1)
        for i, x in enumerate(inputs):
            alike = x.rank == first.rank and x.dtype == first.dtype
            if not alike or any(assume.equal(m, n) == IMPOSSIBLE for m, n in zip(first.shape, x.shape, strict=True)):
                message = f"`stack` needs values of one shape and type, found {first} and {x}"
                raise OpError(message, operand=i, hint="`concat` joins values along an axis that they have")
        shape = (*first.shape[:at], len(inputs), *first.shape[at:])
        return TensorType(shape, first.dtype, any(x.batched for x in inputs))

    def features(self, result: TensorType, *inputs: TensorType) -> int | None:
        places = {features_with(x, axis_of(x, self.axis, extra=1), result) for x in inputs}
        return places.pop() if len(places) == 1 else unclear(result)

    def torch(self, *inputs: TensorType) -> Torch:
        batch = next((X(i) for i, x in enumerate(inputs) if x.batched), None)
        parts = tuple(_rows(X(i), x, batch) for i, x in enumerate(inputs))
        return Torch(expression=Call("torch.stack", (parts,), (("dim", axis_of(inputs[0], self.axis, extra=1) + 1),)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        mixed = any(o.type.batched for o in x)
        at = axis_of(x[0].type, self.axis, extra=1) + 1
        parts = []
        for o in x:
            part = g.op("Reshape", o.name, full_shape(g, o.type, *o.type.shape)) if is_bare(o.type) else o.name
            part = g.op("Expand", part, g.shape(*o.type.shape)) if mixed and not o.type.batched else part
            parts.append(g.op("Unsqueeze", part, g.const((at,), "int64")))
        return g.op("Concat", *parts, axis=at)


def _rows(value: X, x: TensorType, batch: X | None) -> Any:
    """A value with a batch axis, repeated over the batch of another where it is the same for every sample."""
    if x.batched:
        return value
    row: Any = Call(".reshape", (value, 1, *x.shape)) if is_bare(x) else value
    return row if batch is None else Call(".expand", (row, Call(".size", (batch, 0)), *(-1,) * x.rank))


PART = 60
"""What a part costs of the budget of work: a value of its own, in the program, in its text and in the model."""


@register("chunk")
class Chunk(Op, frozen=True):
    """`chunks` equal parts along an axis (the channels, unless `axis` says another), as values: `a, b = chunk(2)`.

    Unlike torch.chunk it refuses sizes that don't divide.
    """

    chunks: Positive
    axis: int = 0

    positional = 1
    saves = "view"
    examples = (Example("chunk(2)"), Example("chunk(3, axis=-1)"), Example("chunk(2)", ("[8]",)), Example("chunk(1)"))

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType | tuple[TensorType, ...]:
        (x,) = inputs
        at = axis_of(x, self.axis)
        size = x.shape[at]
        message = f"{self.chunks} equal parts of a size of {size}"
        if assume.divisible(size, self.chunks) == IMPOSSIBLE:
            hint = f"`chunk({nearest_divisor(size, self.chunks)})` would" if isinstance(size, int) else None
            raise OpError(message, argument="chunks", code="indivisible", hint=hint)
        spend(PART * self.chunks)
        part = x.with_shape(*x.shape[:at], floordiv(size, self.chunks), *x.shape[at + 1 :])
        return (part,) * self.chunks

    def torch(self, *inputs: TensorType) -> Torch:
        dim = (("dim", dim_of(inputs[0], self.axis)),)
        return Torch(expression=Call(".chunk", (X(), self.chunks), dim))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        if self.chunks == 1:
            return (g.op("Identity", x[0].name),)
        equal = {"num_outputs": self.chunks} if g.opset >= 18 else {}
        return g.op("Split", x[0].name, outputs=self.chunks, axis=dim_of(x[0].type, self.axis), **equal)


@register("split")
class Split(Op, frozen=True):
    """Parts of given sizes along an axis (the channels, unless `axis` says another), as values:
    `a, b = split([16, 48])`. The sizes must add up to the axis."""

    sizes: tuple[Positive, ...]
    axis: int = 0

    positional = 1
    hints = {"sizes": "`chunk(2)` gives 2 equal parts, `split([16, 48])` parts of those sizes"}
    saves = "view"
    examples = (Example("split((3, 1))"), Example("split((2, 3, 4), axis=-1)"), Example("split((5, 3))", ("[8]",)))

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType | tuple[TensorType, ...]:
        (x,) = inputs
        at, total = axis_of(x, self.axis), sum(self.sizes)
        message = f"parts of {total} in all, of a size of {x.shape[at]}"
        require(assume.equal(x.shape[at], total), message, argument="sizes", hint=self._adding_up(x.shape[at]))
        spend(PART * len(self.sizes))
        return tuple(x.with_shape(*x.shape[:at], size, *x.shape[at + 1 :]) for size in self.sizes)

    def _adding_up(self, size: Dim) -> str | None:
        """A hint with parts that add up to a size: equal ones, or with another last one."""
        count, axis = len(self.sizes), f", axis={self.axis}" if self.axis else ""
        if not isinstance(size, int) or count < 2:
            return None
        if len(set(self.sizes)) == 1 and size % count == 0:
            return f"`split({(size // count,) * count}{axis})` adds up to {size}"
        rest = size - sum(self.sizes[:-1])
        return f"`split({(*self.sizes[:-1], rest)}{axis})` adds up to {size}" if rest > 0 else None

    def torch(self, *inputs: TensorType) -> Torch:
        dim = (("dim", dim_of(inputs[0], self.axis)),)
        return Torch(expression=Call(".split", (X(), self.sizes), dim))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        sizes, axis = g.const(self.sizes, "int64"), dim_of(x[0].type, self.axis)
        if len(self.sizes) == 1:
            return (g.op("Identity", x[0].name),)
        return g.op("Split", x[0].name, sizes, outputs=len(self.sizes), axis=axis)
