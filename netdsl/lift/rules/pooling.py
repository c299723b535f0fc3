"""Pools: windows, and over the whole image."""

from __future__ import annotations

from typing import Any

import numpy as np

from netdsl.lift.build import Builder, Laid, Rule
from netdsl.lift.read import Node
from netdsl.lift.rules.windows import LOWEST, padded, pads, per_axis, shown
from netdsl.lift.sized import Sized
from netdsl.ops.globalpool import AdaptiveAvgPool, AdaptiveMaxPool
from netdsl.ops.pool import AvgPool, MaxPool
from netdsl.sizes.dims import evaluate


def _pool(builder: Builder, node: Node) -> None:
    x = builder.image()
    if len([o for o in node.outputs if o]) > 1:
        raise builder.refused("the places of the largest numbers have no form in the language")
    kernel = tuple(node.get("kernel_shape"))
    axes = len(kernel)
    stride, dilation = per_axis(node, "strides", axes), per_axis(node, "dilations", axes)
    start, end = pads(builder, node, x, kernel, stride, dilation)
    kind: Any = MaxPool if node.op_type == "MaxPool" else AvgPool
    options: dict[str, Any] = {"ceil_mode": bool(node.get("ceil_mode", 0))}
    if kind is MaxPool and set(dilation) != {1}:
        options["dilation"] = shown(dilation)
    if kind is AvgPool:
        options["count_include_pad"] = bool(node.get("count_include_pad", 0)) or not any((*start, *end))
    if not options.get("count_include_pad", True) and _covers(x, start, end, kernel):
        builder.apply(AdaptiveAvgPool(1), x)
        return
    if start != end:
        x, start, options = _uneven(builder, x, start, end, (kernel, stride, dilation), options, kind)
    builder.apply(kind(shown(kernel), _stride(kernel, stride), shown(start), **options), x)


def _covers(x: Laid, start: tuple[int, ...], end: tuple[int, ...], kernel: tuple[int, ...]) -> bool:
    """Whether there is one window, over the whole image."""
    sides = zip(x.type.spatial, start, end, kernel, strict=True)
    return all(isinstance(s, int) and a + s <= k == a + s + b for s, a, b, k in sides)


def _stride(kernel: tuple[int, ...], stride: tuple[int, ...]) -> Any:
    """None where the windows tile the image."""
    return None if kernel == stride else shown(stride)


def _uneven(
    builder: Builder, x: Laid, start: tuple[int, ...], end: tuple[int, ...], windows: Any, options: Any, kind: Any
) -> tuple[Laid, tuple[int, ...], dict[str, Any]]:
    """Margins that differ: `ceil_mode`, where that is what they do, or a `pad` before the pool."""
    kernel, stride, dilation = windows
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    hanging = tuple(min(p + s - 1, e - 1) for p, s, e in zip(start, stride, spans, strict=True))
    if end == hanging and (kind is MaxPool or not options["count_include_pad"] or not any(start)):
        return x, start, {**options, "ceil_mode": True}
    if kind is AvgPool and not options["count_include_pad"]:
        raise builder.refused("its margins differ, and are not counted")
    return padded(builder, x, start, end, LOWEST if kind is MaxPool else 0.0), (0,) * len(kernel), options


def _global(kind: Any) -> Rule:
    def rule(builder: Builder, node: Node) -> None:
        builder.apply(kind(1), builder.image())

    return rule


def pooled(builder: Builder, node: Node, x: Laid, axis: int) -> bool:
    """Whether a `Gather` picks the windows of an adaptive pool along an axis of an image; if so, it is that pool,
    with the nodes after it. The other axis of the image is pooled by another one."""
    index = builder.known[node.inputs[1]]
    arrays = index.arrays if isinstance(index, Sized) else (index,) if isinstance(index, np.ndarray) else ()
    kind, nodes = _after_windows(builder, node, axis + 2, x.rank + 1)
    if kind is None or x.batch or x.joined or axis < 1 or not arrays or arrays[0].ndim != 2:
        return False
    count = arrays[0].shape[0]
    sizes = [evaluate(x.type.shape[axis], p) for p in builder.points[: len(arrays)]]
    if not all(np.array_equal(a, _windows(s, count)) for a, s in zip(arrays, sizes, strict=True)):
        return False
    targets = (*x.type.shape[1:axis], count, *x.type.shape[axis + 1 :])
    builder.settle(nodes, Laid(builder.call(kind(targets), x)[0]))
    return True


def _is_over(builder: Builder, nodes: list[Node], axis: int, rank: int) -> bool:
    """Whether nodes reduce the axis of the windows alone, as far as the axis is known by now."""
    reduction = next(n for n in nodes if n.op_type.startswith("Reduce"))
    given = reduction.get("axes")
    if given is None:
        found = builder.known.get(reduction.inputs[1]) if len(reduction.inputs) > 1 else None
        given = found.reshape(-1).tolist() if isinstance(found, np.ndarray) else [axis]
    return not reduction.get("keepdims", 1) and [a % rank for a in given] == [axis]


def _windows(size: int, count: int) -> Any:
    """The positions of each window, as torch cuts them; the last one is repeated in the shorter ones."""
    starts, ends = np.arange(count) * size // count, -(np.arange(1, count + 1) * -size // count)
    longest = max(ends - starts)
    return np.minimum(starts[:, None] + np.arange(longest), ends[:, None] - 1)


AFTER = {
    ("ReduceMax",): AdaptiveMaxPool,
    ("ReduceMean",): AdaptiveAvgPool,
    ("Mul", "ReduceSum", "Div"): AdaptiveAvgPool,
}
"""The nodes after the windows of an adaptive pool. What is repeated counts once: it is multiplied by 0."""


def _after_windows(builder: Builder, node: Node, axis: int, rank: int) -> tuple[Any, list[Node]]:
    """The pool of an axis of windows, and its nodes."""
    for wanted, kind in AFTER.items():
        found, at = list[Node](), node
        for op_type in wanted:
            after = builder.readers(at.outputs[0])
            if len(after) != 1 or after[0].op_type != op_type:
                break
            at = after[0]
            found.append(at)
        else:
            return (kind, found) if _is_over(builder, found, axis, rank) else (None, [])
    return None, []


POOLING: dict[str, Rule] = {
    "MaxPool": _pool,
    "AveragePool": _pool,
    "GlobalAveragePool": _global(AdaptiveAvgPool),
    "GlobalMaxPool": _global(AdaptiveMaxPool),
}
