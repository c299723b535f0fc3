"""What emitted classes say: their documentation, and how a number follows from another."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest
import torch
from agreement import agree

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


COMMENTED = re.compile(r"( *)(return|\w+ =) (.*?)  # \[(.*)\]$", re.MULTILINE)


def said_and_made(source: str, x: torch.Tensor, sizes: dict[str, int]) -> list[tuple[list[int], list[int]]]:
    """Of each line of a net `N` with a comment: the shape that it says and that of the value, without the batch."""
    found: list[tuple[list[int], list[int]]] = []

    def noted(value: torch.Tensor, said: str) -> torch.Tensor:
        found.append((eval(f"[{said}]", {}, sizes), list(value.shape[1:])))
        return value

    module: dict[str, Any] = {"noted": noted, "__name__": "emitted"}
    exec(COMMENTED.sub(r"\1\2 noted(\3, '\4')", source), module)
    module["N"]()(x)
    return found


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "input x [4, H, W]\n conv(4, 3, stride=2) -> maxpool(2) -> relu\n conv(5, 1)",
            ["4, (H + 1)//2, (W + 1)//2", "4, (H + 1)//4, (W + 1)//4", "5, (H + 1)//4, (W + 1)//4"],
        ),
        (
            "input x [4, H, W]\n a, b = x -> split((1, 3))\n p = a -> conv(2, 3)\n q = b -> conv(2, 3)\n p + q -> gap",
            ["2, H, W", "2"],
        ),
        (
            'input x [4, H, W]\n states, last = x -> rearrange("c h w -> (h w) c") -> gru(8)\n last -> linear(3)',
            ["1, 3"],
        ),
    ],
)
def test_the_shapes_in_comments_are_those_of_values_each_said_once(body: str, said: list[str]) -> None:
    source = net(f"net N {{\n {body}\n}}\n").source()
    assert [m[4] for m in COMMENTED.finditer(source)] == said
    found = said_and_made(source, torch.randn(2, 4, 16, 24), {"H": 16, "W": 24})
    assert len(found) == len(said)
    assert all(a == b for a, b in found)


def test_values_without_a_name_are_called_by_the_first_letters_that_are_free() -> None:
    body = "linear(4)"
    for _ in range(5):
        body = f"residual {{ relu -> {body} }} -> tanh"
    source = net(f"net N {{\n input x [4]\n {body}\n}}\n").source()
    names = re.findall(r"^ +(\w+) = (?!nn)", source, re.MULTILINE)
    assert list(dict.fromkeys(names))[:5] == ["y", "z", "x1", "x2", "x3"]


def test_blocks_that_use_each_other_are_made_from_outside() -> None:
    made = net(
        "block Odd(n, c) {\n  if n > 1 { Even(n - 1, c) -> relu } else { conv(c, 3) }\n}\n"
        "block Even(n, c) {\n  conv(c, 1) -> relu\n  Odd(n - 1, c + 1) -> tanh\n}\n"
        "net N {\n  input x [3, 8, 8]\n  Odd(5, 4) -> Even(2, 4)\n}\n"
    )
    assert agree(made, 0)


@pytest.mark.parametrize("size", ["3", "3, H, W", "3, 8, W"])
def test_long_conditions_of_a_guard_are_broken_over_lines(size: str) -> None:
    name = "an_image_with_a_name_that_fills_half_a_line_of_code"
    source = net(f"net N {{\n  input {name} [{size}]\n  relu\n}}\n").source()
    assert max(map(len, source.splitlines())) <= 100
