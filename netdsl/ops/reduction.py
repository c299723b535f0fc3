"""Axes reduced to one number: `reduce_mean`, `reduce_sum`, `reduce_max`, `reduce_min`, `reduce_l2`, `reduce_var`,
`reduce_std`."""

from typing import Any, ClassVar

from netdsl.ops.base import GLOBAL, Call, Example, Graph, Op, Operand, OpError, Torch, X, register, require
from netdsl.ops.features import axis_of, dim_of, features_without, floating
from netdsl.ops.lowering import reduction
from netdsl.ops.spatial import Natural, optional
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import product
from netdsl.tensors import TensorType


class Reduction(Op, frozen=True):
    """The base of reductions: `axis` is one axis of the sample or several, all of them by default; `keepdims` leaves
    axes of size 1."""

    function: ClassVar[str]
    node: ClassVar[str]

    axis: int | tuple[int, ...] | None = None
    keepdims: bool = False

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x = floating(inputs[0], self.kind)
        if x.rank == 0:
            raise OpError(f"`{self.kind}` needs axes, found {x}", operand=0)
        axes = self._axes(x)
        kept = (1 if i in axes else size for i, size in enumerate(x.shape) if self.keepdims or i not in axes)
        return x.with_shape(*kept)

    def features(self, result: TensorType, *inputs: TensorType) -> int | None:
        kept = self.keepdims
        return super().features(result, *inputs) if kept else features_without(result, inputs[0], self._axes(inputs[0]))

    def torch(self, *inputs: TensorType) -> Torch:
        axes = tuple(dim_of(inputs[0], a) for a in self._axes(inputs[0]))
        options = (("keepdim", True),) if self.keepdims else ()
        which = axes[0] if len(axes) == 1 else axes
        if self.function.startswith("."):
            return Torch(expression=Call(self.function, (X(), which), options))
        return Torch(expression=Call(self.function, (X(),), (("dim", which), *options)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        axes = tuple(dim_of(x[0].type, a) for a in self._axes(x[0].type))
        return reduction(g, self.node, x[0].name, axes, keepdims=self.keepdims)

    def window(self, *inputs: TensorType) -> str | None:
        """It looks at the whole image where a spatial axis is reduced."""
        return GLOBAL if any(self._axes(inputs[0])) else None

    def _axes(self, x: TensorType) -> tuple[int, ...]:
        if self.axis is None:
            return tuple(range(x.rank))
        given = (self.axis,) if isinstance(self.axis, int) else self.axis
        axes = tuple(sorted(axis_of(x, a) for a in given))
        if len(set(axes)) != len(axes) or not axes:
            raise OpError("`axis` must name different axes", argument="axis", code="bad-axis")
        return axes


def reduction_examples(kind: str) -> tuple[Example, ...]:
    texts = (kind, f"{kind}(axis=0)", f"{kind}(axis=(1, 2))", f"{kind}(axis=-1, keepdims=true)")
    return (*(Example(t) for t in texts), Example(f"{kind}(axis=0)", ("[5, 6]",)), Example(kind, ("[7]",)))


@register("reduce_mean")
class ReduceMean(Reduction, frozen=True):
    """The mean over axes of the sample, as torch.mean."""

    function, node = ".mean", "ReduceMean"
    saves = "nothing"
    examples = reduction_examples("reduce_mean")


@register("reduce_sum")
class ReduceSum(Reduction, frozen=True):
    """The sum over axes of the sample, as torch.sum."""

    function, node = ".sum", "ReduceSum"
    saves = "nothing"
    examples = reduction_examples("reduce_sum")


@register("reduce_max")
class ReduceMax(Reduction, frozen=True):
    """The largest number over axes of the sample, as torch.amax."""

    function, node = ".amax", "ReduceMax"
    examples = reduction_examples("reduce_max")


@register("reduce_min")
class ReduceMin(Reduction, frozen=True):
    """The smallest number over axes of the sample, as torch.amin."""

    function, node = ".amin", "ReduceMin"
    examples = reduction_examples("reduce_min")


@register("reduce_l2")
class ReduceL2(Reduction, frozen=True):
    """The Euclidean norm over axes of the sample, `sqrt(sum(x ** 2))`, as torch.linalg.vector_norm."""

    function, node = "torch.linalg.vector_norm", "ReduceL2"
    examples = reduction_examples("reduce_l2")


class Spread(Reduction, frozen=True):
    """The base of the variance and the standard deviation: the sum of squares is divided by the count less
    `correction`."""

    correction: Natural = 1

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        result = super().infer(assume, *inputs)
        count = product(inputs[0].shape[a] for a in self._axes(inputs[0]))
        message = f"`{self.kind}` of {count} numbers with `correction` {self.correction} divides by nothing"
        hint = "`correction=0` divides by the count"
        verdict = assume.at_least(count, self.correction + 1)
        require(verdict, message, argument="correction", code="argument-value", hint=hint)
        return result

    def torch(self, *inputs: TensorType) -> Torch:
        call = super().torch(*inputs).expression
        assert isinstance(call, Call)
        own = optional({"correction": 1}, correction=self.correction)
        return Torch(expression=Call(call.name, call.args, call.kwargs + own))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        """The mean of the squares about the mean, times count / (count - correction)."""
        own = x[0].type
        axes = tuple(dim_of(own, a) for a in self._axes(own))
        centred = g.op("Sub", x[0].name, reduction(g, "ReduceMean", x[0].name, axes, keepdims=True))
        mean = reduction(g, "ReduceMean", g.op("Mul", centred, centred), axes, keepdims=self.keepdims)
        if not self.correction:
            return mean
        count = product(own.shape[a] for a in self._axes(own))
        if isinstance(count, int):
            return g.op("Mul", mean, g.const(count / (count - self.correction), own.dtype))
        shape = g.shape(*(own.shape[a] for a in self._axes(own)), batch=False)
        number = g.op("CastLike", reduction(g, "ReduceProd", shape, (0,), keepdims=False), mean)
        return g.op("Mul", mean, g.op("Div", number, g.op("Sub", number, g.const(self.correction, own.dtype))))


def spread_examples(kind: str) -> tuple[Example, ...]:
    return (*reduction_examples(kind), Example(f"{kind}(axis=(1, 2), correction=0)"))


@register("reduce_var")
class ReduceVar(Spread, frozen=True):
    """The variance over axes of the sample, as torch.var: divided by the count less `correction`, 1 by default."""

    function, node = ".var", ""
    examples = spread_examples("reduce_var")


@register("reduce_std")
class ReduceStd(Spread, frozen=True):
    """The standard deviation over axes of the sample, as torch.std: the root of `reduce_var`."""

    function, node = ".std", ""
    examples = spread_examples("reduce_std")

    def onnx(self, g: Graph, *x: Operand) -> Any:
        return g.op("Sqrt", super().onnx(g, *x))
