"""Parts and joins along an axis, reductions, margins, other sizes of images."""

from __future__ import annotations

from typing import Any

from netdsl.lift.build import Builder, Laid, Rule
from netdsl.lift.integers import is_symbolic
from netdsl.lift.read import Node
from netdsl.lift.rules.convolution import rounded
from netdsl.lift.rules.features import embedding
from netdsl.lift.rules.pooling import pooled
from netdsl.lift.rules.resizing import resized
from netdsl.lift.rules.windows import finite
from netdsl.lift.sized import Sized, is_count
from netdsl.ops import REGISTRY
from netdsl.ops.base import Op
from netdsl.ops.cropping import Crop, Narrow, Pad, Take
from netdsl.ops.joining import Chunk, Concat, Split
from netdsl.ops.rearranging import PixelShuffle
from netdsl.ops.reshaping import Reshape
from netdsl.ops.resizing import Upsample
from netdsl.sizes.dims import Dim, Size, floordiv


def _concat(builder: Builder, node: Node) -> None:
    found = [builder.known[i] for i in node.inputs]
    laid = [x for x in found if isinstance(x, Laid)]
    like = next((x for x in laid if not x.is_bare), laid[0])
    axis = builder.axis(like, node.get("axis"))
    values = [_joinable(builder, like, i) for i in range(len(found))]
    builder.give(values[0] if len(values) == 1 else builder.call(Concat(axis), *values)[0], like)


def _joinable(builder: Builder, like: Laid, index: int) -> Any:
    """A value to join with others: numbers are a learnt tensor, the same for every sample."""
    if not builder.is_array(index):
        return builder.met(builder.tensor(index), like)
    array = builder.array(index)
    if array.ndim != like.rank or like.joined or array.shape[like.batch] != 1 or array.dtype != "float32":
        raise builder.refused("it joins fixed numbers")
    shape = [s for i, s in enumerate(array.shape) if i != like.batch]
    return builder.param(array.reshape(shape), builder.node.inputs[index])


def _split(builder: Builder, node: Node) -> None:
    x = builder.tensor()
    axis = builder.axis(x, node.get("axis", 0))
    sizes, count, whole = builder.numbers("split", 1), len(node.outputs), x.type.shape[axis]
    if sizes is None and not isinstance(whole, int):
        parts = builder.call(Chunk(count, axis), x)
    else:
        sizes = sizes or _even(builder.number(whole), count)
        equal = len(set(sizes)) == 1
        parts = builder.call(Chunk(count, axis) if equal else Split(tuple(map(int, sizes)), axis), x)
    for i, part in enumerate(parts):
        builder.give(part, x, i)


def _even(whole: int, count: int) -> tuple[int, ...]:
    size = -(-whole // count)
    return (*[size] * (count - 1), whole - size * (count - 1))


def _slice(builder: Builder, node: Node) -> None:
    x = builder.tensor()
    starts, ends = builder.numbers("starts", 1) or (), builder.numbers("ends", 2) or ()
    axes = builder.numbers("axes", 3) or tuple(range(len(starts)))
    steps = builder.numbers("steps", 4) or (1,) * len(starts)
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        x = _cut(builder, x, axis % x.rank, start, end, step)
    builder.give(x)


def _middle(builder: Builder, x: Laid, at: int, start: Dim, length: Dim) -> Laid:
    """A part of an image that begins at a place that depends on its size: its middle. Raises LiftError for another."""
    if not 1 <= at < x.type.rank or start != floordiv(x.type.shape[at] - length, 2):
        raise builder.refused("it begins at a place that depends on the size of the image")
    sizes = (*x.type.shape[1:at], length, *x.type.shape[at + 1 :])
    return x.on(builder.call(Crop(sizes), x)[0])


def _cut(builder: Builder, x: Laid, axis: int, start: Dim, end: Dim, step: int) -> Laid:
    if start == 0 and step == 1 and (end == x.sizes[axis] or _is_end(end)):
        return x
    at = builder.axis(x, axis)
    whole = x.type.shape[at]
    if step == -1 and (start == -1 or _is_end(start)):
        return x.on(builder.call(REGISTRY["flip"](axis=at), x)[0])
    if step != 1:
        return _strided(builder, x, at, start, end, step)
    start, end = _position(start, whole), _position(end, whole)
    if not isinstance(start, int):
        return _middle(builder, x, at, start, end - start)
    if end - start == whole:
        return x
    return x.on(builder.call(Narrow(start, end - start, at), x)[0])


def _is_end(place: Dim) -> bool:
    """Whether a place is the end, whatever the size: exporters write a very large number."""
    return isinstance(place, int) and place > 2**30


def _position(value: Dim, whole: Dim) -> Dim:
    """A place counted from the start, at most the end."""
    if isinstance(value, Size):
        return value
    if value < 0:
        return max(whole + value, 0) if isinstance(whole, int) else whole + value
    return min(value, whole) if isinstance(whole, int) else (whole if _is_end(value) else value)


def _strided(builder: Builder, x: Laid, at: int, start: Dim, end: Dim, step: int) -> Laid:
    whole = x.type.shape[at]
    if not isinstance(whole, int) or isinstance(start, Size) or isinstance(end, Size) or step < 1:
        raise builder.refused(f"it takes every {step}th position of an axis whose size is not known")
    places = tuple(range(whole))[slice(start, end, step)]
    return x.on(builder.call(Take(places, at), x)[0])


def _gather(builder: Builder, node: Node) -> None:
    if builder.is_array(0):
        _rows(builder, node)
        return
    x = builder.tensor()
    axis = builder.axis(x, node.get("axis", 0))
    if pooled(builder, node, x, axis) or resized(builder, node, x, axis):
        return
    if not builder.is_array(1):
        raise builder.refused("positions that the net computes")
    index = builder.array(1, "index")
    if is_symbolic(index):
        raise builder.refused("positions that depend on the size of the input")
    if index.ndim:
        _table(builder, x, index, axis)
        return
    moved = x.batch - 1 if node.get("axis", 0) % x.rank < x.batch else x.batch
    builder.give(x.on(builder.call(Take(int(index), axis), x)[0], moved))


def _table(builder: Builder, x: Laid, index: Any, axis: int) -> None:
    """Positions by a list or a table of numbers, whose axes stand in the place of the axis."""
    places, whole = index.reshape(-1).tolist(), x.type.shape[axis]
    value, start = x.value, int(places[0]) if places else 0
    if start < 0 or places != [*range(start, start + len(places))]:
        value = builder.call(Take(tuple(places), axis), x)[0]
    elif len(places) != whole:
        value = builder.call(Narrow(start, len(places), axis), x)[0]
    batch = x.batch + index.ndim - 1 if 0 <= axis < x.batch else x.batch
    if index.ndim > 1:
        shape = x.type.shape
        value = builder.call(Reshape((*shape[:axis], *index.shape, *shape[axis + 1 :])), value)[0]
    builder.give(x.on(value, batch))


def _rows(builder: Builder, node: Node) -> None:
    """Rows of a table: the first ones, as many as a size says, or those of the numbers that the net computes."""
    found = builder.known[node.inputs[1]]
    if not isinstance(found, Sized):
        embedding(builder, node)
        return
    shape, x = found.shape(builder.points), builder.tensor()
    if shape is None or not all(map(is_count, found.arrays)) or node.get("axis", 0) % x.rank:
        raise builder.refused("positions that depend on the size of the input")
    rows = builder.call(Narrow(0, shape[-1], 0), x)[0]
    whole = (*shape[:-1], *rows.type.shape)
    builder.give(x.on(rows if len(shape) == 1 else builder.call(Reshape(whole), rows)[0]))


REDUCTIONS = {
    "ReduceMean": "reduce_mean", "ReduceSum": "reduce_sum", "ReduceMax": "reduce_max", "ReduceMin": "reduce_min",
    "ReduceL2": "reduce_l2",
}  # fmt: skip


def _reduce(builder: Builder, node: Node) -> None:
    x = builder.tensor()
    given = builder.numbers("axes", 1)
    if given is None:
        raise builder.refused("it reduces over all samples")
    axes = tuple(sorted(builder.axis(x, a) for a in given))
    keep = bool(node.get("keepdims", 1))
    made = REGISTRY[REDUCTIONS[node.op_type]](axis=axes[0] if len(axes) == 1 else axes, keepdims=keep)
    below = 0 if keep else sum(1 for a in given if a % x.rank < x.batch)
    builder.give(x.on(builder.call(made, x)[0], x.batch - below))


def _pad(builder: Builder, node: Node) -> None:
    x = builder.tensor()
    pads = [int(p) for p in builder.numbers("pads", 1) or ()]
    axes = [a % x.rank for a in builder.numbers("axes", 3) or range(x.rank)]
    half = len(pads) // 2
    sides = {a: (pads[i], pads[half + i]) for i, a in enumerate(axes) if pads[i] or pads[half + i]}
    mode = {"constant": "zeros", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}[
        node.get("mode", "constant")
    ]
    value = builder.numbers("value", 2) or (0.0,)
    margins = {builder.axis(x, a): s for a, s in sides.items()}
    builder.give(_padded(builder, x, margins, mode, rounded(finite(float(value[0])))))


def _padded(builder: Builder, x: Laid, margins: dict[int, tuple[int, int]], mode: str, value: float) -> Laid:
    """Margins of the image at once, those of its channels apart."""
    options: dict[str, Any] = {"mode": mode} | ({"value": value} if mode == "zeros" else {})
    result = x.value
    spatial = [margins.get(a, (0, 0)) for a in range(1, x.type.rank)]
    if any(a or b for a, b in spatial):
        sides = spatial[0] if len(spatial) == 1 else tuple(spatial)
        alike = len({*spatial, *((b, a) for a, b in spatial)}) == 1
        result = builder.call(Pad(spatial[0][0] if alike else sides, **options), result)[0]
    if 0 in margins:
        result = builder.call(Pad(margins[0], axis=0, **options), result)[0]
    return x.on(result)


def _resize(builder: Builder, node: Node) -> None:
    x = builder.image()
    old = node.op_type == "Upsample" or builder.file.opset < 11
    scales = builder.numbers("scales", 1 if old else 2)
    sizes = None if old else builder.numbers("sizes", 3)
    mode = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}[node.get("mode", "nearest")]
    how = "asymmetric" if old else node.get("coordinate_transformation_mode", "half_pixel")
    corners = how == "align_corners"
    _check_resize(builder, node, mode, how)
    options: dict[str, Any] = {"mode": mode, "align_corners": corners and mode != "nearest"}
    options |= {"antialias": True} if node.get("antialias", 0) else {}
    axes = builder.numbers("axes", 99) or tuple(range(x.rank))
    if scales:
        factors = dict(zip(axes, scales, strict=True))
        wanted = shown_number(tuple(factors.get(i, 1) for i in range(2, x.rank)))
        builder.apply(Upsample(wanted, **options), x)
        return
    found = dict(zip(axes, sizes or (), strict=True))
    target = tuple(found.get(i, x.sizes[i]) for i in range(2, x.rank))
    builder.apply(_to_size(x, target, options), x)


def _to_size(x: Laid, target: tuple[Dim, ...], options: Any) -> Op:
    """A factor where every axis grows by the same whole number, otherwise a size."""
    for factor in (2, 3, 4, 8, 16, 32):
        if all(s * factor == t for s, t in zip(x.type.spatial, target, strict=True)):
            return Upsample(factor, **options)
    return Upsample(size=target[0] if len(set(target)) == 1 else target, **options)


def shown_number(values: tuple[float, ...]) -> Any:
    whole = tuple(int(v) if v == int(v) else rounded(v) for v in values)
    return whole[0] if len(set(whole)) == 1 else whole


def _check_resize(builder: Builder, node: Node, mode: str, how: str) -> None:
    """Refuse what PyTorch, and so the language, has no resizing for."""
    if mode == "nearest" and (how not in ("asymmetric", "half_pixel", "pytorch_half_pixel")):
        raise builder.refused(f"`nearest` with the coordinates `{how}`")
    if mode != "nearest" and how not in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        raise builder.refused(f"`{mode}` with the coordinates `{how}`")


def _depth_to_space(builder: Builder, node: Node) -> None:
    if node.get("mode", "DCR") != "CRD":
        raise builder.refused("`DepthToSpace` in the order DCR has no form")
    builder.apply(PixelShuffle(node.get("blocksize")), builder.image())


def _space_to_depth(builder: Builder, node: Node) -> None:
    raise builder.refused("`SpaceToDepth` deals channels out in an order that the language has no form for")


def _argmax(builder: Builder, node: Node) -> None:
    x = builder.tensor()
    axis = builder.axis(x, node.get("axis", 0))
    builder.apply(REGISTRY["argmax"](axis=axis, keepdims=bool(node.get("keepdims", 1))), x)


def _tile(builder: Builder, node: Node) -> None:
    x, repeats = builder.tensor(), builder.array(1, "repeats").tolist()
    if any(r != 1 for r in repeats):
        raise builder.refused("repeating a value has no form")
    builder.give(x)


AXES: dict[str, Rule] = {
    "Concat": _concat,
    "Split": _split,
    "Slice": _slice,
    "Gather": _gather,
    **dict.fromkeys(REDUCTIONS, _reduce),
    "Pad": _pad,
    "Resize": _resize,
    "Upsample": _resize,
    "DepthToSpace": _depth_to_space,
    "SpaceToDepth": _space_to_depth,
    "ArgMax": _argmax,
    "Tile": _tile,
}
