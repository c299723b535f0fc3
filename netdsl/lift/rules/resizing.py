"""`Gather` that repeats or leaves out positions as PyTorch's nearest interpolation does."""

from __future__ import annotations

import numpy as np

from netdsl.lift.build import Builder, Laid
from netdsl.lift.read import Node
from netdsl.lift.sized import Sized
from netdsl.ops.nearest import positions
from netdsl.ops.resizing import Upsample
from netdsl.sizes.dims import evaluate


def resized(builder: Builder, node: Node, x: Laid, axis: int) -> bool:
    """Whether a `Gather` picks the nearest positions along an axis of an image, of a size that the graph computes; if
    so, it is that `upsample`."""
    index = builder.known[node.inputs[1]]
    if not isinstance(index, Sized) or x.batch or x.joined or axis < 1 or any(a.ndim != 1 for a in index.arrays):
        return False
    shape = index.shape(builder.points)
    olds = [evaluate(x.type.shape[axis], p) for p in builder.points]
    if shape is None or not all(
        np.array_equal(a, positions(s, len(a))) for a, s in zip(index.arrays, olds, strict=True)
    ):
        return False
    size = (*x.type.spatial[: axis - 1], shape[0], *x.type.spatial[axis:])
    builder.give(Laid(builder.call(Upsample(size=size), x)[0]))
    return True
