"""Windows of an image, as exporters cut and join them; positions rolled around; the bias of attention in windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from msgspec.structs import replace

from netdsl.ir.model import Value
from netdsl.lift.idioms.engine import Net, Rule
from netdsl.lift.idioms.views import Traced, traced
from netdsl.lift.model import Call
from netdsl.ops.attention import Attention
from netdsl.ops.rearranging import Roll
from netdsl.ops.reshaping import Permute, Reshape
from netdsl.ops.spatial import compact, per_axis
from netdsl.ops.windowbias import WindowBias, relative_index
from netdsl.ops.windowing import Unwindows, Windows, origins, places
from netdsl.tensors import TensorType

HIDDEN = -50.0
"""A score up to this is as good as one that is not seen: `exp(-50)` is 2e-22."""

MOST = 4096
"""The most positions of an image whose windows are looked for."""


def _rolled(net: Net, call: Call) -> list[Call] | None:
    """The end of an axis before its beginning."""
    if len(call.inputs) != 2:
        return None
    end, begin = (net.source(v, "narrow") for v in call.inputs)
    if end is None or begin is None or end.inputs[0].name != begin.inputs[0].name:
        return None
    x = end.inputs[0]
    first, second, joined = end.op, begin.op, call.op
    axes = {op.axis % x.type.rank for op in (first, second, joined)}  # type: ignore[attr-defined]
    cut = first.start  # type: ignore[attr-defined]
    if len(axes) != 1 or (second.start, second.length) != (0, cut) or call.outputs[0].type != x.type:  # type: ignore[attr-defined]
        return None
    (axis,) = axes
    size = x.type.shape[axis]
    shift = size - cut if isinstance(size, int) and 2 * cut > size else -cut
    return [replace(call, op=Roll(shift, (axis,)), inputs=(x,))]


def _rolled_again(net: Net, call: Call) -> list[Call] | None:
    """Several axes rolled one after the other; the windows of a shifted image put back."""
    before = net.source(call.inputs[0])
    if before is None or not net.is_single(call.inputs[0]):
        return None
    moves = _moves(call)
    if before.kind == "roll":
        moves = sorted(_moves(before) + moves, key=lambda m: m[1])
        shifts, axes = (tuple(m[i] for m in moves) for i in (0, 1))
        if len(set(axes)) != len(axes):
            return None
        image = call.inputs[0].type.rank == 3 and axes == (1, 2)
        shown: Any = shifts[0] if image and len(set(shifts)) == 1 else shifts
        return [replace(call, op=Roll(shown, None if image else axes), inputs=before.inputs)]
    return _back(before, {a: s for s, a in moves}, call)


def _back(before: Call, moves: dict[int, int], call: Call) -> list[Call] | None:
    op: Any = before.op
    if before.kind != "unwindows" or any(
        s and a in moves for a, s in zip((1, 2), per_axis(op.shift, 2, ""), strict=True)
    ):
        return None
    shift = tuple(moves.get(a, s) for a, s in zip((1, 2), per_axis(op.shift, 2, ""), strict=True))
    return [replace(call, op=replace(op, shift=compact(shift)), inputs=before.inputs)] if min(shift) >= 0 else None


def _moves(call: Call) -> list[tuple[int, int]]:
    op: Any = call.op
    axes = op.axes or tuple(range(1, call.inputs[0].type.rank))
    shifts = op.shifts if isinstance(op.shifts, tuple) else (op.shifts,) * len(axes)
    return list(zip(shifts, axes, strict=True))


def _cut(net: Net, call: Call) -> list[Call] | None:
    """An image as `[n, L, C]`: windows, however they are cut."""
    shape = _known(call.outputs[0].type)
    if shape is None or min(shape[:2]) < 2 or shape[0] * shape[1] > MOST:
        return None
    made = _windows(net, call.outputs[0], shape, call)
    return None if made is None or _in_order(made[1]) else [*made[0][:-1], replace(made[0][-1], outputs=call.outputs)]


def _windows(net: Net, value: Value, shape: tuple[int, ...], like: Call) -> tuple[list[Call], Any] | None:
    """The windows of an image that a value is, after its channels were moved before its places, and which positions
    each of them has."""
    found = traced(net, value)
    image = _known(found.value.type) if found is not None and found.factor == 1 else None
    if found is None or image is None:
        return None
    for last in (False, True):
        channels, height, width = (image[2], *image[:2]) if last else image
        seen = _seen(found.places.reshape(shape), channels, height * width, last) if channels == shape[2] else None
        op = _windows_of(seen, shape[1], height, width) if seen is not None else None
        if op is not None and not last:
            return [net.call(op, found.value, like=like)], seen
        if op is not None:
            moved = net.call(Permute((2, 0, 1)), found.value, like=like)
            return [moved, net.call(op, moved.outputs[0], like=like)], seen
    return None


def _seen(found: Any, channels: int, count: int, last: bool) -> Any:
    """The position that each place of the windows shows; None where its channels come from different ones."""
    seen, rest = (
        (found[..., 0] // channels, np.arange(channels)) if last else (found[..., 0], np.arange(channels) * count)
    )
    own = seen[..., None] * channels if last else seen[..., None]
    return seen if seen.max() < count and np.array_equal(found, own + rest) else None


def _windows_of(seen: Any, positions: int, height: int, width: int) -> Windows | None:
    first = divmod(int(seen[0, 0]), width)
    size = _size(seen, positions, (height, width), first, origins)
    return size and Windows(compact(size), compact(first))


def _size(seen: Any, positions: int, image: tuple[int, int], shift: tuple[int, ...], order: Any) -> Any:
    """The size of the windows of so many positions whose order is the one that is seen."""
    wanted = seen.tolist()
    fitting = (s for s in _sizes(positions, *image) if all(f < n for f, n in zip(shift, s, strict=True)))
    return next((s for s in fitting if order(*image, s, shift) == wanted), None)


def _joined(net: Net, call: Call) -> list[Call] | None:
    """`[n, L, C]` as an image `[C, H, W]`, or with its channels last."""
    shape = _known(call.outputs[0].type)
    if shape is None:
        return None
    found = traced(net, call.outputs[0])
    x = _known(found.value.type) if found is not None and found.factor == 1 else None
    if found is None or x is None:
        return None
    for last in (False, True):
        op = _unwindows(net, found, shape, x, last)
        if op is not None and not last:
            return [replace(call, op=op, inputs=(found.value,))]
        if op is not None:
            made = net.call(op, found.value, like=call)
            return [made, replace(call, op=Permute((1, 2, 0)), inputs=made.outputs)]
    return None


def _unwindows(net: Net, found: Traced, shape: tuple[int, ...], x: tuple[int, ...], last: bool) -> Unwindows | None:
    channels, height, width = (shape[2], *shape[:2]) if last else shape
    seen = _positions(found.places if last else found.places.transpose(1, 2, 0), channels)
    fits = channels == x[2] and height * width == x[0] * x[1] <= MOST
    if not fits or seen is None or (_in_order(seen) and not _is_of_windows(net, found.call)):
        return None
    shift = tuple(int(i[0]) for i in np.nonzero(seen == 0))
    size = _size(seen, x[1], (height, width), shift, places)
    return size and Unwindows(height, width, compact(shift), None if size[0] == size[1] else size)


def _positions(found: Any, channels: int) -> Any:
    """The position `[H, W]` of all channels there; None where they come from different ones."""
    seen = found[..., 0] // channels
    return seen if np.array_equal(found, seen[..., None] * channels + np.arange(channels)) else None


def _is_of_windows(net: Net, call: Call | None) -> bool:
    """Whether a call is attention in windows, be it a single one."""
    return call is not None and call.kind == "attention" and net.source(call.inputs[0], "windows") is not None


def _in_order(seen: Any) -> bool:
    """Whether positions stand one after the other: an image that is only reshaped."""
    return bool(np.array_equal(seen.reshape(-1), np.arange(seen.size)))


def _known(found: TensorType) -> tuple[int, ...] | None:
    """The shape `[a, b, c]`, where it is known and is one."""
    sizes = tuple(s for s in found.shape if isinstance(s, int))
    return sizes if len(sizes) == found.rank == 3 and found.batched else None


def _sizes(positions: int, height: int, width: int) -> Iterator[tuple[int, int]]:
    """Windows of so many positions that tile an image, square ones first. Strips are only other orders of the axes."""
    if positions == height * width:
        yield height, width
    for rows in range(2, positions // 2 + 1):
        size = rows, positions // rows
        if positions % rows == 0 and rows < height and size[1] < width and height % rows == width % size[1] == 0:
            yield size


def _biased(net: Net, call: Call) -> list[Call] | None:
    """A mask of attention in windows that depends on the relative position alone, but for what a shift brought
    together."""
    if len(call.inputs) != 2 or not isinstance(call.op, Attention):
        return None
    mask = net.source(call.inputs[1], "param")
    there = net.source(call.inputs[0], "windows")
    cut = [there] if there is not None else _single(net, call)
    if not cut or mask is None:
        return None
    heads, op = call.op.heads, cut[-1].op
    size, shift, image = op.size, op.shift, cut[-1].inputs[0]  # type: ignore[attr-defined]
    if not isinstance(size, int) or not isinstance(shift, int) or mask.weights[""].size % (heads * size**4):
        return None
    table = _table(mask.weights[""].reshape(-1, heads, size**2, size**2), size, shift, _known(image.type))
    if table is None:
        return None
    index = np.asarray(relative_index(size, size), "int64")
    weights = {"relative_position_bias_table": table, "relative_position_index": index}
    bias = net.call(WindowBias(heads, size, shift), image, weights=weights, like=mask)
    made = [*([] if there else cut), bias]
    if call.outputs[0].type.rank == 3:
        return [*made, replace(call, inputs=(cut[-1].outputs[0], bias.outputs[0]))]
    attends = net.call(call.op, cut[-1].outputs[0], bias.outputs[0], weights=call.weights, like=call)
    shape = call.outputs[0].type.shape
    return [*made, attends, replace(call, op=Reshape(shape), inputs=attends.outputs, weights={})]


def _single(net: Net, call: Call) -> list[Call]:
    """A square image as its only window."""
    x = call.inputs[0].type
    shape = _known(x.with_shape(1, *x.shape) if x.rank == 2 else x)
    found = _windows(net, call.inputs[0], shape, call) if shape is not None and shape[0] == 1 else None
    return [] if found is None else found[0]


def _table(scores: Any, size: int, shift: int, image: tuple[int, ...] | None) -> Any:
    """A row for each relative position; None for scores that are not made of such."""
    index = np.asarray(relative_index(size, size))
    rows = scores[0].reshape(len(scores[0]), -1).T
    table = np.zeros(((2 * size - 1) ** 2, scores.shape[1]), "float32")
    table[index] = rows
    bias = table[index].T.reshape(scores[0].shape)
    if not np.array_equal(bias, scores[0]) or image is None:
        return None
    apart = _apart(image[1], image[2], size, shift)
    if shift == 0 and len(scores) == 1:
        return table
    if shift == 0 or len(scores) != len(apart):
        return None
    seen = np.where(apart[:, None], scores <= bias + HIDDEN, scores == bias)
    return table if seen.all() else None


def _apart(height: int, width: int, size: int, shift: int) -> Any:
    """For each window, which positions were on opposite sides of the image."""
    rows, columns = ((np.arange(n) >= n - size) * 1 + (np.arange(n) >= n - shift) for n in (height, width))
    region = (3 * rows[:, None] + columns).reshape(-1)
    seen = region[np.asarray(origins(height, width, (size, size), (0, 0)))]
    return seen[:, :, None] != seen[:, None, :]


WINDOWS: dict[str, tuple[Rule, ...]] = {
    "concat": (_rolled,),
    "roll": (_rolled_again,),
    **dict.fromkeys(("reshape", "flatten", "permute"), (_joined, _cut)),
    "attention": (_biased,),
}
