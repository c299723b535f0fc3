"""Closed arrows are values where they are written; names, labels and inputs stand once; nothing is dropped."""

from __future__ import annotations

import pytest
import torch

from netdsl.analysis.count import parameters, totals
from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.source import Source


def net(text: str, name: str = "A") -> Net:
    return Spec(Source(text, "values.net"), read_import).net(name)


def mistakes(text: str) -> list[tuple[str, str, int]]:
    found = Spec(Source(text, "values.net"), read_import).diagnostics
    return [(d.code, d.at.text if d.at else "", d.at.line if d.at else 0) for d in found]


def keys(text: str, name: str = "A") -> list[str]:
    return [p.path for p in parameters(net(text, name).checked.main)]


def body(*lines: str, inputs: str = "input x [4, 8, 8]") -> str:
    return f"net A {{\n  {inputs}\n  " + "\n  ".join(lines) + "\n}\n"


CONV = 4 * 4 * 9 + 4
ONCE = [
    ("parts = [x -> conv(4, 3), x -> conv(4, 3)]\n  parts[0] + parts[1] + parts[0]", 2),
    ("p, q = (x -> conv(4, 3), x -> conv(4, 3))\n  p + q + p", 2),
    ("parts = [x -> conv(4, 3) for i in range(3)]\n  parts[0] + parts[0] + parts[0]", 3),
    ("p, q = [conv(4, 3) for i in range(2)]\n  p + q + p", 3),  # open: each use is a layer of its own
    ("p = [{ x -> conv(4, 3) }]\n  p[0] + p[0]", 2),  # braces are never closed
    ("share f = conv(4, 3)\n  p = [x -> f]\n  p[0] + p[0]", 1),
    ("Twice(x -> conv(4, 3))", 1),
    ("Twice(f=x -> conv(4, 3) -> relu)", 1),
    ("Twice(conv(4, 3))", 2),
    ("Default", 1),
    ("Default -> Default", 2),
    ("p = [x * (x -> conv(4, 3))]\n  p[0] + p[0]", 1),
    ("p = [concat(x, x -> conv(4, 3))]\n  p[0] + p[0]", 1),
    ("p = [x -> conv(4, 3), relu]\n  for f in p { f }", 1),
]
BLOCKS = """
block Twice(f) = (it + f) * f
block Default(f = param((4, 8, 8)) -> conv(4, 3)) = (it + f) * f
"""


@pytest.mark.parametrize(("text", "count"), ONCE)
def test_a_closed_arrow_is_computed_once_where_it_stands(text: str, count: int) -> None:
    program = net(body(text) + BLOCKS).checked
    convolutions = [p for p in parameters(program.main) if p.path.endswith("weight")]
    assert len(convolutions) == count
    assert totals(program.main).params == count * CONV + 256 * text.count("Default")


def test_a_tensor_taken_twice_is_the_same_tensor() -> None:
    module = net(body("p = [x -> conv(4, 3)]", "p[0] - p[0]")).module(seed=0)
    assert torch.equal(module(torch.randn(2, 4, 8, 8)), torch.zeros(2, 4, 8, 8))


def test_the_layer_of_an_argument_belongs_to_the_caller() -> None:
    assert keys(body("Twice(x -> conv(4, 3))") + BLOCKS) == ["conv.weight", "conv.bias"]
    assert keys(body("part: Twice(x -> conv(4, 3)) -> bn") + BLOCKS)[0] == "part.conv.weight"


def test_an_argument_of_a_variant_stays_an_arrow() -> None:
    text = "net M(f) {\n  input x [4]\n  it + f + f\n}\nnet A = M(param((4,)))\n"
    assert totals(net(text).checked.main).params == 8


def test_a_label_stands_once_in_a_straight_body() -> None:
    twice = body("stem: conv(4, 3)", "stem: conv(4, 1)")
    assert mistakes(twice) == [("duplicate-name", "stem", 4)]
    assert mistakes(body("if true { a: conv(4, 3) } else { a: conv(4, 1) }")) == []
    assert mistakes(body("a: conv(4, 3)", "if true { a: conv(4, 3) }")) == [("duplicate-name", "a", 4)]
    assert mistakes(body("for i in range(2) { a: conv(4, 3) -> relu }")) == []
    assert mistakes(body("a: { a: conv(4, 3) }")) == []
    assert mistakes(body("residual { a: conv(4, 3) }", "residual { b: conv(4, 3) }")) == []
    assert mistakes(body("concat(a: relu, a: conv(4, 1))")) == [("duplicate-name", "a", 3)]
    for first, second in (("share a = conv(4, 3)", "a: bn"), ("a: bn", "share a = conv(4, 3)")):
        assert mistakes(body(first, second, "a -> relu")) == [("duplicate-name", "a", 4)], "one container for both"
    assert mistakes(body("share a = conv(4, 3)", "share a = conv(4, 3)", "a -> relu")) == [("duplicate-name", "a", 4)]
    assert mistakes(body("repeat 2 {", "share a = conv(4, 3)", "a -> relu -> a -> relu", "}")) == []
    assert mistakes(body("share a = conv(4, 3)", "residual {", "a: bn", "}", "a -> relu -> a")) == []
    assert keys(body("for i in range(2) { a: conv(4, 3) }"))[::2] == ["a.0.weight", "a.1.weight"]


def test_an_input_stands_once() -> None:
    text = body("x -> relu", inputs="input x [4, 8, 8]\n  input x [4, 8, 8]")
    assert mistakes(text) == [("duplicate-name", "x", 3)]


def test_an_output_is_the_value_of_its_name() -> None:
    """`output y` gives what flows: under the name of another value it would be taken for that one."""
    named = ("y = conv(4, 3)", "y, z = conv(4, 3) -> chunk(2)")
    for line in named:
        assert [code for code, _, _ in mistakes(body(line, "output y"))] == ["duplicate-name"]
        assert mistakes(body(line, "output y = y", "output w = y -> relu")) in ([], [("unused-value", "z", 3)])
    for line in ("conv(4, 3) as y", "y = conv(4, 3)\n  y", "a: conv(4, 3) as y", "a: { b: conv(4, 3) -> relu as y }"):
        assert [m for m in mistakes(body(line, "output y")) if m[0] != "unused-value"] == []
    several = body("y = x + z", "output y", inputs="input x [4]\n  input z [4]")
    assert [code for code, _, _ in mistakes(several)] == ["duplicate-name"]


def test_a_variant_with_nothing_left_to_bind() -> None:
    text = "net M(k) {\n  input x [4, 8, 8]\n  conv(k, 3)\n}\nnet M8 = M(8)\n"
    assert mistakes(text + "net M9 = M8(16)\n") == [("too-many-arguments", "16", 6)]
    assert mistakes(text + "net M9 = M8\n") == []
    assert mistakes(text + "net M9 = M(8, x=3)\n") == [("argument-type", "x=3", 6)]


TWO = "input image [3, 8, 8]\n  input tokens [16]"


def test_a_label_on_the_first_statement_of_a_net_with_several_inputs() -> None:
    assert keys(body("a: image -> gap -> linear(4)", "it + 1", inputs=TWO)) == ["a.1.weight", "a.1.bias"]
    assert mistakes(body("a: v = gap", "it", inputs=TWO)) == [("no-value", "gap", 4), ("no-value", "it", 5)][:1]


def test_labels_of_branches_and_of_bodies_of_one_line() -> None:
    text = body("concat(low: conv(2, 1) -> relu, high: conv(2, 3))", "residual { only: conv(4, 3) -> bn }")
    assert keys(text)[::2] == ["low.0.weight", "high.weight", "only.0.weight", "only.1.weight"]
    found = mistakes(body("conv(4, kernel_size: 3)"))
    assert found == [("not-a-layer", "kernel_size: 3", 3)]


def test_as_names_the_value_and_lets_it_flow_on() -> None:
    text = body("conv(4, 3) -> relu as low", "head: conv(4, 1) as top", "it + low", "low * top")
    module = net(text).module(seed=0)
    x = torch.randn(2, 4, 8, 8)
    low = module.conv(x).relu()
    torch.testing.assert_close(module(x), low * module.head(low))
    assert mistakes(body("chunk(2) as a")) == [("several-values", "chunk(2) as a", 3)]
    assert mistakes(body("concat(relu as a, it)"))[0][0] == "syntax"
    assert keys(body("param((4, 8, 8)) as gain", "x * gain")) == ["gain"]


@pytest.mark.parametrize("word", ["as", "from", "import", "lambda", "None"])
def test_words_of_python_are_no_names(word: str) -> None:
    assert mistakes(body(f"{word} = relu"))[0][0] == "syntax"
