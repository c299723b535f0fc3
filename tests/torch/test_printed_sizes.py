"""Sizes as emitted code computes them from the shapes of what flows in: held against the sizes themselves."""

from __future__ import annotations

from typing import Any

import pytest
from generated_sizes import compute, expressions
from hypothesis import given, settings
from hypothesis import strategies as st

from netdsl.backends.torch.layout import Layout
from netdsl.backends.torch.sizes import found_in
from netdsl.backends.torch.tree import Node, Num, Shape, transform
from netdsl.diagnostics.diagnostic import Fault
from netdsl.sizes.dims import Size, evaluate, symbol
from netdsl.tensors import TensorType

H, W = symbol("H"), symbol("W")
SEEN = [(H, W), (8, W, H), ((H + 1) // 2, 3 * W - 2), (2 * H + 3, 8, W // 4), (H * W,), (H, 8), (H - W // 2, W // 2)]
"""The shapes of one or two values that flow in."""
LEAVES = st.one_of(st.sampled_from(["H", "W"]), st.integers(1, 9))


def computed(tree: Node, shapes: list[tuple[Any, ...]], sizes: dict[str, int]) -> Any:
    """What the printed text comes to where the values have these sizes."""

    def read(node: Node) -> Node:
        return Num(evaluate(shapes[node.index][node.axis - 1], sizes)) if isinstance(node, Shape) else node

    return eval(Layout({}).flat(transform(tree, read)))


class Unsaid(Exception):  # noqa: N818
    """A size that the shapes do not tell."""


def express_all(size: Size, shapes: list[tuple[Any, ...]]) -> None:
    tree = found_in(size, {i: TensorType(shape) for i, shape in enumerate(shapes)})
    if tree is None:
        raise Unsaid
    for h, w in ((16, 24), (17, 31), (33, 9), (50, 18), (64, 65)):
        assert computed(tree, shapes, {"H": h, "W": w}) == evaluate(size, {"H": h, "W": w})


@settings(max_examples=60)
@given(expressions(LEAVES), st.lists(st.sampled_from(SEEN), min_size=1, max_size=2))
def test_what_is_printed_for_a_size_comes_to_that_size(tree: Any, shapes: list[tuple[Any, ...]]) -> None:
    try:
        size = compute(tree, {"H": H, "W": W})
        if isinstance(size, Size):
            express_all(size, shapes)
    except (Unsaid, Fault, ZeroDivisionError):
        assert not {H, W} <= {d for shape in shapes for d in shape} or "//" in str(tree) or "%" in str(tree)


@pytest.mark.parametrize(
    ("size", "shapes"),
    [
        (2 * H + 5, [(H, 8)]),
        (H, [((H + 1, 8))]),
        ((H + 3) // 4, [(H + 1, 8)]),
        ((H - W) // 2, [(H, 8), (W, 8)]),
        (H - W, [(H, 8), (W, 8)]),
        (H * (W // 4), [(8, H), (W // 4, 3)]),
        (3 * H + W + 1, [(H, W)]),
        (2 * H * W, [(H, W)]),
        (2 * (H // 3) * (W // 5), [(H, W)]),
        ((H + W) // 3 + 1, [(H, W)]),
    ],
)
def test_every_rule_finds_its_sizes(size: Size, shapes: list[tuple[Any, ...]]) -> None:
    express_all(size, shapes)


@pytest.mark.parametrize(("size", "shapes"), [(H, [(H // 2, 8)]), (H + W, [(H, 8)]), (H * W, [(W, 8)])])
def test_a_size_that_does_not_flow_in_is_not_found(size: Size, shapes: list[tuple[Any, ...]]) -> None:
    with pytest.raises(Unsaid):
        express_all(size, shapes)
