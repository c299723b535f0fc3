"""The ONNX form of `upsample` by the nearest position.

PyTorch picks `floor(i * step)` with a step in single precision, onnxruntime's Resize `floor(i / scale)`: of 14
positions `size=2` takes 0 and 7 in PyTorch, 0 and 6 in onnxruntime. Where the two may differ, positions are picked by
number.
"""

from collections.abc import Sequence
from itertools import count
from typing import Any

from netdsl.ops.base import Graph
from netdsl.sizes.dims import Dim
from netdsl.tensors import TensorType

FAR = 4096
"""Positions that are compared where an image's size is open."""

WHOLE = 16
"""Up to so many times an open size is recognised as a multiple."""


def picked(
    g: Graph, name: str, x: TensorType, sizes: Sequence[Dim], factors: Sequence[tuple[float, float]] | None
) -> str | None:
    """The image with positions picked by number along its axes; None where Resize picks the same.

    `factors`: those of each axis in PyTorch and in the graph; None where the sizes are given.
    """
    each: Sequence[tuple[float, float] | None] = factors or [None] * len(sizes)
    pairs = list(zip(x.spatial, sizes, each, strict=True))
    if all(old == new or _alike(old, new, factor) for old, new, factor in pairs):
        return None
    for axis, (old, new, factor) in zip(count(2), pairs, strict=False):
        if old != new:
            name = g.op("Gather", name, _places(g, old, new, factor), axis=axis)
    return name


def _alike(old: Dim, new: Dim, factor: tuple[float, float] | None) -> bool:
    """Whether both pick the same positions, whatever an open size is."""
    import numpy as np

    step, far = _step(old, new, factor), new if isinstance(new, int) else FAR
    if step is None:
        return False
    scale = np.float32(factor[1]) if factor is not None else _over(new, old)
    places = np.arange(far, dtype=np.float32)
    return bool((np.floor(places * step) == np.floor(places / scale)).all())


def _step(old: Dim, new: Dim, factor: tuple[float, float] | None) -> Any:
    """PyTorch's distance of two positions, a float32; None where it is known at run time only."""
    import numpy as np

    return np.float32(1 / factor[0]) if factor is not None else _over(old, new)


def _over(a: Dim, b: Dim) -> Any:
    """`a / b` in single precision; None where it depends on a named size."""
    import numpy as np

    if isinstance(a, int) and isinstance(b, int):
        return np.float32(a) / np.float32(b)
    times = next((k for k in range(2, WHOLE + 1) if k * b == a or k * a == b), None)
    if times is None:
        return None
    return np.float32(times) if times * b == a else np.float32(1) / np.float32(times)


def positions(old: int, new: int, step: Any = None) -> Any:
    """The position of `old` that each of `new` is, int64: `min(floor(i * step), old - 1)` in single precision."""
    import numpy as np

    step = _over(old, new) if step is None else step
    places = np.floor(np.arange(new, dtype=np.float32) * step).astype(np.int64)
    return np.minimum(places, old - 1)


def _places(g: Graph, old: Dim, new: Dim, factor: tuple[float, float] | None) -> str:
    """The same in the graph, where a size may be open."""
    step = _step(old, new, factor)
    if isinstance(old, int) and isinstance(new, int):
        return g.const(positions(old, new, step), "int64")
    one, zero, first = g.const(1, "int64"), g.const(0, "int64"), g.const((0,), "int64")
    there, wanted = (g.op("Squeeze", g.shape(size, batch=False), first) for size in (old, new))
    if step is not None:
        between = g.const(step, "float64")
    else:
        between = _single(g, g.op("Div", *(g.op("Cast", n, to=DOUBLE) for n in (there, wanted))))
    places = g.op("Cast", g.op("Range", zero, wanted, one), to=DOUBLE)
    far = g.op("Floor", _single(g, g.op("Mul", places, between)))
    return str(g.op("Min", g.op("Cast", far, to=7), g.op("Sub", there, one)))


DOUBLE = 11
"""float64 in ONNX. In a file of float16 numbers of this type stay what they are."""


def _single(g: Graph, x: str) -> str:
    """A number of float64 rounded as float32 is (Dekker, 1971)."""
    times = g.op("Mul", x, g.const(2**29 + 1, "float64"))
    return str(g.op("Sub", times, g.op("Sub", times, x)))
