"""Positions by order: `flip`, `cumsum`, `argmax`, `topk`."""

from typing import Any

from netdsl.ops.base import Call, Example, Graph, Op, Operand, OpError, Torch, X, register, require
from netdsl.ops.features import axis_of, dim_of, features_at, features_without, floating
from netdsl.ops.spatial import Positive, optional
from netdsl.sizes.constraints import Assumptions
from netdsl.tensors import TensorType

END = -(2**63) + 1
"""Before the first position, for a slice that runs backwards."""


@register("flip")
class Flip(Op, frozen=True):
    """Positions in reverse order along `axis` (one or several), as torch.flip: `flip(axis=0)` turns a sequence around,
    `flip(axis=-1)` mirrors an image."""

    axis: int | tuple[int, ...]

    saves = "nothing"
    examples = (
        Example("flip(axis=-1)"),
        Example("flip(axis=(1, 2))"),
        Example("flip(axis=0)", ("[5, 6]",)),
        Example("flip(axis=0)", ("[7] int64",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        self._dims(inputs[0])
        return inputs[0]

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(expression=Call(".flip", (X(), self._dims(inputs[0]))))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        dims = self._dims(x[0].type)
        numbers = ((-1,) * len(dims), (END,) * len(dims), dims, (-1,) * len(dims))
        return g.op("Slice", x[0].name, *(g.const(n, "int64") for n in numbers))

    def _dims(self, x: TensorType) -> tuple[int, ...]:
        """The axes, counted with the batch."""
        given = (self.axis,) if isinstance(self.axis, int) else self.axis
        dims = tuple(dim_of(x, a) for a in given)
        if len(set(dims)) != len(dims) or not dims:
            raise OpError("`axis` must name different axes", argument="axis", code="bad-axis")
        return dims


@register("cumsum")
class Cumsum(Op, frozen=True):
    """The sum of all numbers up to each position of `axis`, as torch.cumsum. Whole numbers give int64."""

    axis: int

    saves = "nothing"
    examples = (
        Example("cumsum(axis=0)", ("[5, 6]",)),
        Example("cumsum(axis=-1)"),
        Example("cumsum(axis=0)", ("[7] int64",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        (x,) = inputs
        axis_of(x, self.axis)
        if x.dtype == "bool":
            raise OpError(
                f"`cumsum` needs numbers, found {x}",
                operand=0,
                code="dtype-mismatch",
                hint="`cast(dtype=int64)` counts what is true",
            )
        return TensorType(x.shape, "int64" if "int" in x.dtype else x.dtype, x.batched)

    def torch(self, *inputs: TensorType) -> Torch:
        return Torch(expression=Call(".cumsum", (X(), dim_of(inputs[0], self.axis))))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        whole = "int" in x[0].type.dtype and x[0].type.dtype != "int64"
        y = g.op("Cast", x[0].name, to=7) if whole else x[0].name
        return g.op("CumSum", y, g.const(dim_of(x[0].type, self.axis), "int64"))


@register("argmax")
class Argmax(Op, frozen=True):
    """Where the largest number stands along `axis` (by default the features: the class of `[classes]`, of each pixel of
    `[classes, H, W]`), as torch.argmax: whole numbers, which pass no gradient."""

    axis: int | None = None
    keepdims: bool = False

    layout = "along"
    jumps = True
    saves = "nothing"
    examples = (
        Example("argmax"),
        Example("argmax(axis=-1, keepdims=true)"),
        Example("argmax", ("[5, 6]",)),
        Example("argmax", ("[7]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x = floating(inputs[0], "argmax")
        at = features_at(x, self.axis)
        kept = (1,) if self.keepdims else ()
        return TensorType((*x.shape[:at], *kept, *x.shape[at + 1 :]), "int64", x.batched)

    def features(self, result: TensorType, *inputs: TensorType) -> int | None:
        at = features_at(inputs[0], self.axis)
        return super().features(result, *inputs) if self.keepdims else features_without(result, inputs[0], (at,))

    def torch(self, *inputs: TensorType) -> Torch:
        dim = dim_of(inputs[0], features_at(inputs[0], self.axis))
        return Torch(expression=Call(".argmax", (X(), dim), optional({"keepdim": False}, keepdim=self.keepdims)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        dim = dim_of(x[0].type, features_at(x[0].type, self.axis))
        return g.op("ArgMax", x[0].name, axis=dim, keepdims=int(self.keepdims))


@register("topk")
class TopK(Op, frozen=True):
    """The `k` largest numbers along `axis` (by default the features), in falling order, and where they stood, as
    torch.topk: `scores, places = topk(3)`. `largest=false` gives the smallest, in rising order."""

    k: Positive
    axis: int | None = None
    largest: bool = True

    layout = "along"
    positional = 1
    jumps = True
    saves = "nothing"
    saves_beside = 1  # the places, for half of the results
    examples = (
        Example("topk(2)"),
        Example("topk(3, axis=-1, largest=false)"),
        Example("topk(2)", ("[5, 6]",)),
        Example("topk(3)", ("[7]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType | tuple[TensorType, ...]:
        x = floating(inputs[0], "topk")
        at = features_at(x, self.axis)
        message = f"the {self.k} largest of {x.shape[at]} numbers"
        require(assume.at_least(x.shape[at], self.k), message, argument="k", code="argument-value")
        shape = (*x.shape[:at], self.k, *x.shape[at + 1 :])
        return x.with_shape(*shape), TensorType(shape, "int64", x.batched)

    def torch(self, *inputs: TensorType) -> Torch:
        dim = dim_of(inputs[0], features_at(inputs[0], self.axis))
        return Torch(expression=Call(".topk", (X(), self.k, dim), optional({"largest": True}, largest=self.largest)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        dim = dim_of(x[0].type, features_at(x[0].type, self.axis))
        return g.op("TopK", x[0].name, g.const((self.k,), "int64"), outputs=2, axis=dim, largest=int(self.largest))
