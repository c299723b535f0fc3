"""The common part of convolutions and pools: windows, paddings, how a person writes them."""

from __future__ import annotations

from typing import Any

from netdsl.lift.build import Builder, Laid
from netdsl.lift.read import Node
from netdsl.ops.cropping import Pad
from netdsl.ops.spatial import compact

LOWEST = -3.4028234663852886e38
"""The least number of float32: an infinity has no literal, and pads and masks need none."""


def finite(value: float) -> float:
    """A number that can be written: infinities as the last numbers of float32."""
    return min(max(value, LOWEST), -LOWEST)


def per_axis(node: Node, name: str, axes: int, default: int = 1) -> tuple[int, ...]:
    return tuple(node.get(name) or (default,) * axes)


def pads(builder: Builder, node: Node, x: Laid, kernel: tuple[int, ...], stride: tuple[int, ...],
         dilation: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:  # fmt: skip
    """The paddings at the start and at the end of each spatial axis."""
    auto, axes = node.get("auto_pad", "NOTSET"), len(kernel)
    if auto in ("NOTSET", ""):
        found = tuple(node.get("pads") or (0,) * (2 * axes))
        return found[:axes], found[axes:]
    if auto == "VALID":
        return (0,) * axes, (0,) * axes
    totals = []
    for size, k, s, d in zip(x.type.spatial, kernel, stride, dilation, strict=True):
        span = d * (k - 1) + 1
        totals.append(
            span - 1 if s == 1 else max((-(-builder.number(size) // s) - 1) * s + span - builder.number(size), 0)
        )
    less, more = tuple(t // 2 for t in totals), tuple(t - t // 2 for t in totals)
    return (less, more) if auto == "SAME_UPPER" else (more, less)


def padded(builder: Builder, x: Laid, start: tuple[int, ...], end: tuple[int, ...], value: float = 0.0) -> Laid:
    """The image with a margin of its own, where the two sides of an axis differ."""
    sides: Any = tuple(zip(start, end, strict=True))
    return Laid(builder.call(Pad(sides if len(sides) > 1 else sides[0], value=value), x)[0])


def same(kernel: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...]) -> bool:
    """Whether a padding is `same`."""
    return all(2 * p == d * (k - 1) for k, p, d in zip(kernel, padding, dilation, strict=True))


def shown(values: tuple[int, ...]) -> Any:
    return compact(tuple(int(v) for v in values))
