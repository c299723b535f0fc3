"""Axes by name: `rearrange` and `reduce` with the patterns of einops, checked before anything runs."""

from typing import Any, ClassVar, Literal

from netdsl.ops.base import GLOBAL, Call, Example, Graph, Op, Operand, OpError, Torch, Window, X, register
from netdsl.ops.features import dim_of, floating, is_bare
from netdsl.ops.lowering import full_shape, reduction, transposed
from netdsl.ops.patterns import Groups, Pattern, bind, features_by_name, flat, given_sizes, read_pattern, spelled
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Dim, product
from netdsl.tensors import TensorType


class ByName(Op, frozen=True):
    """The base of both: split axes into named ones, reorder them, join them."""

    pattern: str

    named_sizes = "sizes"
    saves = "nothing"

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        sizes = self._sizes(assume, inputs[0])
        return inputs[0].with_shape(*(product(sizes[n] for n in group) for group in self._read().result))

    def features(self, result: TensorType, *inputs: TensorType) -> int | None:
        pattern = self._read()
        return features_by_name(pattern.inputs[0], pattern.result, inputs[0], result)

    def window(self, *inputs: TensorType) -> Window | str | None:
        """It looks at the whole image, unless positions only go to and from the features, as in a pixel shuffle."""
        pattern = self._read()
        (left,), right = pattern.inputs, pattern.result
        sizes = self._sizes(Assumptions(), inputs[0])
        if len(left) == len(right) > 1:
            cut = _factors(left[1:], right[1:], sizes)
            if cut is not None:
                return Window(cut, cut, (0,) * len(cut))
            joined = _factors(right[1:], left[1:], sizes)
            if joined is not None:
                return Window(joined, joined, (0,) * len(joined), transposed=True)
        return None if left == right else GLOBAL

    @property
    def _given(self) -> tuple[tuple[str, Any], ...]:
        """The sizes given beside the pattern."""
        return tuple(getattr(self, self.named_sizes))

    def _read(self) -> Pattern:
        pattern = read_pattern(self.pattern)
        if len(pattern.inputs) != 1:
            message = f"`{self.kind}` takes one value"
            raise OpError(message, argument="pattern", code="argument-value", hint="`einsum` takes several")
        return pattern

    def _sizes(self, assume: Assumptions, x: TensorType) -> dict[str, Dim]:
        """The size of each name."""
        pattern = self._read()
        (left,) = pattern.inputs
        self._check_batch(pattern, x)
        sizes = given_sizes(self._given, flat(left))
        bind(assume, left, x, sizes)
        return sizes

    def _check_batch(self, pattern: Pattern, x: TensorType) -> None:
        """Raise OpError, with the pattern that is meant, where both sides begin with an axis for the batch."""
        (left,), right = pattern.inputs, pattern.result
        if len(left) == x.rank + 1 and len(left[0]) == 1 and left[:1] == right[:1]:
            message = f'"{spelled(left)}" names {len(left)} axes, found {x}: the batch is not written'
            own = self._call(f"{spelled(left[1:])} -> {spelled(right[1:])}")
            raise OpError(message, operand=0, argument="pattern", hint=f"`{own}`")

    def _call(self, pattern: str) -> str:
        """The same call with another pattern, as it is written."""
        beside = "".join(f", {n}={v}" for n, v in self._given)
        return f'{self.kind}("{pattern}"{beside})'

    def _cut_torch(self, x: TensorType) -> Any:
        """The value with every named axis on its own, in a PyTorch form."""
        (left,) = self._read().inputs
        if all(len(group) == 1 for group in left):
            return X()
        sizes, given = self._sizes(Assumptions(), x), {n for n, _ in self._given}
        if is_bare(x) or not all(left):
            return Call(".reshape", (X(), -1, *(sizes[n] for n in flat(left))))
        value: Any = X()
        for axis, group in [(i, group) for i, group in enumerate(left, start=1) if len(group) > 1][::-1]:
            value = Call(".unflatten", (value, axis, _parts(group, sizes, given)))
        return value

    def _cut_onnx(self, g: Graph, x: Operand) -> str:
        (left,) = self._read().inputs
        if all(len(group) == 1 for group in left):
            return x.name
        sizes = self._sizes(Assumptions(), x.type)
        return str(g.op("Reshape", x.name, full_shape(g, x.type, *(sizes[n] for n in flat(left)))))


def _parts(group: tuple[str, ...], sizes: dict[str, Dim], given: set[str]) -> tuple[Dim, ...]:
    """The sizes into which an axis is cut: -1 for the one that follows from the others."""
    asked = [n for n in group if n not in given]
    return tuple(-1 if [n] == asked else sizes[n] for n in group)


def _factors(whole: Groups, parts: Groups, sizes: dict[str, Dim]) -> tuple[int, ...] | None:
    """By how much the axes `whole` are longer than `parts`, each of which is the first name of one; None where they
    are not so made."""
    factors: list[int] = []
    for group, part in zip(whole, parts, strict=True):
        factor = product(sizes[n] for n in group[1:])
        if group[:1] != part or not isinstance(factor, int):
            return None
        factors.append(factor)
    return tuple(factors)


def _ordered_torch(value: Any, order: list[int]) -> Any:
    """A value with its axes in another order."""
    moved = [i for i, a in enumerate(order) if i != a]
    if len(moved) == 2:
        return Call(".transpose", (value, moved[0] + 1, moved[1] + 1))
    return Call(".permute", (value, 0, *(a + 1 for a in order))) if moved else value


def _joined_torch(value: Any, side: Groups, sizes: dict[str, Dim]) -> Any:
    """A value with an axis for each name, its axes joined to the groups of a side."""
    if not all(side):
        return Call(".reshape", (value, -1, *(product(sizes[n] for n in group) for group in side)))
    end = len(flat(side))
    for group in reversed(side):
        start = end - len(group) + 1
        if len(group) > 1:
            value = Call(".flatten", (value, start, end) if end < len(flat(side)) else (value, start))
        end = start - 1
    return value


def _joined_onnx(g: Graph, value: str, x: TensorType, side: Groups, sizes: dict[str, Dim]) -> str:
    if all(len(group) == 1 for group in side):
        return value
    shape = (product(sizes[n] for n in group) for group in side)
    return str(g.op("Reshape", value, full_shape(g, x, *shape)))


@register("rearrange")
class Rearrange(ByName, frozen=True):
    """Axes by name, as einops.rearrange, without the batch: brackets on the left cut an axis, those on the right join
    some, and what is named in another order is permuted. `rearrange("c (h p) (w q) -> (h w) (p q c)", p=4, q=4)` makes
    a row of each patch; sizes that do not follow from the value are given by their names."""

    sizes: tuple[tuple[str, Any], ...] = ()

    positional = 1
    examples = (
        Example('rearrange("c h w -> (h w) c")'),
        Example('rearrange("c (h p) (w q) -> (h w) (p q c)", p=4, q=3)'),
        Example('rearrange("c (h p) (w q) -> (c p q) h w", p=2, q=3)'),
        Example('rearrange("(c p q) h w -> c (h p) (w q)", p=2, q=2)', ("[8, 3, 4]",)),
        Example('rearrange("l (k h d) -> k h l d", k=3, h=2)', ("[5, 12]",)),
        Example('rearrange("l d -> d l")', ("[5, 6]",)),
        Example('rearrange("d -> d 1 1")', ("[7]",)),
        Example('rearrange("(a b) -> (b a)", a=2)', ("[6]",)),
        Example('rearrange("1 h w -> w h")', ("[1, 3, 4] int64",)),
        Example('rearrange("c h w -> c h w")'),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        pattern = self._read()
        lost = [n for n in flat(pattern.inputs[0]) if n not in flat(pattern.result)]
        if lost:
            message = f'`{lost[0]}` stands on the left of "{self.pattern}" alone'
            hint = f'`reduce("{" ".join(self.pattern.split())}", mean)` takes the mean over it'
            raise OpError(message, argument="pattern", code="argument-value", hint=hint)
        return super().infer(assume, *inputs)

    def torch(self, *inputs: TensorType) -> Torch:
        (x,) = inputs
        pattern, sizes = self._read(), self._sizes(Assumptions(), x)
        ordered = _ordered_torch(self._cut_torch(x), self._order())
        return Torch(expression=_joined_torch(ordered, pattern.result, sizes))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        sizes, order = self._sizes(Assumptions(), x[0].type), self._order()
        value = self._cut_onnx(g, x[0])
        value = transposed(g, value, *order) if order != sorted(order) else value
        return _joined_onnx(g, value, x[0].type, self._read().result, sizes)

    def _order(self) -> list[int]:
        """Where each name of the right stands on the left."""
        pattern = self._read()
        return [flat(pattern.inputs[0]).index(n) for n in flat(pattern.result)]


@register("reduce")
class Reduce(ByName, frozen=True):
    """Axes by name taken together, as einops.reduce, without the batch: those on the left alone are reduced by `mean`,
    `sum`, `max` or `min`. `reduce("c (h p) (w q) -> c h w", max, p=2, q=2)` is a pooling."""

    reduction: Literal["mean", "sum", "max", "min"]
    sizes: tuple[tuple[str, Any], ...] = ()

    positional = 2
    METHODS: ClassVar[dict[str, tuple[str, str]]] = {
        "mean": (".mean", "ReduceMean"),
        "sum": (".sum", "ReduceSum"),
        "max": (".amax", "ReduceMax"),
        "min": (".amin", "ReduceMin"),
    }
    examples = (
        Example('reduce("c h w -> c", mean)'),
        Example('reduce("c (h p) (w q) -> c h w", max, p=2, q=3)'),
        Example('reduce("(g c) h w -> h (w g)", sum, g=2)'),
        Example('reduce("l d -> 1 d", min)', ("[5, 6]",)),
        Example('reduce("(a b) -> a", mean, a=3)', ("[6]",)),
        Example('reduce("d -> ", sum)', ("[7]",)),
    )

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        floating(inputs[0], "reduce")
        return super().infer(assume, *inputs)

    def torch(self, *inputs: TensorType) -> Torch:
        (x,) = inputs
        pattern, sizes = self._read(), self._sizes(Assumptions(), x)
        value = self._cut_torch(x)
        lost, order = self._lost(), self._order()
        if lost:
            dims = self._dims(x, lost)
            value = Call(self.METHODS[self.reduction][0], (value, dims[0] if len(dims) == 1 else dims))
        return Torch(expression=_joined_torch(_ordered_torch(value, order), pattern.result, sizes))

    def onnx(self, g: Graph, *x: Operand) -> Any:
        sizes, order, lost = self._sizes(Assumptions(), x[0].type), self._order(), self._lost()
        value = self._cut_onnx(g, x[0])
        if lost:
            node = self.METHODS[self.reduction][1]
            value = reduction(g, node, value, self._dims(x[0].type, lost), keepdims=False)
        value = transposed(g, value, *order) if order != sorted(order) else value
        return _joined_onnx(g, value, x[0].type, self._read().result, sizes)

    def _call(self, pattern: str) -> str:
        return super()._call(pattern).replace(f'"{pattern}"', f'"{pattern}", {self.reduction}', 1)

    def _lost(self) -> tuple[int, ...]:
        """The positions on the left of the names that are reduced."""
        pattern = self._read()
        return tuple(i for i, n in enumerate(flat(pattern.inputs[0])) if n not in flat(pattern.result))

    def _order(self) -> list[int]:
        """Where each name of the right stands among those of the left that are kept."""
        pattern = self._read()
        kept = [n for n in flat(pattern.inputs[0]) if n in flat(pattern.result)]
        return [kept.index(n) for n in flat(pattern.result)]

    def _dims(self, x: TensorType, lost: tuple[int, ...]) -> tuple[int, ...]:
        """Axes of the value that was cut, counted with the batch; from the end where it may have none."""
        whole = all(len(group) == 1 for group in self._read().inputs[0])
        return tuple(dim_of(x, i) if whole else i + 1 for i in lost)
