"""Long lists of rows are written as counts where they are sums of counts."""

from __future__ import annotations

from functools import reduce

import numpy as np
from foreign_nets import written
from onnx import numpy_helper

from netdsl.lift.counted import Count, counts
from netdsl.lift.lift import lift_model


def test_counts_give_the_places_again() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        sizes = random.integers(2, 6, random.integers(1, 5))
        given = [Count(0, int(random.choice([-90, -7, -1, 1, 3, 20])), int(n)) for n in sizes]
        places = summed(given).tolist()
        found = counts(places)
        assert found
        assert len(found) <= len(given)
        assert summed(found).tolist() == places


def test_what_is_no_count_stays_a_list() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        assert counts(random.permutation(24).tolist()) == []
    assert counts([0, 0, 1, 1]) == counts([3]) == counts([0, 1, 2, 3, 5]) == counts([0, 1, 2, 0, 1, 3]) == []


def test_rows_by_relative_positions() -> None:
    """The bias of attention in windows, as Swin v2 computes it."""
    y, x = np.divmod(np.arange(16), 4)
    places = 7 * (y[:, None] - y + 3) + x[:, None] - x + 3
    model = written(
        "net (float[N,16,16] x) => (float[N,16,16] y) <float[49,2] w = {}, float[2,1] u = {}, int64[256] i = {},"
        " int64[2] s = {16, 16}> {"
        "h = MatMul(w, u)  r = Gather<axis = 0>(h, i)  b = Reshape(r, s)  a = Add(x, b)  y = Softmax(a) }"
    )
    for tensor in model.graph.initializer:
        if tensor.name in ("i", "s"):
            array = places.ravel() if tensor.name == "i" else np.array([16, 16])
            tensor.CopyFrom(numpy_helper.from_array(array.astype("int64"), tensor.name))
    found = lift_model(model)
    assert "gather(" in found.text
    assert len(found.text.splitlines()) < 25


def summed(axes: list[Count]) -> np.ndarray:
    numbers = [a.start + a.step * np.arange(a.size) for a in axes]
    return reduce(np.add.outer, numbers).ravel()
