"""The receptive field: which rows of the image one row of the last map depends on.

Along one axis (the vertical one, unless `across` says the other), the output at index `i` depends on the input
indices from `low(i)` to `high(i)`.
Both bounds are linear plus periodic in `i` (periodic because of upsampling: two neighbours may share their input), so
they are kept exactly, as one period of each. A join takes the union over its paths. The numbers agree with the closed
form of Araujo, Norris and Sim (Distill, 2019), which knows no upsampling.

The last map is the last value with the image's axes: global pooling and flattening end the field, and what comes
back from behind them (the gate of a squeeze-and-excite block) is ignored. Where attention joins all positions, the
field is the whole image.
"""

from __future__ import annotations

from fractions import Fraction
from math import gcd, lcm

from msgspec import Struct
from msgspec.structs import replace

from netdsl.ir.model import Definition, Program, Step
from netdsl.ops.base import Window
from netdsl.tensors import TensorType

LONGEST_PERIOD = 1 << 12
"""Fields with longer periods (resizing by odd fractions, again and again) are not followed."""


class Bounds(Struct, frozen=True):
    """`low(i)` and `high(i)` for `i` in one period; a period further, both have grown by `advance`.

    An output that reads nothing (between the taps of a sparse transposed convolution) has `low > high`.
    """

    advance: int
    low: tuple[int, ...]
    high: tuple[int, ...]

    @property
    def period(self) -> int:
        return len(self.low)

    @property
    def size(self) -> int:
        """The widest range."""
        return max(b - a for a, b in zip(self.low, self.high, strict=True)) + 1

    def range(self, index: int) -> tuple[int, int]:
        turns, phase = divmod(index, self.period)
        return self.low[phase] + turns * self.advance, self.high[phase] + turns * self.advance

    def after(self, inner: Bounds) -> Bounds:
        """The bounds of this map's outputs in the input of `inner`, whose outputs are this map's inputs."""
        period = self.period * (inner.period // gcd(inner.period, self.advance))
        if period > LONGEST_PERIOD or UNKNOWN in (self, inner):
            return UNKNOWN
        ranges = [self.range(i) for i in range(period)]
        lows = tuple(inner.range(a)[0] for a, _ in ranges)
        highs = tuple(inner.range(b)[1] if a <= b else inner.range(a)[0] - 1 for a, b in ranges)
        return Bounds(inner.advance * (self.advance * period // self.period) // inner.period, lows, highs)

    def union(self, other: Bounds) -> Bounds:
        """The bounds of a join; UNKNOWN where the two maps advance at different rates."""
        if self == other:
            return self
        period = lcm(self.period, other.period)
        advance = self.advance * period // self.period
        if advance != other.advance * period // other.period or period > LONGEST_PERIOD:
            return UNKNOWN
        both = [_cover(self.range(i), other.range(i)) for i in range(period)]
        return Bounds(advance, tuple(a for a, _ in both), tuple(b for _, b in both))


IDENTITY = Bounds(1, (0,), (0,))
UNKNOWN = Bounds(0, (0,), (0,))
"""Bounds that are not the same everywhere, or not followed."""


def _cover(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    if a[0] > a[1] or b[0] > b[1]:
        return b if a[0] > a[1] else a
    return min(a[0], b[0]), max(a[1], b[1])


class Field(Struct, frozen=True):
    """The receptive field of the last map: `size` and `stride` in pixels of the input, `padding` (minus the first pixel
    that output 0 sees), and the map's type. `size` is None where every position sees the whole image."""

    size: int | None
    stride: int | Fraction | None
    padding: int | None
    map: TensorType


class Reach(Struct, frozen=True):
    """The inputs that a value of a definition depends on: bounds in each of the definition's inputs, by number.

    `map` is the value, or, once the field has `ended`, the last one with the image's axes. `whole`: of all positions.
    """

    bounds: tuple[tuple[int, Bounds], ...]
    map: TensorType
    ended: bool = False
    whole: bool = False


NOWHERE = Reach((), TensorType(()), ended=True)
Memo = dict[Definition, tuple[Reach, ...]]


def receptive_field(program: Program, across: bool = False, memo: Memo | None = None) -> Field | None:
    """The field of the net's first output in its images, down or `across` them; None without images, or where it is
    not one number. `memo` keeps what was found for the definitions inside, in the same direction."""
    main = program.main
    reaches = _outputs(main, {} if memo is None else memo, across)
    found = next((r for r, o in zip(reaches, main.outputs, strict=True) if not o.training), NOWHERE)
    seen = [b for i, b in found.bounds if main.inputs[i].type.rank >= 2]
    if found.whole and any(v.type.rank >= 3 for v in main.inputs):
        return Field(None, None, None, found.map)
    bounds = _union(seen)
    if bounds in (IDENTITY, UNKNOWN):
        return None
    stride = Fraction(bounds.advance, bounds.period)
    return Field(bounds.size, int(stride) if stride.denominator == 1 else stride, -bounds.low[0], found.map)


def _union(bounds: list[Bounds]) -> Bounds:
    result = bounds[0] if bounds else UNKNOWN
    for other in bounds[1:]:
        result = result.union(other)
    return result


def _outputs(definition: Definition, memo: Memo, across: bool) -> tuple[Reach, ...]:
    """The reach of each output of a definition, once for all its uses."""
    if definition not in memo:
        known = {v: Reach(((i, IDENTITY),), v.type, ended=v.type.rank < 2) for i, v in enumerate(definition.inputs)}
        for step in definition.steps:
            known.update(zip(step.outs, _step(step, [known[v] for v in step.inputs], memo, across), strict=True))
        memo[definition] = tuple(known[o.value] for o in definition.outputs)
    return memo[definition]


def _step(step: Step, inputs: list[Reach], memo: Memo, across: bool) -> list[Reach]:
    if isinstance(step.callee, Definition):
        return [_called(reach, inputs) for reach in _outputs(step.callee, memo, across)]
    types = [v.type for v in step.inputs]
    window = step.callee.window(*types)
    joined = _join(inputs)
    if isinstance(window, Window):
        return [_windowed(joined, _bounds(window, across), out.type) for out in step.outs]
    if window is not None:
        return [_mixed(joined, types[0], out.type) for out in step.outs]
    return [_in_place(joined, out.type) for out in step.outs]


def _windowed(reach: Reach, here: Bounds, out: TensorType) -> Reach:
    """Through an op that slides a window."""
    if reach.ended:
        return reach
    return replace(reach, bounds=tuple((i, here.after(b)) for i, b in reach.bounds), map=out)


def _mixed(reach: Reach, given: TensorType, out: TensorType) -> Reach:
    """Through an op that looks everywhere: pooling ends the field, attention makes it whole."""
    positions = reach.ended and out.rank == given.rank and out.shape[-2:-1] == given.shape[-2:-1] and out.shape[-1] != 1
    keeps_positions = out.rank > 1 and (out.shape == given.shape or positions)
    return replace(reach, ended=True, whole=reach.whole or keeps_positions)


def _in_place(reach: Reach, out: TensorType) -> Reach:
    """Through an op that works at each position: the field ends where the image's axes are gone."""
    axes = reach.map.shape[1:]
    if reach.ended or not axes or out.shape[-len(axes) :] != axes:
        return replace(reach, ended=True)
    return replace(reach, map=out) if out.rank == reach.map.rank else reach


def _called(reach: Reach, inputs: list[Reach]) -> Reach:
    """The reach of the caller's value, from that of the definition's output."""
    parts = []
    for i, bounds in reach.bounds:
        given = inputs[i]
        if given.ended:
            parts.append(given)
        else:
            parts.append(replace(reach, bounds=tuple((j, bounds.after(inner)) for j, inner in given.bounds)))
    return replace(_join(parts), whole=reach.whole or any(p.whole for p in parts))


def _join(reaches: list[Reach]) -> Reach:
    """The union over paths; those whose field has ended count only where no other is left, and then the widest."""
    whole = any(r.whole for r in reaches)
    live = [r for r in reaches if r.bounds and not r.ended]
    if not live:
        ended = max(reaches, key=_widest, default=NOWHERE)
        return replace(ended, ended=True, whole=whole)
    if len(live) == 1:
        return live[0] if live[0].whole == whole else replace(live[0], whole=whole)
    by_input: dict[int, list[Bounds]] = {}
    for i, b in (bound for r in live for bound in r.bounds):
        by_input.setdefault(i, []).append(b)
    bounds = tuple((i, _union(of)) for i, of in by_input.items())
    return Reach(bounds, live[0].map, whole=whole)


def _widest(reach: Reach) -> int:
    return max((b.size for _, b in reach.bounds), default=0)


def _bounds(window: Window, across: bool) -> Bounds:
    """The bounds of one sliding window along the vertical axis (the only one of a sequence), or `across`."""
    axis = len(window.size) - 1 if across else max(0, len(window.size) - 2)
    size, stride, padding = window.size[axis], window.stride[axis], window.padding[axis]
    if not window.transposed:
        return Bounds(stride, (-padding,), (size - 1 - padding,))
    lows = tuple(-((size - 1 - padding - i) // stride) for i in range(stride))
    highs = tuple((i + padding) // stride for i in range(stride))
    return Bounds(1, lows, highs)
