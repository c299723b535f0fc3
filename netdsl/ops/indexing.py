"""Rows chosen and collected by an index that is itself a value, as graphs need: `gather`, `scatter`."""

from typing import Any, Literal

from netdsl.ops.base import Call, Code, Example, Graph, Op, Operand, OpError, Torch, X, register, require
from netdsl.ops.embedding import integers
from netdsl.ops.features import floating, is_bare
from netdsl.ops.reshaping import size_of
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Dim
from netdsl.tensors import TensorType


def indexed(kind: str, x: TensorType, index: TensorType) -> Dim:
    """The length of an index `[E]`. Raises OpError for another shape or dtype."""
    if index.rank != 1:
        raise OpError(f"`{kind}` needs an index [E], found {index}", operand=1, hint="`take(0)` picks a row of [2, E]")
    if x.rank < 1:
        raise OpError(f"`{kind}` needs rows, found {x}", operand=0)
    integers(index, kind)
    return index.shape[0]


GATHER_HELPER = '''\
def gather(x: Tensor, index: Tensor) -> Tensor:
    """Rows of x [N, M, ...] by their numbers in index [N, E]."""
    if len(x) > 1:
        index = index + x.shape[1] * torch.arange(len(x), device=x.device)[:, None]
    rows = index.flatten()
    flat = x.flatten(2).flatten(0, 1)  # as rows of one matrix, which needs less memory
    taken = flat.gather(0, rows[:, None].expand(-1, flat.shape[1]))
    return taken.reshape(*index.shape, *x.shape[2:])
'''


@register("gather")
class Gather(Op, frozen=True):
    """Rows of `x` by number: `[N, ...]` and an index `[E]` give `[E, ...]`, row e being `x[index[e]]`. In a graph given
    by its edges `[2, E]`, the features of the nodes that messages come from."""

    operands = ("index",)
    examples = (
        Example("gather(index=y)", ("[4, 6]", "[5] int64")),
        Example("gather(index=y)", ("[3]", "[5] int64")),
        Example("gather(index=y)", ("[4, 2, 3]", "[5] int64")),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x, index = inputs
        length = indexed("gather", x, index)
        return TensorType((length, *x.shape[1:]), x.dtype, x.batched or index.batched)

    def torch(self, *inputs: TensorType) -> Torch:
        if not inputs[1].batched and not is_bare(inputs[0]):
            return Torch(expression=Call("[]", (X(), Code(":"), Call(".flatten", (X(1),)))))
        index: Any = X(1)
        if inputs[0].rank > 1 and not is_bare(inputs[0]):
            return Torch(expression=Call("gather", (X(), index)), helper=GATHER_HELPER)
        if inputs[0].rank > 1:
            index = Call("[]", (index, Code(", ".join([":", ":", *["None"] * (inputs[0].rank - 1)]))))
        x: Any = X()
        if is_bare(inputs[0]):
            x = Call(".expand", (x, Call(".size", (X(1), 0)), *inputs[0].shape))
        return Torch(expression=Call("torch.take_along_dim", (x, index), (("dim", 1),)))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        if not x[0].type.batched:
            rows = g.op("Reshape", x[0].name, g.shape(*x[0].type.shape, batch=False))
            chosen = g.op("Gather", rows, _index(g, x[1]))
            return chosen if x[1].type.batched else g.op("Unsqueeze", chosen, g.const((0,), "int64"))
        if not x[1].type.batched:
            return g.op("Gather", x[0].name, _index(g, x[1]), axis=1)
        index = g.op("Unsqueeze", x[1].name, g.const((-1,), "int64"))
        return g.op("GatherND", x[0].name, index, batch_dims=1)


def _index(g: Graph, index: Operand) -> Any:
    """An index that is the same for every sample, as a vector; one of the batch as it is."""
    return index.name if index.type.batched else g.op("Reshape", index.name, g.const((-1,), "int64"))


SCATTER_HELPER = '''\
def scatter(x: Tensor, index: Tensor, size: int, reduce: str) -> Tensor:
    """Rows of x [N, E, ...] reduced into `size` rows by index [N, E]; rows without any are 0."""
    shape = (len(x), size, *x.shape[2:])
    if reduce == "amax":
        numbers = index.reshape(*index.shape, *[1] * (x.ndim - 2)).expand_as(x)
        return x.new_zeros(shape).scatter_reduce(1, numbers, x, reduce, include_self=False)
    if len(x) > 1:
        index = index + size * torch.arange(len(x), device=x.device)[:, None]
    rows = index.flatten()
    flat = x[:, :, None].flatten(2).flatten(0, 1)  # rows of one matrix, added up in place
    zeros = x.new_zeros(len(x) * size, flat.shape[1])
    total = zeros.scatter_add(0, rows[:, None].expand_as(flat), flat)
    if reduce == "mean":
        count = rows.new_zeros(len(total)).scatter_add(0, rows, torch.ones_like(rows))
        total = total / count.clamp(min=1)[:, None]
    return total.reshape(shape)
'''


@register("scatter")
class Scatter(Op, frozen=True):
    """Rows collected by number: `[E, ...]` and an index `[E]` give `[size, ...]`, row n being the sum (mean, max) of
    the rows e with `index[e] == n`, and 0 where there are none. In a graph, the messages that arrive at each node."""

    size: Any
    reduce: Literal["sum", "mean", "max"] = "sum"

    operands = ("index",)
    examples = (
        Example("scatter(index=y, size=4)", ("[5, 3]", "[5] int64")),
        Example("scatter(index=y, size=4, reduce=mean)", ("[5, 3]", "[5] int64")),
        Example("scatter(index=y, size=4, reduce=max)", ("[5, 3]", "[5] int64")),
        Example("scatter(index=y, size=3, reduce=mean)", ("[5]", "[5] int64")),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        x, index = floating(inputs[0], "scatter"), inputs[1]
        if not x.batched:
            raise OpError("`scatter` needs rows of each sample, found a parameter", operand=0)
        message = f"`scatter` needs a number for each row, found {index} for {x}"
        require(assume.equal(x.shape[0] if x.rank else 0, indexed("scatter", x, index)), message, operand=1)
        size = size_of(self.size, "size")
        require(assume.at_least(size, 1), f"`scatter` into {size} rows", argument="size")
        return TensorType((size, *x.shape[1:]), x.dtype, x.batched or index.batched)

    def torch(self, *inputs: TensorType) -> Torch:
        reduce = {"sum": "sum", "mean": "mean", "max": "amax"}[self.reduce]
        return Torch(expression=Call("scatter", (X(0), X(1), self.size, reduce)), helper=SCATTER_HELPER)

    def onnx(self, g: Graph, *x: Operand) -> Any:
        if self.reduce == "max" and g.opset < 18:
            raise OpError("`reduce=max` needs ONNX opset 18", argument="reduce", code="opset")
        rest = x[0].type.shape[1:]
        index = x[1].name
        if rest:
            cut = g.op("Unsqueeze", index, g.const(tuple(range(2, 2 + len(rest))), "int64"))
            index = g.op("Expand", cut, g.shape(1, 1, *rest, batch=False))
        if not x[1].type.batched:
            index = g.op("Expand", index, g.shape(*x[0].type.shape))
        if self.reduce == "max":
            low = g.op("Expand", g.const(float("-inf")), g.shape(self.size, *rest))
            largest = g.op("ScatterElements", low, index, x[0].name, axis=1, reduction="max")
            return g.op("Where", g.op("IsInf", largest), g.const(0.0), largest)
        zeros = g.op("Expand", g.const(0.0), g.shape(self.size, *rest))
        total = g.op("ScatterElements", zeros, index, x[0].name, axis=1, reduction="add")
        if self.reduce == "sum":
            return total
        ones = g.op("Expand", g.const(1.0), g.shape(*x[0].type.shape))
        count = g.op("ScatterElements", zeros, index, ones, axis=1, reduction="add")
        return g.op("Div", total, g.op("Max", count, g.const(1.0)))
