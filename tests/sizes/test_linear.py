"""Contradictions between several facts, against brute force."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from generated_sizes import compute, expressions
from hypothesis import given, settings
from hypothesis import strategies as st

from netdsl.budget import Budget
from netdsl.sizes.constraints import ASSUMED, IMPOSSIBLE, PROVED, Assumptions
from netdsl.sizes.dims import evaluate, extreme, symbol
from netdsl.sizes.linear import MOST_ROWS, contradictory

H, W, C = symbol("H"), symbol("W"), symbol("C")
NAMES = (H, W, C)


@given(st.lists(st.tuples(*[st.integers(-3, 3)] * 3, st.integers(-9, 9)), min_size=1, max_size=6))
def test_linear_facts_contradict_each_other_only_where_nothing_satisfies_them(rows: Any) -> None:
    facts = [sum((a * n for a, n in zip(row, NAMES, strict=False)), row[3]) for row in rows]
    if contradictory(facts):
        for values in itertools.product(range(1, 13), repeat=3):
            at = dict(zip("HWC", values, strict=True))
            assert not all(evaluate(f, at) >= 0 for f in facts)


@given(st.lists(st.tuples(st.permutations("HWC"), st.integers(-6, 6)), min_size=1, max_size=6))
def test_distances_that_cannot_be_are_all_found(pairs: Any) -> None:
    """Facts `a >= b + n` have a solution just where no cycle of them adds up to more than 0 (and sizes have no top)."""
    facts = [symbol(a) - symbol(b) - n for (a, b, _), n in pairs]
    least = dict.fromkeys("HWC", 1)
    for _ in range(4):  # Bellman and Ford
        for (a, b, _), n in pairs:
            least[a] = max(least[a], least[b] + n)
    solved = all(least[a] >= least[b] + n for (a, b, _), n in pairs)
    assert contradictory(facts) == (not solved)


@settings(max_examples=60)
@given(st.lists(expressions(st.one_of(st.sampled_from("HW"), st.integers(-6, 12))), min_size=1, max_size=4))
def test_facts_of_any_arithmetic_contradict_each_other_only_where_nothing_satisfies_them(trees: Any) -> None:
    if contradictory([compute(tree, {"H": H, "W": W}) for tree in trees]):
        for h, w in itertools.product(range(1, 20), repeat=2):
            assert not all(compute(tree, {"H": h, "W": w}) >= 0 for tree in trees)


FOUND = [
    [H - W - 1, W - H - 1],
    [2 * H - 2 * W - 1, 2 * W + 1 - 2 * H],
    [H // 2 - W, W - H - 1],
    [H - 4, W - 2 * (H // 2), 3 - W],
    [H * W - 9, 8 - H * W],
    [extreme("max", [H, W]) - 9, 8 - H, 8 - W, 5 - extreme("max", [H, W])],
    [5 - extreme("max", [H, W]), H - 6],
    [extreme("min", [H, W]) - 6, 5 - H],
    [H // 2 - W, W - H],
    [12 // H - 13],
    [n - H for n in range(MOST_ROWS - 1)],
    [-H],
    [-1],
]
OPEN = [[], [H], [0], [H - W - 1, W + 5 - H], [extreme("max", [H, W]) - 6, 5 - H], [H - W, W - H]]


@pytest.mark.parametrize("facts", FOUND)
def test_what_can_never_be_together(facts: Any) -> None:
    assert contradictory(facts)


@pytest.mark.parametrize("facts", OPEN)
def test_what_may_be_together(facts: Any) -> None:
    assert not contradictory(facts)


def test_many_facts_end() -> None:
    """The rows multiply with each term that goes; what would take too many is left open."""
    half = [sum((f * n for f, n in zip(row, NAMES, strict=True)), 0) for i in range(20)
            for row in ((i + 1, -i - 2, 1), (-i - 1, 2 * i + 3, -2))]  # fmt: skip
    assert not contradictory(half)
    many = [sum(((-1) ** (i >> j) * (j + 1 + i % 3) * symbol(f"N{j}") for j in range(9)), -i) for i in range(MOST_ROWS)]
    budget = Budget()
    with budget.open():
        left = budget.left
        assert not contradictory(many)
        assert left - budget.left < 50_000


def test_facts_over_several_names_meet() -> None:
    assume = Assumptions()
    assert assume.at_least(H - W, 1) == ASSUMED
    assert assume.at_least(W - C, 1) == ASSUMED
    assert assume.at_least(H - C, 2) == PROVED
    assert assume.at_least(H - C, 3) == ASSUMED
    assert assume.at_least(C - H, 0) == IMPOSSIBLE
    tried = Assumptions()
    assert tried.at_least(H - 2 * W, 0) == ASSUMED
    assert tried.at_least(9 - H, 0) == ASSUMED
    assert tried.at_least(W, 5) == IMPOSSIBLE
