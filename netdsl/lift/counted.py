"""Long lists of places as counts: the rows that a `take` lists are often a sum of `arange`s, one for each axis.

The relative positions of attention in windows are: row 15 * (y - y' + 7) + (x - x' + 7) for each pair of places.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from netdsl.ir.model import Value
from netdsl.lift.model import Call, Lifted
from netdsl.ops.arithmetic import Add
from netdsl.ops.base import Op
from netdsl.ops.cropping import Take
from netdsl.ops.indexing import Gather
from netdsl.ops.reshaping import Flatten, Unsqueeze
from netdsl.ops.tables import Arange, Expression, Table
from netdsl.sizes.constraints import Assumptions

READABLE = 16
"""So many numbers at most stay a list."""

MOST_AXES = 6


class Count(Struct, frozen=True):
    """`size` numbers from `start` on by `step`."""

    start: int
    step: int
    size: int


def counted(net: Lifted) -> Lifted:
    """The same net, whose long `take`s of rows are `gather`s by a table where their places can be counted."""
    return replace(net, calls=tuple(made for call in net.calls for made in _said(call)))


def _said(call: Call) -> list[Call]:
    op = call.op
    if not isinstance(op, Take) or op.axis != 0 or isinstance(op.index, int) or len(op.index) <= READABLE:
        return [call]
    axes = counts(op.index)
    if not axes or min(op.index) < 0:
        return [call]
    table = Table(_summed(axes))
    places = Value(f"{call.outputs[0].name}~places", table.expression.type)
    return [
        Call(table, (), (places,), {}, call.node),
        replace(call, op=Gather(), inputs=(*call.inputs, places)),
    ]


def counts(places: Sequence[int]) -> list[Count]:
    """The axes, outermost first, whose sums in order are the places; none where there are no such few."""
    found: list[Count] = []
    rest = list(places)
    while len(rest) > 1:
        step = rest[1] - rest[0]
        if not step or len(found) == MOST_AXES:  # an `arange` has no step of 0
            return []
        size = next((i for i in range(2, len(rest)) if rest[i] - rest[i - 1] != step), len(rest))
        if len(rest) % size or any(rest[i] != rest[i - i % size] + step * (i % size) for i in range(len(rest))):
            return []
        found.insert(0, Count(0, step, size))
        rest = rest[::size]
    return [replace(found[0], start=rest[0]), *found[1:]] if found else []


def _summed(axes: Sequence[Count]) -> Expression:
    """The sums of one number of each axis, as a vector."""
    total = _arange(axes[0])
    for axis in axes[1:]:
        outer, inner = _made(Unsqueeze(axis=1), total), _made(Unsqueeze(axis=0), _arange(axis))
        total = _made(Flatten(), _made(Add(), outer, inner))
    return total


def _arange(axis: Count) -> Expression:
    end = axis.start + axis.step * axis.size
    return _made(Arange(end) if (axis.start, axis.step) == (0, 1) else Arange(axis.start, end, axis.step))


def _made(op: Op, *inputs: Expression) -> Expression:
    kind = op.infer(Assumptions(), *(i.type for i in inputs))
    assert not isinstance(kind, tuple)
    return Expression(op, inputs, kind)
