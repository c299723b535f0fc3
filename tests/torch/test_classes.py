"""What emitted classes say: their documentation, and how a number follows from another."""

from __future__ import annotations

import ast
import re
from typing import Any

import pytest
import torch
from agreement import agree
from paths import SPECS

import netdsl
from netdsl.backends.torch.layout import Layout
from netdsl.backends.torch.locals import Locals
from netdsl.backends.torch.tree import Apply, Node, Text
from netdsl.loader import load_source, read_import
from netdsl.ops.base import NAMED
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


IMAGES, VECTORS, TOKENS = "[8, 64, 64]", "[8]", "[L, 8]"
CONV = "block B(c, stride) = conv(c, 3, stride=stride) -> relu"


@pytest.mark.parametrize(
    ("block", "shape", "calls", "signature"),
    [
        ("block B(c) = conv(c, 3) -> relu", IMAGES, ["8", "6", "8"], "in_channels: int, c: int"),
        ("block B(c) = linear(c) -> relu", VECTORS, ["8", "6", "8"], "in_features: int, c: int"),
        ("block B(c) = linear(c) -> relu", TOKENS, ["8", "6", "8"], "dim: int, c: int"),
        (CONV, IMAGES, ["6, 1", "4, 2", "4, 1"], "in_channels: int, c: int, stride: int = 1"),
        (CONV, IMAGES, ["6, 3", "4, 2", "4, 2"], "in_channels: int, c: int, stride: int"),
        (
            "block B(bias) = conv(8, 3, bias=bias) -> relu",
            IMAGES,
            ["false", "true"],
            "in_channels: int, bias: bool = False",
        ),
        (
            "block B(c, act) = conv(c, 3) -> act",
            IMAGES,
            ["6, relu", "4, silu"],
            "in_channels: int, c: int, act: Callable[..., Tensor]",
        ),
    ],
)
def test_the_arguments_of_a_class(block: str, shape: str, calls: list[str], signature: str) -> None:
    body = " -> ".join(f"B({c})" for c in calls)
    made = net(f"{block}\nnet N {{\n  input x {shape}\n  {body}\n}}\n")
    assert f"class B(nn.Module):  # test.net:1\n    def __init__(self, {signature}) -> None:" in made.source()
    assert agree(made, 0, onnx=False)


def test_the_width_of_a_second_input_is_called_by_its_name() -> None:
    for shape, op, noun in (("[{}, 8, 8]", "conv(5, 1)", "channels"), ("[{}]", "linear(5)", "features")):
        first, second, third = (shape.format(n) for n in (4, 6, 8))
        block = f"block B(other) {{\n  own = it -> {op}\n  second = other -> {op}\n  own + second\n}}"
        inputs = f"  input p {first}\n  input q {second}\n  input r {third}\n"
        made = net(f"{block}\nnet N {{\n{inputs}  a = p -> B(q)\n  b = q -> B(r)\n  c = p -> B(r)\n  a + b + c\n}}\n")
        assert f"(self, in_{noun}: int, other_{noun}: int) -> None:" in made.source()
        assert agree(made, 0, onnx=False)


@pytest.mark.parametrize(
    ("widths", "lines"),
    [
        ((18, 19), ["x = torch.add({a}, {b}).reshape(", "    {c}, {c}", ")"]),
        ((19, 19), ["x = torch.add(", "    {a}, {b}", ").reshape({c}, {c})"]),
    ],
)
def test_a_method_of_a_call_that_fills_half_a_line(widths: tuple[int, int], lines: list[str]) -> None:
    """The call is broken where it has 51 letters, what the method is given where it has 50."""
    a, b, c = "a" * widths[0], "b" * widths[1], "c" * 20
    tree = Apply(".reshape", (Apply("torch.add", (Text(a), Text(b))), Text(c), Text(c)))
    assert Layout({}).lines("x = ", tree, "", "") == [line.format(a=a, b=b, c=c) for line in lines]


def test_the_layers_of_both_sides_of_a_choice_are_in_the_order_of_the_block() -> None:
    made = net(
        "block B(t) {\n  a: conv(8, 3) -> relu\n"
        "  if t { b: conv(8, 1) -> relu } else { f: conv(8, 5) -> tanh }\n  c: conv(8, 3) -> sigmoid\n"
        "  if not t { d: dwconv(3) -> tanh }\n  e: conv(8, 1) -> relu\n}\n"
        "net N {\n  input x [8, 8, 8]\n  B(true) -> B(false)\n}\n"
    )
    assert "\n        x = self.f(x) if self.f is not None else self.b(x)\n" in made.source()
    assert made.source().count("class ") == 2
    assert list(made.module(0).b2._modules) == ["a", "f", "c", "d", "e"]
    assert agree(made, 0, onnx=False)


@pytest.mark.parametrize(
    ("name", "op"),
    [("Attention", "attention(2)"), ("DropPath", "drop_path(0.1)"), ("GaussianNoise", "gaussian_noise(1)")],
)
def test_a_block_called_as_the_helper_that_it_uses(name: str, op: str) -> None:
    made = net(
        f"block {name} = residual {{ linear(8) -> {op} }}\nnet N {{\n  input x [L, 8]\n  {name} -> linear(3)\n}}\n"
    )
    classes = [c.name for c in ast.parse(made.source()).body if isinstance(c, ast.ClassDef)]
    assert classes == [name, f"{name}2", "N"]
    assert agree(made, 0, onnx=False)


def test_a_constructor_names_what_it_uses_more_than_once() -> None:
    """A part of a table that is used once is written where it is used; the table itself has its name."""
    source = Spec(load_source(SPECS / "swin.net"), read_import).net("Swin_T").source()
    inits = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
    lines = [n for init in inits for n in init.body if isinstance(n, ast.Assign)]
    assigned = [t.id for n in lines for t in n.targets if isinstance(t, ast.Name)]
    assert assigned == ["offsets", "position", "offset", "index"]


def test_a_part_of_what_is_named_is_used_once() -> None:
    def named(name: str, value: Node) -> Node:
        return Apply(NAMED, (Text(name), value))

    inner = Apply("abs", (named("inner", Text("w")),))
    found = Locals(Apply("+", (named("outer", inner), named("outer", inner))), ())
    assert found.assigned == [("outer", Apply("abs", (Text("w"),)))]
    assert found.tree == Apply("+", (Text("outer"), Text("outer")))
    once = Locals(Apply("+", (named("outer", inner), Text("v"))), ())
    assert (once.assigned, once.tree) == ([], Apply("+", (Apply("abs", (Text("w"),)), Text("v"))))


@pytest.mark.parametrize(("residue", "height", "wrong"), [(0, 8, 9), (1, 9, 8), (2, 10, 9)])
def test_a_guard_asks_for_a_remainder(residue: int, height: int, wrong: int) -> None:
    module = net(f"net N {{\n  input x [3, H, W]\n  require H % 4 == {residue}\n  relu\n}}\n").module(0)
    assert module(torch.ones(1, 3, height, 5)).shape == (1, 3, height, 5)
    with pytest.raises(ValueError, match=f"found H={wrong}"):
        module(torch.ones(1, 3, wrong, 5))


def test_arithmetic_that_the_author_wrote_is_printed() -> None:
    waves = "block Waves(dim) {\n  linear(dim // 2) -> relu -> linear(dim - 24) -> relu\n}\n"
    text = net(waves + "net N {\n  input x [3]\n  Waves(64)\n}").source()
    assert "nn.Linear(in_features, dim // 2)" in text
    assert "nn.Linear(dim // 2, dim - 24)" in text


def test_a_branch_asks_for_the_layer_that_it_calls() -> None:
    unit = "block Unit(c, wide=false) {\n  conv(c, 3) -> relu\n  if wide { conv(c, 5) -> relu }\n  bn\n"
    unit += "  if wide { relu -> conv(c, 7) }\n  relu\n}\n"
    uses = "Unit(8) -> Unit(8, wide=true) -> Unit(16) -> Unit(16, wide=true)"
    text = net(f"{unit}net N {{\n  input x [4, 8, 8]\n  {uses}\n}}").source()
    assert "F.relu(self.conv2(x)) if self.conv2 is not None else x" in text
    assert "F.relu(self.conv3(x)) if self.conv3 is not None else x" in text
    assert "self.conv2 = nn.Conv2d(c, c, 5, padding=2) if wide else None" in text, "it reads conv1, of `c` channels"
    assert "self.conv3 = nn.Conv2d(c, c, 7, padding=3) if wide else None" in text


def test_a_fraction_is_printed_as_the_author_computes_it() -> None:
    text = """block Waves(c) = linear(c, bias=false) -> it * (2 / 3) -> it + log(10000)
net N {
  input x [8]
  Waves(16) -> Waves(24)
}
"""
    source = net(text).source()
    assert "import math\n" in source
    assert "* (2 / 3) + math.log(10000)" in source


def test_a_fraction_of_the_width_is_computed_in_the_class() -> None:
    text = """block Scaled: [L, D] -> [L, _] {
  q, k, v = linear(3 * D) -> chunk(3, axis=1)
  sdpa(q, k, v, scale=D ** -0.25)
  linear(2 * D)
}
net N {
  input x [10, 24]
  Scaled -> relu -> Scaled
}
"""
    assert "self.scale = dim**-0.25" in net(text).source()


def test_the_member_behind_a_loop_is_the_last() -> None:
    source = netdsl.load("wavenet").source()
    assert "self.layers[-1](x)" in source
    assert "self.layers[29]" not in source


def test_the_width_of_an_input_without_a_name_explains_nothing() -> None:
    source = netdsl.load("ddpm").source()
    assert "def __init__(self, cin: int, c: int, has_conv: bool = True)" in source
    assert "x1_channels" not in source


def test_a_count_of_heads_is_no_width() -> None:
    text = """block Grouped(width, heads=8, groups=2) {
  q = linear(width) -> rearrange("l (h d) -> h l d", h=heads) -> rotary
  k = linear(width * groups // heads) -> rearrange("l (h d) -> h l d", h=groups) -> rotary
  sdpa(q, k, k, enable_gqa=true) -> rearrange("h l d -> l (h d)")
}
net N {
  input x [L, 64]
  Grouped(64)
}
"""
    source = net(text).source()
    assert "self.rotary1 = Rotary(8)" in source
    assert "self.linear2 = nn.Linear(width, width * 2 // 8)" in source
    assert "enable_gqa=True" in source
