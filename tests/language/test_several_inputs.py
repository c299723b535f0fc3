"""After several inputs nothing flows: every construct that stands there is refused in words, or does without."""

from __future__ import annotations

from itertools import product

import pytest

from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source

BLOCKS = """
block Plain(c=8) { linear(c) }
block Signed(c=8): [C] -> [c] { linear(c) }
block Given(f) { f -> relu }
block Empty { }
"""

CONSTRUCTS = (
    "relu", "it", "linear(8)", "add(x, z)", "concat(x, z)", "x -> relu", "x + z", "it + x", "-it", "it + 1",
    "param((8,))", "f", "Plain", "Signed", "Given(x)", "Given(f)", "Empty", "Empty()",
    "residual { linear(8) }", "residual { x -> linear(8) }", "residual(when=false) { linear(8) }",
    "residual(shortcut=x) { x }", "{ relu }", "{ x -> relu }", "{ }", "{ a: linear(8) }", "add(x, a: linear(8))",
    "{ a: relu } -> relu", "{ y = it }", "x -> Plain -> Given(it)",
)  # fmt: skip

PLACES = (
    "{}", "y = {}", "y = x\n{}", "l: {}", "l: repeat 2 {{ {} }}", "repeat 2 {{ {} }}", "l: for i in [1, 2] {{ {} }}",
    "l: repeat 2 {{ residual {{ {} }} }}", "if true {{ {} }}", "l: {{ {} }}", "output o = {}", "l: {{ output o = {} }}",
    "y: {{ {} }}\nx -> linear(8)", "y = [{}]\nx", "k: m: {}", "l: repeat 0 {{ {} }}", "l: repeat 2 {{ }}\n{}",
    "l: {{ m: repeat 2 {{ {} }} }}", "y = x -> Given({{ {} }})", "x\n{}", "output o = {} when training",
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_what_follows_several_inputs_never_breaks_the_compiler(place: str) -> None:
    begin = "input x [8]\ninput z [8]\nshare f = linear(8)"
    bodies = [place.format(c) + end for c, end in product(CONSTRUCTS, ("", "\nx -> linear(8)"))]
    nets = [f"net N{i} {{\n{begin}\n{body}\n}}\n" for i, body in enumerate(bodies)]
    found = Spec(Source(BLOCKS + "".join(nets), "n.net"), read_import).diagnostics
    assert {d.code for d in found if d.code == "syntax"} == set(), found[0]
    assert {d.code for d in found}.isdisjoint(("syntax", "internal", "too-deep", "too-much-work"))
