"""Printing is proven: what the emitter prints is parsed by Python and compared with the tree that was meant."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from generated import specs
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import SPECS
from printed import BINARY, COMPARE, ProvenLayout, proven_emit

import netdsl
from netdsl.backends.torch import layout
from netdsl.backends.torch.layout import Layout
from netdsl.backends.torch.naming import BUILTINS
from netdsl.backends.torch.tree import Apply, Group, Members, Node, Num, Progress, Run, Text
from netdsl.ir.model import Program
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec
from netdsl.source import Source

NAMES = ("x", "y", "self.bias", "x.shape[1]", "a_rather_long_name_of_a_value_that_fills_its_line")
METHODS = (".permute", ".reshape", ".a_method_with_a_long_name")
FUNCTIONS = ("F.relu", "torch.cat", "a_function_with_a_long_name")
LITERALS = st.one_of(st.integers(-9, 9), st.floats(allow_nan=False), st.booleans(), st.none(), st.text(max_size=5))


class Grower:
    """Draws trees of calls, operators and brackets, of a limited depth."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.draw = draw

    def pick(self, options: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(options))

    def text(self) -> Text:
        return Text(self.pick(NAMES))

    def some(self, depth: int, least: int = 1) -> tuple[Node, ...]:
        return tuple(self.tree(depth) for _ in range(self.draw(st.integers(least, 3))))

    def named(self, depth: int) -> tuple[tuple[str, Node], ...]:
        return tuple((name, self.tree(depth)) for name in ("dim", "mode") if self.draw(st.booleans()))

    def tree(self, depth: int) -> Node:
        if depth == 0:
            return self.text() if self.draw(st.booleans()) else Num(self.draw(LITERALS))
        below = depth - 1
        makers = (
            lambda: Apply(self.pick([*BINARY, *COMPARE, "or", "and"]), (self.tree(below), self.tree(below))),
            lambda: Apply(self.pick(["-", "~"]), (self.value(below),)),
            lambda: Apply("if", (self.tree(below), self.tree(below), self.tree(below))),
            lambda: Apply("[]", (self.value(below), *self.some(below))),
            lambda: Apply("[]", (self.value(below), Apply(":", (self.value(below), self.value(below))))),
            lambda: Apply("[]", (self.value(below), Text(":"), Apply(":", (Num(None), self.value(below))))),
            lambda: Apply("[]", (self.value(below), Text(self.pick([":, 0", "..., None", "::2"])))),
            lambda: Apply(self.pick(METHODS), (self.value(below), *self.some(below, 0)), self.named(below)),
            lambda: Apply(self.pick(FUNCTIONS), self.some(below, 0), self.named(below)),
            lambda: Group(self.some(below), self.pick("([")),
            lambda: Group(tuple(self.run(below) for _ in range(self.draw(st.integers(1, 2)))), "["),
            lambda: Members(("a", 'b"'), (self.tree(below), self.tree(below))),
        )
        return self.pick(makers)()

    def value(self, depth: int) -> Node:
        """A tree before a dot or after a sign, where no number stands in a net."""
        found = self.tree(depth)
        return self.text() if isinstance(found, Num) else found

    def run(self, depth: int) -> Run:
        grown = Progress(Num(self.draw(st.integers(0, 5))), Num(self.draw(st.integers(1, 4))))
        child = Apply("nn.Linear2", (*self.some(depth), *((grown,) if self.draw(st.booleans()) else ())))
        return Run(Num(self.draw(st.integers(1, 4))), child)


@st.composite
def trees(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Node:
    return Grower(draw).tree(draw(st.integers(0, 5)))


@given(trees(), st.sampled_from(["x = ", "return ", "x, y = "]), st.sampled_from([20, 40, 100]))
@settings(max_examples=300)
def test_every_tree_is_printed_as_it_is_meant(tree: Node, before: str, width: int) -> None:
    """On short lines too, where almost everything is broken."""
    with patch.object(layout, "WIDTH", width):
        ProvenLayout({}).lines(before, tree)
        ProvenLayout({}).flat(tree)


def test_every_two_operators_are_printed_as_they_are_meant() -> None:
    a, b, c = (Text(name) for name in "abc")
    operators = [*BINARY, *COMPARE, "or", "and"]
    for outer in operators:
        for inner in operators:
            for tree in (Apply(outer, (a, Apply(inner, (b, c)))), Apply(outer, (Apply(inner, (a, b)), c))):
                ProvenLayout({}).flat(tree)


def test_a_call_that_is_broken_over_lines_keeps_the_bracket_around_its_operator() -> None:
    long = Apply("torch.cat", (Text("a" * 50), Text("b" * 50)))
    tree = Apply("*", (Apply("-", (Num(1), long)), Text("scale")))
    text = "\n".join(ProvenLayout({}).lines("x = ", tree))
    assert ast.dump(ast.parse(text.strip())) == ast.dump(
        ast.parse(f"x = (1 - torch.cat({'a' * 50}, {'b' * 50})) * scale")
    )


def test_the_proof_finds_a_bracket_that_is_lost() -> None:
    class Careless(ProvenLayout):
        def flat(self, node: Node, *strength: int) -> str:
            return Layout.flat(self, node)

    tree = Apply("*", (Apply("+", (Text("a"), Text("b"))), Text("c")))
    with pytest.raises(AssertionError, match=r"printed: a \+ b \* c\nmeant:   \(a \+ b\) \* c"):
        Careless({}).lines("x = ", tree)


def programs_of(spec: Spec) -> list[tuple[str, Program]]:
    found = [(name, spec.net(name).program) for name in spec.nets]
    return [(name, program) for name, program in found if program is not None]


@given(specs())
@settings(max_examples=60)
def test_generated_programs_are_printed_as_they_are_meant(text: str) -> None:
    for name, program in programs_of(Spec(Source(text, "test.net"), read_import)):
        proven_emit(program, name)


@pytest.mark.parametrize("path", sorted(SPECS.glob("*.net")), ids=lambda p: p.stem)
def test_every_net_of_the_zoo_is_printed_as_it_is_meant(path: Path) -> None:
    """It also calls no builtin that a name of the author's might hide."""
    for name, program in programs_of(Spec(load_source(path), read_import)):
        source = proven_emit(program, name)
        calls = [n.func for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call)]
        called = {f.id for f in calls if isinstance(f, ast.Name)}
        assert called & set(dir(builtins)) <= set(BUILTINS)


GRID = """
block Grid: [N, D] -> [N, D] {
  positions = param((N, D), init=normal)
  mixed = (it -> linear(D)) + positions -> permute((1, 0)) -> reshape((N, D)) -> permute((1, 0)) -> reshape((N, D))
  it * mixed
}
net Net { input rows [64, 32]
  Grid -> linear(64) -> Grid }
"""


def test_a_sum_before_a_long_chain_keeps_its_brackets() -> None:
    ((name, program),) = programs_of(Spec(Source(GRID, "test.net"), read_import))
    source = proven_emit(program, name)
    chains = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Attribute) and n.attr == "transpose"]
    assert any(isinstance(n.value, ast.BinOp) for n in chains)


def test_numbers_that_alternate_in_a_loop_are_no_truth_values() -> None:
    """`i % 2 == 1` is printed for false, true; a shift of 0, 1 is a number, which `torch.roll` demands."""
    net = netdsl.load("swin", net="Swin", dim=8, depths=[6], heads=[2], window=2, size=16, classes=3)
    assert "shift=i % 2 ==" not in net.source()
    assert "for i in range(6)" in net.source()
    assert net.module(0)(torch.randn(1, 3, 16, 16)).shape == (1, 3)


def dilations(numbers: list[int]) -> tuple[str, list[int]]:
    """The text of a chain of convolutions with these dilations, and the dilations of the module that it makes."""
    text = f"net N {{ input x [4, 256]\n  for d in {numbers} {{ conv(4, 2, dilation=d, padding=0) }} }}"
    net = Spec(Source(text, "test.net"), read_import).net("N")
    made = [m.dilation[0] for m in net.module(0).modules() if isinstance(m, torch.nn.Conv1d)]
    return proven_emit(net.checked, "N"), made


@pytest.mark.parametrize(
    ("numbers", "printed"),
    [
        ([1, 2, 4, 8], "dilation=2**i"),
        ([1, 2, 4, 8, 1, 2, 4, 8, 1], "dilation=2 ** (i % 4)"),
        ([3, 9, 27, 81, 3], "dilation=3 * 3 ** (i % 4)"),
        ([3, 6, 12, 24, 25], "dilation=3 * 2**i"),
        ([1, 2, 4], ""),
        ([2, 2, 4, 8], ""),
    ],
)
def test_numbers_that_are_multiplied_each_time_are_a_power(numbers: list[int], printed: str) -> None:
    source, made = dilations(numbers)
    assert made == numbers
    assert printed in source if printed else "**" not in source


TENSORS = """
block Decode(memory, keep=none) {{
  residual {{
    if keep {{ cross_attention(4, context=memory, mask=keep) }} else {{ cross_attention(4, context=memory) }}
  }}
}}

net Net {{
  input source [M, 16]
  input padding [M] bool
  input target [T, 16]
  {use}
}}
"""


def test_tensors_that_a_block_is_given_have_the_names_of_its_arguments() -> None:
    """In `forward`, a tensor is called as the block calls it, whatever its caller does, who may use the same word."""
    given = "(memory=source, keep=padding)"
    uses = (f"share layer = Decode\n  target -> layer{given}", f"target -> Decode{given}")
    for use in uses:
        for mask in ("keep", "padding"):
            text = TENSORS.format(use=use).replace("padding", mask)
            source = Spec(Source(text, "test.net"), read_import).net("Net").source()
            assert "def forward(self, x: Tensor, memory: Tensor, keep: Tensor) -> Tensor:" in source
            assert f"def forward(self, source: Tensor, {mask}: Tensor, target: Tensor) -> Tensor:" in source
