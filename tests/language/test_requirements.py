"""`require` over named sizes: proved, a constraint with its message, or refused."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.sizes.axis import IMPOSSIBLE
from netdsl.sizes.constraints import Assumptions, Required
from netdsl.sizes.dims import evaluate, symbol
from netdsl.sizes.stated import broken
from netdsl.source import Source
from netdsl.verify.sizes import choose


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
    ("require H > W", "require H < W, 'odd'"),
    ("require H > W + 2", "require H // 2 < W // 2, 'odd'"),
    ("require H >= 2 * W", "require H <= 9", "require W > 4, 'odd'"),
    ("require H != 3", "require H == 3, 'odd'"),
    ("require H != W", "require H == W, 'odd'"),
    ("require H == W", "require H != W, 'odd'"),
    ("require H > W or H < W", "require H == W, 'odd'"),
    ("require H == 3 or H == 4", "require H >= 5, 'odd'"),
    ("require H in (3, 4)", "require H in (5, 6), 'odd'"),
    ("require max(H, W) < 5", "require H > 6, 'odd'"),
    ("require H == 0 or W == 0, 'odd'",),
    ("require not H, 'odd'",),
]


@pytest.mark.parametrize("lines", REFUSED)
def test_what_can_never_hold_is_refused_with_its_message(lines: tuple[str, ...]) -> None:
    (found,) = net(*lines, "relu").diagnostics
    assert (found.code, found.message) == ("requirement", "odd")


CONDITIONS = [
    ("require H == 3 or W == 3", ["H == 3 or W == 3"]),
    ("require H != 3", ["H != 3"]),
    ("require H != 1", ["H >= 2"]),
    ("require H % 4 != 0", ["H % 4 != 0"]),
    ("require H", []),
    ("require W % 2", ["W % 2 != 0"]),
    ("require H in (32, 64)", ["H == 32 or H == 64"]),
    ("require H not in (32, W)", ["H != 32", "H != W"]),
    ("require not (H == 3 or W == 4)", ["H != 3", "W != 4"]),
    ("require not (1 < H < 9)", ["H <= 1 or H >= 9"]),
    ("require not H > 3", ["H in (1, 2, 3)"]),
    ("require H == 3 or H == 0", ["H == 3"]),
    ("require H == 3 or 2 > 1", []),
    ("require H == 32 or H == 64 and W % 2 == 0", ["H == 32 or H == 64 and W % 2 == 0"]),
    ("require (H == 2 or H == 3) and (W == 2 or W == H)", [
        "H == 2 and W == 2 or H == 2 and W == H or H == 3 and W == 2 or H == 3 and W == H"]),
    ("require H > W\n require 2 * H >= 2 * W", ["H > W"]),
    ("require H != W\n require H >= W", ["H != W", "H >= W"]),
]  # fmt: skip


@pytest.mark.parametrize(("line", "wanted"), CONDITIONS)
def test_a_condition_of_any_form_is_kept(line: str, wanted: list[str]) -> None:
    """Nothing that a `require` says is dropped, but for what follows from the rest."""
    assert constraints(line, "relu") == wanted


def test_the_cases_of_a_condition_are_limited() -> None:
    line = "require " + " and ".join(f"(H != {n} or W != {n + 1})" for n in range(2, 9))
    (found,) = net(line, "relu").diagnostics
    assert (found.code, found.message) == ("undecided", "more than 64 cases to distinguish")


def test_an_if_must_be_decided() -> None:
    assert [d.code for d in net("if H == 3 { relu }").diagnostics] == ["undecided"]


def test_choices_are_tested_by_the_emitted_module_and_read_again_from_text() -> None:
    made = net("require H == 4 or H == 6 and W != 5, 'four or six'", "require W != 9 or H == 4", "relu")
    module, texts = made.module(seed=0), [str(c) for c in made.checked.constraints]
    for h, w in itertools.product((3, 4, 5, 6), (4, 5, 9)):
        holds = (h == 4 or (h == 6 and w != 5)) and (w != 9 or h == 4)
        assert (broken(texts, {"H": h, "W": w}) == []) == holds
        if holds:
            assert module(torch.zeros(1, 3, h, w)).shape == (1, 3, h, w)
        else:
            with pytest.raises(ValueError, match=rf"A(: four or six \(| )needs .*, found H={h}, W={w}"):
                module(torch.zeros(1, 3, h, w))
    assert all(all(c.holds(at.named) for c in made.checked.constraints) for at in choose(made.checked))


FACTS = st.tuples(
    st.sampled_from(("H", "W", "H + W", "H - W", "2*H", "H*W")),
    st.sampled_from(("==", "!=", ">=", "<=", ">", "<", "%2", "%3")),
    st.integers(0, 12),
)
SIZES = {"H": symbol("H"), "W": symbol("W")}
HOLDS = {
    "==": operator.eq, "!=": operator.ne, ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt,
}  # fmt: skip


def stated(text: str, op: str, number: int) -> tuple[Required, Callable[[dict[str, int]], bool]]:
    """A fact, and whether it holds at given sizes."""
    size, modulus = eval(text, {}, SIZES), int(op[1:]) if op.startswith("%") else 0
    if modulus:
        fact = Required(size % modulus, "==", number % modulus, "", f"{text} {op} {number}")
        return fact, lambda at: evaluate(size, at) % modulus == number % modulus
    return Required(size, op, number, "", f"{text} {op} {number}"), lambda at: HOLDS[op](evaluate(size, at), number)


@given(st.lists(st.lists(st.lists(FACTS, min_size=1, max_size=2), min_size=1, max_size=3), min_size=1, max_size=5))
def test_requirements_are_refused_only_where_no_sizes_satisfy_them(wanted: list[Any]) -> None:
    """Each is one of several options, each of which is several facts. Checked against all sizes up to 30."""
    assume, asked, verdict = Assumptions(), [], ""
    for options in wanted:
        made = [[stated(*fact) for fact in option] for option in options]
        asked.append([[holds for _, holds in option] for option in made])
        verdict = assume.require_one([[fact for fact, _ in option] for option in made], "")
        if verdict == IMPOSSIBLE:
            break
    for h, w in itertools.product(range(1, 31), repeat=2):
        at = {"H": h, "W": w}
        holds = all(any(all(fact(at) for fact in option) for option in options) for options in asked)
        if verdict == IMPOSSIBLE:
            assert not holds, at
        else:
            assert all(c.holds(at) for c in assume.constraints()) == holds, at
