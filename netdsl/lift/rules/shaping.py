"""The same numbers in another shape. The batch is followed wherever a file moves it."""

from __future__ import annotations

from typing import Any

import numpy as np

from netdsl.lift.build import BATCH, Builder, Laid, Rule
from netdsl.lift.integers import settled
from netdsl.lift.read import Node
from netdsl.lift.sized import Sized
from netdsl.ops.reshaping import Cast, Expand, Flatten, Permute, Reshape, Squeeze, Unsqueeze
from netdsl.sizes.dims import Dim, Size, evaluate, floordiv, product


def _shape(builder: Builder, node: Node) -> None:
    sizes = _sizes(builder, node)
    builder.known[node.outputs[0]] = settled(list(sizes[node.get("start", 0) : node.get("end")]))


def _size(builder: Builder, node: Node) -> None:
    builder.known[node.outputs[0]] = settled(product(_sizes(builder, node)))


def _sizes(builder: Builder, node: Node) -> tuple[Dim, ...]:
    """The shape of the node's input in the file."""
    x = builder.known[node.inputs[0]]
    found = x.sizes if isinstance(x, Laid) else x.shape if isinstance(x, np.ndarray) else x.shape(builder.points)
    if found is None:
        raise builder.refused("the shape of an array whose size depends on that of the input")
    return found


def _is_batch(builder: Builder, size: Dim) -> bool:
    """Whether a size in a file is the batch: by name, or the number of samples that the file is made for."""
    fixed = builder.file.inputs[0].sizes[0]
    return size == BATCH or (isinstance(fixed, int) and fixed > 0 and size == fixed)


def _reshape(builder: Builder, node: Node) -> None:
    x = builder.tensor()
    target = [*(builder.numbers("shape", 1) or ())]
    if any(isinstance(s, float) for s in target):
        raise builder.refused("its shape is no whole numbers")
    if not node.get("allowzero", 0):
        target = [x.sizes[i] if s == 0 else s for i, s in enumerate(target)]
    reshaped(builder, x, target)


def reshaped(builder: Builder, x: Laid, target: list[Any]) -> None:
    """The node's result: `x` in another shape of the file, where one size may be -1."""
    target = _worked_out(target, _total(builder, x, target))
    if x.is_bare:
        _give(builder, x, tuple(target), -1, joined=True)
        return
    x = Laid(x.value, x.batch + 1) if x.last else x
    before, total = product(x.type.shape[: x.batch]), product(x.type.shape[x.batch :])
    at = next((i for i in range(len(target)) if product(target[:i]) == before), None)
    if at is None:
        _join_before(builder, x, target, before)
        return
    prefix, lead, rest = tuple(target[:at]), target[at], tuple(target[at + 1 :])
    inside = product(rest)
    samples = lead == 1 if not x.type.batched else _is_batch(builder, lead)
    if samples and inside == total:
        _give(builder, x, (*prefix, *rest), at, joined=False)
        return
    joined = floordiv(lead, BATCH) if isinstance(lead, Size) else floordiv(lead, _fixed(builder))
    if joined * inside != total:
        raise builder.refused(f"{x.type} in the shape {target}, where the samples are not apart")
    _give(builder, x, (*prefix, joined, *rest), at, joined=True)


def _join_before(builder: Builder, x: Laid, target: list[Any], before: Dim) -> None:
    """A reshape that makes the batch one axis with the sample's axis before it: `[L, N, D]` as `[L * N, D]`."""
    for at, size in enumerate(target):
        own = floordiv(size, BATCH) if isinstance(size, Size) else size
        if own * BATCH == size and product(target[:at]) * own == before:
            shape = (*target[:at], own, *target[at + 1 :])
            value = x.value if shape == x.type.shape else builder.call(Reshape(shape), x)[0]
            builder.give(Laid(value, at, joined=True, last=True))
            return
    raise builder.refused("it joins samples with other axes")


def _total(builder: Builder, x: Laid, target: list[Any]) -> Dim:
    """How many numbers a value has: for the samples that a file is made for, where its shapes are numbers."""
    total = product(x.sizes)
    each = floordiv(total, BATCH)
    is_plain = _is_fixed(builder) and all(isinstance(s, int) for s in target) and each * BATCH == total
    return each * _fixed(builder) if is_plain else total


def _is_fixed(builder: Builder) -> bool:
    return isinstance(builder.file.inputs[0].sizes[0], int)


def _worked_out(target: list[Any], total: Dim) -> list[Any]:
    """A shape with its -1 worked out."""
    return [floordiv(total, product(s for s in target if s != -1)) if s == -1 else s for s in target]


def _fixed(builder: Builder) -> int:
    fixed = builder.file.inputs[0].sizes[0]
    return fixed if isinstance(fixed, int) and fixed > 0 else 1


def _give(builder: Builder, x: Laid, shape: tuple[Dim, ...], batch: int, joined: bool) -> None:
    """The value in a shape of the sample; one that has it already stays."""
    value = x.value if shape == x.type.shape else builder.call(Reshape(shape), x)[0]
    bare = joined and not batch and not x.type.batched
    builder.give(Laid(value, -1 if bare else batch, joined))


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
    if sorted(order) != [*range(x.rank)]:
        raise builder.refused(f"{[*order]} is no order of {x.rank} axes")
    if x.joined:
        builder.give(x.on(_permuted(builder, x, order), -1 if x.is_bare else order.index(x.batch)))
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
        if axis <= x.batch:
            x = x.on(builder.call(Unsqueeze(axis), x)[0], x.batch + 1)
        else:
            x = x.on(builder.call(Unsqueeze(axis if x.joined else axis - 1), x)[0])
    builder.give(x)


def _squeeze(builder: Builder, node: Node) -> None:
    x = builder.tensor()
    given = builder.numbers("axes", 1)
    axes = [i for i, s in enumerate(x.sizes) if s == 1] if given is None else [a % x.rank for a in given]
    for axis in sorted(axes, reverse=True):
        at = builder.axis(x, axis)
        x = x.on(builder.call(Squeeze(at), x)[0], x.batch - (axis < x.batch))
    builder.give(x)


def _expand(builder: Builder, node: Node) -> None:
    shape = builder.array(1, "shape").reshape(-1).tolist()
    if builder.is_array(0) and builder.array(0).size == 1:
        _uniform(builder, shape, builder.array(0))
    else:
        _expanded(builder, builder.tensor(), shape)


def _expanded(builder: Builder, x: Laid, shape: list[Any]) -> None:
    """A value repeated along its axes of size 1."""
    shape = [1] * (x.rank - len(shape)) + shape
    sizes = [s if t == 1 else t for s, t in zip(x.sizes, shape, strict=False)]
    if x.is_bare and len(shape) >= x.rank:
        _expanded_table(builder, x, [1] * (len(shape) - x.rank), shape)
        return
    alike = not x.type.batched and sizes[x.batch] == 1
    if len(shape) != x.rank or x.joined or not (alike or _is_batch(builder, sizes[x.batch])):
        raise builder.refused("it repeats samples")
    del sizes[x.batch]
    builder.give(x.value if tuple(sizes) == x.type.shape else builder.call(Expand(tuple(sizes)), x)[0], x)


def _expanded_table(builder: Builder, x: Laid, before: list[int], shape: list[Any]) -> None:
    """A table repeated along axes of size 1; along the batch, which is its first axis then, it is as it was."""
    own = [*before, *x.type.shape]
    sizes = [o if t == 1 else t for o, t in zip(own, shape, strict=True)]
    batch = -1
    if sizes[0] == BATCH and own[0] == 1:
        own, sizes, batch = own[1:], sizes[1:], 0
    value = x.value if tuple(own) == x.type.shape else builder.call(Reshape(tuple(own)), x)[0]
    value = value if sizes == own else builder.call(Expand(tuple(sizes)), value)[0]
    builder.give(Laid(value, batch, joined=batch < 0))


def _constant_of_shape(builder: Builder, node: Node) -> None:
    _uniform(builder, builder.array(0, "shape").reshape(-1).tolist(), np.asarray(node.get("value", np.float32(0))))


def _uniform(builder: Builder, shape: list[Any], value: Any) -> None:
    """One number for every sample: states that a recurrent layer begins with."""
    sizes = [1 if s == BATCH else s for s in shape]
    named = frozenset(s for s in sizes if isinstance(s, Size))
    at = ([evaluate(s, p) for s in sizes] for p in builder.points)
    arrays = tuple(np.broadcast_to(value.reshape(-1)[0], where) for where in at)  # takes no memory
    builder.known[builder.node.outputs[0]] = Sized(arrays, named) if named else np.full(sizes, value.reshape(-1)[0])


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
    "ConstantOfShape": _constant_of_shape,
    "Cast": _cast,
}
