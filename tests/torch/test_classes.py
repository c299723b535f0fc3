"""What emitted classes say: their documentation, and how a number follows from another."""

from __future__ import annotations

import ast

import pytest
import torch

from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.source import Source


def net(text: str, name: str = "N") -> Net:
    spec = Spec(Source(text, "test.net"), read_import)
    assert not spec.diagnostics
    return spec.net(name)


DOCUMENTED = """# A unit.
block Unit(c) = conv(c, 3, bias=false) -> bn -> relu

block Plain(c) = conv(c, 1, bias=false) -> bn -> relu

# Several nets.
net Family(c) {
  input x [3, 8, 8]
  Unit(c) -> Unit(c) -> Plain(c) -> Plain(2 * c)
}

# The small one.
net Small = Family(4)
net Wide = Family(8)
"""


@pytest.mark.parametrize(("name", "doc"), [("Small", "The small one."), ("Wide", "Several nets.")])
def test_each_class_has_the_documentation_of_what_it_is_made_from(name: str, doc: str) -> None:
    classes = [c for c in ast.parse(net(DOCUMENTED, name).source()).body if isinstance(c, ast.ClassDef)]
    assert {c.name: ast.get_docstring(c) for c in classes} == {"Unit": "A unit.", "Plain": None, name: doc}


@pytest.mark.parametrize(
    ("calls", "printed"),
    [
        ([(3, 1), (3, 2), (3, 4)], "padding=d, dilation=d"),
        ([(5, 1), (5, 2), (5, 4)], "padding=2 * d, dilation=d"),
        ([(9, 1), (9, 2), (9, 3)], "padding=4 * d, dilation=d"),
        ([(3, 2), (5, 4), (7, 1)], "padding=d * (k - 1) // 2, dilation=d"),
        ([(3, 1), (5, 1), (7, 1)], "padding=k // 2"),
    ],
)
def test_the_padding_that_keeps_a_size_follows_from_kernel_and_dilation(
    calls: list[tuple[int, int]], printed: str
) -> None:
    body = "".join(f"  B({k}, {d})\n" for k, d in calls)
    made = net(f"block B(k, d) = conv(4, k, dilation=d) -> relu\nnet N {{\n  input x [4, 32, 32]\n{body}}}\n")
    assert printed in made.source()
    convs = [m for m in made.module(0).modules() if isinstance(m, torch.nn.Conv2d)]
    assert [c.padding for c in convs] == [(d * (k - 1) // 2,) * 2 for k, d in calls]
