"""The same numbers in another shape. The batch is followed wherever a file moves it."""

from __future__ import annotations

from typing import Any

import numpy as np

from netdsl.lift.build import BATCH, Builder, Laid, Rule
from netdsl.lift.integers import settled
from netdsl.lift.read import Node
from netdsl.ops.reshaping import Cast, Expand, Flatten, Permute, Reshape, Squeeze, Unsqueeze
from netdsl.sizes.dims import Dim, Size, floordiv, product


def _shape(builder: Builder, node: Node) -> None:
    x = builder.known[node.inputs[0]]
    sizes = x.sizes if isinstance(x, Laid) else x.shape
    builder.known[node.outputs[0]] = settled(list(sizes[node.get("start", 0) : node.get("end")]))


def _size(builder: Builder, node: Node) -> None:
    x = builder.known[node.inputs[0]]
    builder.known[node.outputs[0]] = settled(product(x.sizes if isinstance(x, Laid) else x.shape))


def _is_batch(builder: Builder, size: Dim) -> bool:
    """Whether a size in a file is the batch: by name, or the number of samples that the file is made for."""
    fixed = builder.file.inputs[0].sizes[0]
    return size == BATCH or (isinstance(fixed, int) and fixed > 0 and size == fixed)


def _reshape(builder: Builder, node: Node) -> None:
    x = builder.tensor()
    target = [*(node.get("shape") or builder.array(1, "shape").reshape(-1).tolist())]
    if not node.get("allowzero", 0):
        target = [x.sizes[i] if s == 0 else s for i, s in enumerate(target)]
    reshaped(builder, x, target)


def reshaped(builder: Builder, x: Laid, target: list[Any]) -> None:
    """The node's result: `x` in another shape of the file, where one size may be -1."""
    if x.batch:
        raise builder.refused("it joins samples: the batch is not the first axis")
    total = product(x.type.shape)
    lead, *rest = _worked_out(builder, target, total)
    inside = product(rest)
    if _is_batch(builder, lead) and inside == total:
        _give(builder, x, tuple(rest), joined=False)
        return
    joined = floordiv(lead, BATCH) if isinstance(lead, Size) else floordiv(lead, _fixed(builder))
    if joined * inside != total:
        raise builder.refused(f"{x.type} in the shape {target}, where the samples are not apart")
    _give(builder, x, (joined, *rest), joined=True)


def _worked_out(builder: Builder, target: list[Any], total: Dim) -> list[Any]:
    """A shape with its -1 worked out, for samples of `total` numbers."""
    lead, *rest = target
    if -1 in rest:
        left = total if _is_batch(builder, lead) else floordiv(BATCH * total, lead)
        others = product(s for s in rest if s != -1)
        rest = [floordiv(left, others) if s == -1 else s for s in rest]
    return [floordiv(BATCH * total, product(rest)) if lead == -1 else lead, *rest]


def _fixed(builder: Builder) -> int:
    fixed = builder.file.inputs[0].sizes[0]
    return fixed if isinstance(fixed, int) and fixed > 0 else 1


def _give(builder: Builder, x: Laid, shape: tuple[Dim, ...], joined: bool) -> None:
    """The value in a shape of the sample; one that has it already stays."""
    value = x.value if shape == x.type.shape else builder.call(Reshape(shape), x)[0]
    builder.give(Laid(value, 0, joined))


def _flatten(builder: Builder, node: Node) -> None:
    x = builder.tensor()
    axis = node.get("axis", 1)
    axis = axis + x.rank if axis < 0 else axis
    sizes = x.sizes
    if axis == 1 and not x.joined and not x.batch:
        value = x.value if x.type.rank == 1 else builder.call(Flatten(), x)[0]
        builder.give(value)
        return
    reshaped(builder, x, [product(sizes[:axis]), product(sizes[axis:])])


def _transpose(builder: Builder, node: Node) -> None:
    x = builder.tensor()
    order = tuple(node.get("perm") or reversed(range(x.rank)))
    if x.joined:
        if order[0] != 0:
            raise builder.refused("it moves an axis that holds the samples")
        builder.give(_permuted(builder, x, order), x)
        return
    batch = order.index(x.batch)
    axes = tuple(a if a < x.batch else a - 1 for a in order if a != x.batch)
    builder.give(Laid(_permuted(builder, x, axes), batch))


def _permuted(builder: Builder, x: Laid, axes: tuple[int, ...]) -> Any:
    return x.value if axes == tuple(range(len(axes))) else builder.call(Permute(axes), x)[0]


def _unsqueeze(builder: Builder, node: Node) -> None:
    x = builder.tensor()
    axes = builder.numbers("axes", 1) or ()
    for axis in sorted(a + x.rank + len(axes) if a < 0 else a for a in axes):
        if x.joined and axis == 0:
            raise builder.refused("a new axis before the samples")
        if not x.joined and axis <= x.batch:
            x = Laid(builder.call(Unsqueeze(axis), x)[0], x.batch + 1)
        else:
            x = Laid(builder.call(Unsqueeze(axis if x.joined else axis - 1), x)[0], x.batch, x.joined)
    builder.give(x)


def _squeeze(builder: Builder, node: Node) -> None:
    x = builder.tensor()
    given = builder.numbers("axes", 1)
    axes = [i for i, s in enumerate(x.sizes) if s == 1] if given is None else [a % x.rank for a in given]
    for axis in sorted(axes, reverse=True):
        at = builder.axis(x, axis)
        x = Laid(builder.call(Squeeze(at), x)[0], x.batch - (axis < x.batch and not x.joined), x.joined)
    builder.give(x)


def _expand(builder: Builder, node: Node) -> None:
    shape = builder.array(1, "shape").reshape(-1).tolist()
    if builder.is_array(0):
        _expanded_array(builder, shape)
        return
    x = builder.tensor()
    shape = [1] * (x.rank - len(shape)) + shape
    sizes = [s if t == 1 else t for s, t in zip(x.sizes, shape, strict=False)]
    if len(shape) != x.rank or x.joined or not _is_batch(builder, sizes[x.batch]):
        raise builder.refused("it repeats samples")
    del sizes[x.batch]
    builder.give(x.value if tuple(sizes) == x.type.shape else builder.call(Expand(tuple(sizes)), x)[0], x)


def _expanded_array(builder: Builder, shape: list[Any]) -> None:
    """A learnt tensor, the same for every sample: a class token."""
    array = builder.array(0)
    whole = [1] * (len(shape) - array.ndim) + [*array.shape]
    if not shape or not _is_batch(builder, shape[0]) or whole[0] != 1 or array.dtype != np.float32:
        raise builder.refused("numbers are repeated in a way that follows no sample")
    value = builder.param(array.reshape(whole[1:]), builder.node.inputs[0])
    sizes = tuple(w if s == 1 else s for w, s in zip(whole[1:], shape[1:], strict=True))
    builder.give(value if sizes == tuple(whole[1:]) else builder.call(Expand(sizes), value)[0])


DTYPES = {1: "float32", 7: "int64", 9: "bool", 6: "int64"}


def _cast(builder: Builder, node: Node) -> None:
    x, dtype = builder.tensor(), DTYPES.get(node.get("to"))
    if dtype is None:
        raise builder.refused("it converts to a type that specs do not compute with")
    builder.give(x.value if dtype == x.type.dtype else builder.call(Cast(dtype), x)[0], x)  # type: ignore[arg-type]


SHAPING: dict[str, Rule] = {
    "Shape": _shape,
    "Size": _size,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Expand": _expand,
    "Cast": _cast,
}
