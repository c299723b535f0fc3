"""`require` over named sizes: proved, a constraint with its message, or refused."""

from __future__ import annotations

import itertools
import operator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.sizes.axis import IMPOSSIBLE
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import evaluate, symbol
from netdsl.sizes.stated import broken
from netdsl.source import Source


def net(*lines: str, inputs: str = "input x [3, H, W]") -> Net:
    text = f"net A {{\n  {inputs}\n  " + "\n  ".join(lines) + "\n}\n"
    return Spec(Source(text, "requirements.net"), read_import).net("A")


def constraints(*lines: str, inputs: str = "input x [3, H, W]") -> list[str]:
    return [str(c) for c in net(*lines, inputs=inputs).checked.constraints]


def test_what_is_open_becomes_a_constraint() -> None:
    assert constraints("require H % 4 == 0, 'tiles'", "relu") == ["H % 4 == 0"]
    assert constraints("require H == W", "relu") == ["H == W"]
    assert constraints("require 3 <= H < 2 * W", "relu") == ["H >= 3", "H < 2*W"]
    assert constraints("require H % 2 == 0 and W % 2 == 0", "relu") == ["H % 2 == 0", "W % 2 == 0"]
    assert constraints("require H >= 1", "relu") == []


def test_a_constraint_is_read_again_from_its_text() -> None:
    texts = constraints("require H < 2 * W", "require H > 2", "require W % 4 == 0 and H <= 40", "relu")
    assert broken(texts, {"H": 7, "W": 4}) == []
    assert broken(texts, {"H": 8, "W": 4}) == ["H < 2*W"]
    assert broken(texts, {"H": 2, "W": 6}) == ["H >= 3", "W % 4 == 0"]


def test_a_length_of_a_table_is_a_bound() -> None:
    lines = ("p = param((1024, 8))", "it + (p -> narrow(0, L))")
    assert constraints(*lines, inputs="input x [L, 8]") == ["L <= 1024"]


def test_the_message_stands_in_the_emitted_module() -> None:
    lines = ("p = param((64, 8))", 'require L <= 64, "too long"', "it + (p -> narrow(0, L))")
    module = net(*lines, inputs="input x [L, 8]").module(seed=0)
    module(torch.zeros(2, 64, 8))
    with pytest.raises(ValueError, match=r"A: too long \(needs L <= 64\), found L=65"):
        module(torch.zeros(2, 65, 8))


REFUSED = [
    ("require H % 2 == 0", "require H % 2 == 1, 'odd'"),
    ("require H == W", "require H % 2 == 0", "require W % 2 == 1, 'odd'"),
    ("require H % 2 == 0", "require W % 2 == 1", "require H == W, 'odd'"),
    ("require H % 2 == 0", "require W % 2 == 1", "require H + W == 20, 'odd'"),
    ("require H >= 10", "require W >= 11", "require H + W == 20, 'odd'"),
    ("require H <= 10", "require H > W + 9, 'odd'"),
    ("require H <= W", "require W <= 10", "require H >= 11, 'odd'"),
    ("require H < 1, 'odd'",),
]


@pytest.mark.parametrize("lines", REFUSED)
def test_what_can_never_hold_is_refused_with_its_message(lines: tuple[str, ...]) -> None:
    (found,) = net(*lines, "relu").diagnostics
    assert (found.code, found.message) == ("requirement", "odd")


def test_other_conditions_must_be_decided() -> None:
    assert [d.code for d in net("require H == 3 or W == 3", "relu").diagnostics] == ["undecided"]
    assert [d.code for d in net("if H == 3 { relu }").diagnostics] == ["undecided"]


FACTS = st.tuples(
    st.sampled_from(("H", "W", "H + W", "H - W", "2*H", "H*W")),
    st.sampled_from(("==", ">=", "<=", "%2", "%3")),
    st.integers(0, 12),
)
SIZES = {"H": symbol("H"), "W": symbol("W")}
HOLDS = {"==": operator.eq, ">=": operator.ge, "<=": operator.le}


@given(st.lists(FACTS, min_size=1, max_size=5))
def test_facts_are_refused_only_where_no_sizes_satisfy_them(facts: list[tuple[str, str, int]]) -> None:
    """Checked against all sizes up to 30."""
    assume = Assumptions()
    possible = True
    kept = []
    for text, op, number in facts:
        size = eval(text, {}, SIZES)
        if op.startswith("%"):
            modulus = int(op[1:])
            verdict = assume.require(size % modulus, "==", number % modulus, "", f"{text} {op} {number}")
            kept.append((size, lambda a, m=modulus, n=number: a % m == n % m))
        else:
            verdict = assume.require(size, op, number, "", f"{text} {op} {number}")
            kept.append((size, lambda a, f=HOLDS[op], n=number: f(a, n)))
        if verdict == IMPOSSIBLE:
            possible = False
            break
    found = [
        {"H": h, "W": w}
        for h, w in itertools.product(range(1, 31), repeat=2)
        if all(f(evaluate(s, {"H": h, "W": w})) for s, f in kept)
    ]
    assert possible or not found, (facts, found[:1])
    if possible:
        for h, w in itertools.product(range(1, 31), repeat=2):
            sizes = {"H": h, "W": w}
            assert all(c.holds(sizes) for c in assume.constraints()) == (sizes in found)
