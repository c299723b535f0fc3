"""Arrays that depend on named sizes alone: the masks and positions that a graph computes.

They are worked out where every named size is a number, at two points; what they are is read off there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from msgspec import Struct

from netdsl.lift.integers import computed
from netdsl.lift.read import Node
from netdsl.ops.base import Op
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import Dim, Size, evaluate
from netdsl.tensors import TensorType

HIDDEN = -1e4
"""Scores up to this are as good as minus infinity."""


class Sized(Struct, frozen=True, eq=False):
    """`arrays`: the values at each point; `sizes`: the symbolic sizes that they were computed from; `until`: a size
    from which on they may be something else, such as the width of a sliding window; 0 where there is none."""

    arrays: tuple[Any, ...]
    sizes: frozenset[Size]
    until: int = 0

    @property
    def number(self) -> Any:
        """The one number that all elements are, with the same rank; None where they differ."""
        values = {v for a in self.arrays for v in np.unique(a if any(a.strides) else a.flat[:1]).tolist()}
        if len(values) != 1:
            return None
        return np.full((1,) * self.arrays[0].ndim, values.pop(), self.arrays[0].dtype)

    def shape(self, points: Sequence[Mapping[str, int]]) -> tuple[Dim, ...] | None:
        """The shape in symbolic sizes; None where an axis is none that is known."""
        found = [self._size(at, points) for at in zip(*(a.shape for a in self.arrays), strict=True)]
        return None if any(s is None for s in found) else tuple(s for s in found if s is not None)

    def _size(self, at: tuple[int, ...], points: Sequence[Mapping[str, int]]) -> Dim | None:
        if len(set(at)) == 1:
            return at[0]
        found = [s for s in self.sizes if tuple(evaluate(s, p) for p in points) == at]
        return min(found, key=str, default=None)  # a set has another order in each process

    @property
    def is_general(self) -> bool:
        """Whether what they are at the points they are at all sizes."""
        return all(self.until < a.shape[-1] for a in self.arrays)


def worked_out(
    node: Node, inputs: Sequence[Any], opset: int, points: Sequence[Mapping[str, int]]
) -> tuple[Sized, ...] | None:
    """The results of a node whose inputs depend on named sizes alone. Raises LiftError for too large arrays."""
    sizes = frozenset[Size]().union(*map(_sizes, inputs))
    at = [computed(node, [_at(x, i, p) for x in inputs], opset) for i, p in enumerate(points)]
    found = [results for results in at if results is not None]
    until = max((_until(node, x) for x in inputs), default=0)
    return tuple(Sized(arrays, sizes, until) for arrays in zip(*found, strict=True)) if len(found) == len(at) else None


SHIFTS = frozenset(("Add", "Sub", "Div", "Mod"))
COMPARES = frozenset(("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Min", "Max", "Clip", "Trilu"))


def _until(node: Node, x: Any) -> int:
    """The size from which on an input of a node may change what the result is."""
    if isinstance(x, Sized):
        return x.until
    if x is None or x.dtype.kind not in "bif":
        return 0
    if x.size == 1:
        value = abs(float(x.reshape(-1)[0]))
        turns = node.op_type in COMPARES or (node.op_type in SHIFTS and x.dtype.kind == "i")
        return int(value) if turns and value < LONGEST else 0
    return x.shape[-1] if _is_other_mask(x) else 0


def _is_other_mask(x: Any) -> bool:
    """Whether an array is a stored mask, and no causal one."""
    is_square = x.ndim > 1 and x.dtype.kind in "bi" and x.shape[-1] == x.shape[-2] > 1
    return is_square and not (is_causal(x != 0) or is_causal(x == 0))


LONGEST = 2**24
"""Numbers from this on are no size of a mask, but as good as infinite."""


def _sizes(x: Any) -> frozenset[Size]:
    if isinstance(x, Sized):
        return x.sizes
    return frozenset(v for v in x.flat if isinstance(v, Size)) if x is not None and x.dtype == object else frozenset()


def _at(x: Any, index: int, point: Mapping[str, int]) -> Any:
    """An input at a point."""
    if isinstance(x, Sized):
        return x.arrays[index]
    if x is None or x.dtype != object:
        return x
    return np.array([evaluate(v, point) for v in x.flat], "int64").reshape(x.shape)


class Causal(Op, frozen=True):
    """A mask `[size, size]` that lets a query see the keys up to its own place: true where it sees, or 0, with the
    lowest score elsewhere. No op of the language: attention has it as an argument."""

    size: Any
    dtype: str = "bool"

    kind = "causal"
    takes_it = False

    def infer(self, assume: Assumptions, *inputs: TensorType) -> TensorType:
        return TensorType((self.size, self.size), self.dtype, batched=False)


def is_causal(array: Any) -> bool:
    """Whether a mask hides the keys after each query, and no others."""
    if array.ndim < 2 or array.shape[-1] != array.shape[-2] or array.size != array.shape[-1] ** 2 or array.size < 4:
        return False
    square = array.reshape(array.shape[-2:])
    seen = square if square.dtype == bool else square == 0
    hidden = ~square if square.dtype == bool else square <= HIDDEN
    lower = np.tri(len(square), dtype=bool)
    return bool(np.array_equal(seen, lower) and np.array_equal(hidden, ~lower))


def is_count(array: Any) -> bool:
    """Whether the elements are 0, 1, 2 and so on."""
    return bool(array.size == array.shape[-1] and np.array_equal(array.reshape(-1), np.arange(array.size)))
