"""Derived constraints against brute force."""

from __future__ import annotations

import functools
import math
from typing import Any

import pytest
from generated_sizes import compute, expressions
from hypothesis import given, settings
from hypothesis import strategies as st

from netdsl.budget import Budget, Exhausted
from netdsl.sizes.constraints import (
    ASSUMED,
    IMPOSSIBLE,
    PROVED,
    Assumptions,
    AtLeast,
    AtMost,
    Relation,
    Residues,
    broken_by,
)
from netdsl.sizes.dims import Dim, evaluate, extreme, floordiv, symbol
from netdsl.sizes.interval import ANY, interval

H, W = symbol("H"), symbol("W")


def test_a_strided_conv_is_not_a_pool() -> None:
    """At stride 2 a padded 3x3 convolution gives (H + 1)//2 and a 2x2 pool H//2: they differ at odd sizes."""
    assume_ = Assumptions()
    assert (H + 1) // 2 != H // 2
    assert assume_.equal((H + 1) // 2, H // 2) == ASSUMED
    assert [str(c) for c in assume_.constraints()] == ["H % 2 == 0"]


def test_valid_and_same_convs_of_stride_2_never_agree() -> None:
    assert Assumptions().equal((H - 3) // 2 + 1, (H - 1) // 2 + 1) == IMPOSSIBLE


CHAINS = st.lists(st.tuples(st.integers(1, 7), st.integers(1, 6), st.integers(0, 3)), min_size=1, max_size=3)
TREES = expressions(st.one_of(st.just("H"), st.integers(-6, 12)))
RANGE = range(1, 250)


def through(size: Any, chain: list[tuple[int, int, int]]) -> Any:
    """A size after a chain of windows (kernel, stride, padding)."""
    for kernel, stride, padding in chain:
        size = floordiv(size + 2 * padding - kernel, stride) + 1
    return size


def kept(assumptions: Assumptions) -> set[int]:
    """The sizes at which all derived constraints hold."""
    return {h for h in RANGE if all(c.holds({"H": h}) for c in assumptions.constraints())}


def check(verdict: str, holds: set[int], before: set[int], assumptions: Assumptions) -> None:
    """A verdict against the sizes at which a fact holds, among those `before` at which all earlier facts did."""
    if verdict == PROVED:
        assert before <= holds
    elif verdict == IMPOSSIBLE:
        assert not before & holds
    else:
        assert verdict == ASSUMED
        assert kept(assumptions) == before & holds


@settings(max_examples=150)
@given(CHAINS, CHAINS, st.integers(1, 3), st.integers(-3, 3))
def test_derived_constraints_are_exact(a: Any, b: Any, factor: int, shift: int) -> None:
    """An equation of one size holds exactly where its derived constraints hold."""
    assumptions = Assumptions()
    left, right = through(H, a), factor * through(H, b) + shift
    holds = {h for h in RANGE if evaluate(left, {"H": h}) == evaluate(right, {"H": h})}
    check(assumptions.equal(left, right), holds, set(RANGE), assumptions)


@settings(max_examples=100)
@given(st.lists(st.tuples(TREES, TREES), min_size=1, max_size=2))
def test_equations_of_any_arithmetic_are_exact(pairs: Any) -> None:
    assumptions, before = Assumptions(), set(RANGE)
    for a, b in pairs:
        left, right = compute(a, {"H": H, "W": H}), compute(b, {"H": H, "W": H})
        holds = {h for h in RANGE if compute(a, {"H": h, "W": h}) == compute(b, {"H": h, "W": h})}
        verdict = assumptions.equal(left, right)
        check(verdict, holds, before, assumptions)
        before &= holds
        if verdict == IMPOSSIBLE:
            break


@settings(max_examples=100)
@given(TREES, st.integers(-5, 12), st.integers(1, 12))
def test_bounds_of_any_arithmetic_keep_what_they_say(tree: Any, minimum: int, divisor: int) -> None:
    """What is kept satisfies the bound. What satisfies it is kept, but for islands before a rising size stays there."""
    assumptions = Assumptions()
    holds = {h for h in RANGE if compute(tree, {"H": h, "W": h}) >= minimum}
    verdict = assumptions.at_least(compute(tree, {"H": H, "W": H}), minimum)
    if verdict == PROVED:
        assert holds == set(RANGE)
    elif verdict == IMPOSSIBLE:
        assert not holds
    else:
        found = kept(assumptions)
        assert found <= holds
        left_out = holds - found
        assert not left_out or not found or max(left_out) < min(found)
        assert min(found, default=0) - 1 not in holds
    assumptions.divisible(H, divisor)
    assert all(h % divisor == 0 for h in kept(assumptions))


@settings(max_examples=200)
@given(TREES, st.integers(1, 50), st.integers(1, 50))
def test_a_size_lies_in_its_interval(tree: Any, h: int, w: int) -> None:
    low, high = interval(compute(tree, {"H": H, "W": W}))
    assert low <= compute(tree, {"H": h, "W": w}) <= high


def test_intervals_without_an_end() -> None:
    infinity = float("inf")
    assert interval(12 // (H - 5)) == (-infinity, infinity)
    assert interval((H - 1) // W) == (0, infinity)
    assert interval(2 * (H // 2) * W) == (0, infinity)
    assert interval(H * W) == interval(W * H * 1) == (1, infinity)
    assert interval(3 - H * W) == (-infinity, 2)


def test_intervals() -> None:
    wanted = {H: (1, math.inf), 3 - H: (-math.inf, 2), H // 2: (0, math.inf), 7 // H: (0, 7), -7 // H: (-7, -1)}
    wanted |= {extreme("min", [H, 4 * W // W * 9]): (1, 36), (H - 3) * -W: (-math.inf, math.inf), 7 // (H - 1): ANY}
    for size, ends in wanted.items():
        assert interval(size) == ends, size


@settings(max_examples=150)
@given(CHAINS, st.integers(1, 12))
def test_least_sizes_are_exact(chain: Any, minimum: int) -> None:
    assumptions = Assumptions()
    size = through(H, chain)
    assumptions.at_least(size, minimum)
    first = next(h for h in range(1, 5000) if all(evaluate(size, {"H": k}) >= minimum for k in range(h, h + 200)))
    kept = [h for h in range(1, first + 100) if all(c.holds({"H": h}) for c in assumptions.constraints())]
    assert kept[0] == first


@settings(max_examples=60)
@given(st.lists(CHAINS, min_size=2, max_size=3), st.integers(1, 2))
def test_several_constraints_meet(chains: Any, factor: int) -> None:
    assumptions, before = Assumptions(), set(RANGE)
    for chain in chains:
        a, b = through(H, chain), factor * (H // 2)
        holds = {h for h in RANGE if evaluate(a, {"H": h}) == evaluate(b, {"H": h})}
        verdict = assumptions.equal(a, b)
        check(verdict, holds, before, assumptions)
        before &= holds
        if verdict == IMPOSSIBLE:
            break


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 39)), min_size=1, max_size=5))
def test_residues_meet_as_the_chinese_remainder_theorem_says(pairs: Any) -> None:
    assumptions, holds = Assumptions(), set(range(1, 5000))
    for modulus, residue in pairs:
        verdict = assumptions.equal((H - residue) % modulus, 0)
        holds = {h for h in holds if (h - residue) % modulus == 0}
        if verdict == IMPOSSIBLE:
            assert not holds
            return
    found = assumptions.constraints()
    assert len(found) <= 1
    assert {h for h in range(1, 5000) if all(c.holds({"H": h}) for c in found)} == holds


def summed(assumptions: Assumptions) -> list[str]:
    return [str(c) for c in assumptions.constraints()]


def pooled(size: Any, by: int, times: int = 1) -> Any:
    return size // by * times


LONG_PERIODS = [
    (range(2, 15), ["H % 360360 == 0"]),
    (range(2, 66), None),
    ((97, 89, 83, 79), ["H % 56606581 == 0"]),
    ((99991, 99989), ["H % 9998000099 == 0"]),
    ((10**9 + 7, 2**61 - 1, 10**18), None),
]


@pytest.mark.parametrize(("divisors", "wanted"), LONG_PERIODS)
def test_long_periods_are_not_enumerated(divisors: Any, wanted: list[str] | None) -> None:
    """`x + upsample(pool(x))` for each divisor: the least common multiple divides the size."""
    budget, assumptions = Budget(20_000), Assumptions()
    with budget.open():
        for d in divisors:
            assert assumptions.at_least(pooled(H, d), 1) != IMPOSSIBLE
            assert assumptions.equal(pooled(H, d, d), H) != IMPOSSIBLE
            assert assumptions.equal(pooled(H, d, d), H) == PROVED
    assert summed(assumptions) == (wanted or [f"H % {math.lcm(*divisors)} == 0"])


@pytest.mark.parametrize("levels", [1, 5, 12, 40])
def test_pools_and_enlargements_nest(levels: int) -> None:
    """`repeat n { maxpool(2) -> upsample(3) }` has a period of 2**n, which no bound of a size depends on."""
    budget, assumptions, size = Budget(), Assumptions(), H
    with budget.open():
        for _ in range(levels):
            assert assumptions.at_least(size, 2) != IMPOSSIBLE
            size = pooled(size, 2, 3)
    assert summed(assumptions) == ["H >= 2"]


@pytest.mark.parametrize("levels", [2, 5, 12])
def test_an_equation_around_nested_periods(levels: int) -> None:
    """`residual { repeat n { maxpool(2) -> upsample(3) } }` has solutions near zero only, for it grows."""
    assumptions, size = Assumptions(), H
    for _ in range(levels):
        size = pooled(size, 2, 3)
    holds = {h for h in RANGE if evaluate(size, {"H": h}) == h}
    check(assumptions.equal(size, H), holds, set(RANGE), assumptions)


@pytest.mark.parametrize("levels", [1, 2, 6, 12])
def test_an_equation_of_digits(levels: int) -> None:
    """Level on the whole, with a period of 6**n: solved digit by digit."""
    assumptions, size = Assumptions(), H
    for _ in range(levels):
        size = pooled((pooled(size + 1, 3, 3) + 1), 2, 2)
    holds = {h for h in RANGE if evaluate(size, {"H": h}) == h}
    check(assumptions.equal(size, H), holds, set(RANGE), assumptions)
    assert summed(assumptions) == ["H % 6 in (0, 4)"]


def test_what_is_not_solved_is_kept_as_it_is() -> None:
    assumptions = Assumptions()
    assert assumptions.at_least(H % 100_003, 3) == ASSUMED
    (only,) = assumptions.constraints()
    assert str(only) == "H - 100003*(H//100003) >= 3"
    assert [only.holds({"H": h}) for h in (2, 3, 100_002, 100_003)] == [False, True, True, False]


def test_residues_of_prime_periods_stay_apart() -> None:
    assumptions = Assumptions()
    for prime in (97, 89, 83):
        assert assumptions.at_least(H % prime, 1) == ASSUMED
        assert assumptions.at_least(H % prime, 1) == PROVED
    assert len(assumptions.constraints()) == 3
    assert assumptions.equal(H % 97, 0) == IMPOSSIBLE


@pytest.mark.parametrize(
    ("size", "minimum", "wanted"),
    [
        (20 - H, 3, ["H <= 17"]),
        (5 - H, 3, ["H in (1, 2)"]),
        (H // 1000, 5, ["H >= 5000"]),
        (H - H // 2, 4, ["H >= 7"]),
        (3 * H // 10 - H // 7, 4, None),
        (50 - H // 1000, 1, ["H <= 49999"]),
    ],
)
def test_bounds(size: Any, minimum: int, wanted: list[str] | None) -> None:
    assumptions = Assumptions()
    assumptions.at_least(size, minimum)
    assert wanted is None or summed(assumptions) == wanted


def test_a_range_is_given_by_its_ends() -> None:
    assumptions = Assumptions()
    assert assumptions.equal(H // 1000, 5) == ASSUMED
    assert summed(assumptions) == ["H >= 5000", "H <= 5999"]
    assert assumptions.divisible(H, 500) == ASSUMED
    assert summed(assumptions) == ["H in (5000, 5500)"]
    assert assumptions.divisible(H, 499) == IMPOSSIBLE
    contrary = Assumptions()
    assert contrary.at_least(H, 10) == ASSUMED
    assert contrary.at_least(9 - H, 0) == IMPOSSIBLE


def test_endless_terms_end_the_budget() -> None:
    size = H + W
    with Budget().open():
        for _ in range(4):
            size = size * size + 1
        with pytest.raises(Exhausted):
            functools.reduce(lambda x, _: x * x, range(100), size)


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_a_unet_needs_a_power_of_two(depth: int) -> None:
    assumptions = Assumptions()
    sizes: list[Dim] = [H]
    for _ in range(depth):
        sizes.append(sizes[-1] // 2)
    for large, small in zip(reversed(sizes[:-1]), reversed(sizes[1:]), strict=True):
        assumptions.equal(large, 2 * small)
    assert [str(c) for c in assumptions.constraints()] == [f"H % {2**depth} == 0"]


def test_sizes_of_two_names_are_tied() -> None:
    assumptions = Assumptions()
    assert assumptions.equal(H, W) == ASSUMED
    assert assumptions.equal(H // 2, W // 2) == PROVED
    assert assumptions.equal(H // 2 + 1, W // 2) == IMPOSSIBLE
    assert [str(c) for c in assumptions.constraints()] == ["H == W"]


def test_several_names_are_kept_as_relations() -> None:
    assumptions = Assumptions()
    assert assumptions.equal(H * W, 12) == ASSUMED
    assert assumptions.at_least(H - W, 3) == ASSUMED
    assert assumptions.at_least(H + W, 2) == PROVED
    assert assumptions.at_least(H * W - 1, 0) == PROVED
    assert assumptions.equal(H + W, 1) == IMPOSSIBLE
    assert assumptions.equal(-H - 2 * W, 0) == IMPOSSIBLE
    assert [str(c) for c in assumptions.constraints()] == ["H*W == 12", "H - W >= 3"]
    first, second = assumptions.constraints()
    assert first.holds({"H": 4, "W": 3})
    assert not first.holds({"H": 4, "W": 4})
    assert second.holds({"H": 6, "W": 3})
    assert not second.holds({"H": 5, "W": 3})


def test_the_later_name_is_solved_for() -> None:
    assumptions = Assumptions()
    assert assumptions.equal(W, 2 * H + 1) == ASSUMED
    assert assumptions.equal(W // 2, H) == PROVED
    assert assumptions.at_least(W, 3) == PROVED
    assert assumptions.equal(W - H, 5) == ASSUMED
    assert [str(c) for c in assumptions.constraints()] == ["H == 4", "W == 2*H + 1"]


def test_numbers_are_compared_at_once() -> None:
    assumptions = Assumptions()
    assert [assumptions.at_least(n, 5) for n in (4, 5, 6)] == [IMPOSSIBLE, PROVED, PROVED]
    assert [assumptions.equal(n, 5) for n in (4, 5)] == [IMPOSSIBLE, PROVED]
    assert assumptions.constraints() == ()
    tied = Assumptions()
    assert tied.equal(H, W) == ASSUMED
    assert [tied.at_least(H - W + n, 5) for n in (4, 5, 6)] == [IMPOSSIBLE, PROVED, PROVED]
    assert assumptions.equal(W, 5) == ASSUMED
    assert [assumptions.equal(W, n) for n in (5, 4)] == [PROVED, IMPOSSIBLE]


def test_constraints_stand_by_name() -> None:
    assumptions = Assumptions()
    for size in (W, symbol("A"), H):
        assert assumptions.at_least(size, 3) == ASSUMED
    assert summed(assumptions) == ["A >= 3", "H >= 3", "W >= 3"]


@pytest.mark.parametrize(
    ("op", "holds"), [(">", (5, 4)), (">=", (4, 4)), ("<", (4, 5)), ("<=", (4, 4)), ("==", (4, 4))]
)
def test_what_is_required_is_said_once(op: str, holds: tuple[int, int]) -> None:
    assumptions = Assumptions()
    assert assumptions.require(H, op, W, "so it is", f"H {op} W") == ASSUMED
    (only,) = assumptions.constraints()
    assert str(only) == f"H {op} W"
    assert only.holds(dict(zip("HW", holds, strict=True)))
    assert op in ("==", ">=", "<=") or not only.holds({"H": 4, "W": 4})


def test_the_least_size_leaves_residues_that_stay_apart() -> None:
    assumptions = Assumptions()
    for prime in (97, 89):
        assert assumptions.at_least(H % prime, 1) == ASSUMED
    assert assumptions.at_least(H, 97) == ASSUMED
    assert "H >= 98" in summed(assumptions)


# What is known of each of several names counts for all of them together.


def test_least_sizes_bound_a_sum_of_names() -> None:
    for minimum, verdict in ((13, PROVED), (14, ASSUMED)):
        assumptions = Assumptions()
        assert assumptions.at_least(W - H, 3) == ASSUMED
        assert assumptions.at_least(H, 5) == ASSUMED
        assert assumptions.at_least(H + W, minimum) == verdict


def test_largest_sizes_bound_a_sum_of_names() -> None:
    for minimum, verdict in ((10, PROVED), (11, ASSUMED)):
        assumptions = Assumptions()
        assert assumptions.at_least(H - W, 0) == ASSUMED
        assert assumptions.at_least(5 - H, 0) == ASSUMED
        assert assumptions.at_least(20 - H - W, minimum) == verdict


@pytest.mark.parametrize(("left", "right"), [(3 * H, W), (W, 3 * H), (3 * H - W, 0), (W - 3 * H, 0), (-W, -3 * H)])
def test_a_name_is_solved_for_on_either_side(left: Dim, right: Dim) -> None:
    assumptions = Assumptions()
    assert assumptions.equal(left, right) == ASSUMED
    assert assumptions.equal(W // 3, H) == PROVED
    assert assumptions.equal(W, 12) == ASSUMED
    assert "H == 4" in summed(assumptions)


@pytest.mark.parametrize(("op", "right"), [("==", 12), (">=", 5), (">", 4)])
def test_a_condition_takes_the_place_of_the_same_fact(op: str, right: int) -> None:
    """And of no other: `H*W == 12` is not `H*W >= 12`."""
    assumptions = Assumptions()
    assert assumptions.require(H * W, op, right, "", "as it is written") == ASSUMED
    assert summed(assumptions) == ["as it is written"]
    assert assumptions.at_least(H * W - 3 * W, 1) == ASSUMED
    assert summed(assumptions) == ["H*W - 3*W >= 1", "as it is written"]


def test_facts_are_told_apart_by_what_they_say() -> None:
    def said(*steps: tuple[str, Dim, int]) -> list[str]:
        assumptions = Assumptions()
        for op, size, number in steps:
            if op.startswith("require "):
                assert assumptions.require(size, op[8:], number, "", "as it is written") == ASSUMED
            else:
                assert (assumptions.equal if op == "==" else assumptions.at_least)(size, number) == ASSUMED
        return summed(assumptions)

    assert said((">=", H * W, 12), ("require ==", H * W, 12)) == ["H*W >= 12", "as it is written"]
    assert said(("require >=", H * W, 12), ("==", H * W, 12)) == ["H*W == 12", "as it is written"]
    assert said(("==", H * W - 12, 0), ("require ==", H * W, 12)) == ["as it is written"]
    assert said(("require ==", H * W, 12), ("==", H * W * W, 24)) == ["H*W*W == 24", "as it is written"]


def test_a_name_that_stands_on_both_sides_is_not_solved_for() -> None:
    assumptions = Assumptions()
    assert assumptions.equal(W + W // 2, H) == ASSUMED
    assert assumptions.equal(H - W, W // 2) == PROVED
    assert assumptions.equal(W, 4) == ASSUMED
    assert assumptions.equal(H, 6) == PROVED


def test_residues_are_in_order() -> None:
    assumptions = Assumptions()
    assert assumptions.equal((H % 16 - 7) // 3, 0) == ASSUMED
    assert summed(assumptions) == ["H % 16 in (7, 8, 9)"]


def test_a_fixed_size_breaks_what_a_named_one_must_hold() -> None:
    even, narrow = Residues("H", 2, (0,)), Relation(W, "<=", H)
    assert broken_by({"H": 7}, frozenset("H"), [even], []) == even
    assert broken_by({"H": 8}, frozenset("H"), [even], []) is None
    # W stands for any size: at some the relation breaks, but for those at which the fixed net does not hold either.
    assert broken_by({"H": 8}, frozenset("HW"), [even, narrow], []) == narrow
    assert broken_by({"H": 8}, frozenset("HW"), [even, narrow], [AtMost("W", 8)]) is None
    assert broken_by({"H": 8}, frozenset("HW"), [narrow], [AtLeast("W", 300)]) is None


def test_a_bound_of_a_sum_that_follows_from_those_of_its_names_is_not_said() -> None:
    for least, said in ((5, ["H >= 5", "W >= 5"]), (4, ["H >= 4", "W >= 5", "H + W >= 10"])):
        assume_ = Assumptions()
        assert assume_.at_least(H + W, 10) == ASSUMED
        assert assume_.at_least(W, 5) == assume_.at_least(H, least) == ASSUMED
        assert [str(c) for c in assume_.constraints()] == said


@pytest.mark.parametrize(("least", "verdict"), [(5, ASSUMED), (6, IMPOSSIBLE)])
def test_names_whose_ranges_are_apart_are_never_equal(least: int, verdict: str) -> None:
    assume_ = Assumptions()
    assert assume_.at_least(H, least) == assume_.at_least(5 - W, 0) == ASSUMED
    assert assume_.equal(H, W) == verdict


def test_sums_at_their_least() -> None:
    assert Assumptions().equal(2 - H - W, 0) == Assumptions().equal(H + W, 2) == ASSUMED
    assert Assumptions().equal(1 - H - W, 0) == Assumptions().equal(H + W, 1) == IMPOSSIBLE


@pytest.mark.parametrize(("left", "right"), [(1, H), (H, 1), (2, 2 * H), (3 * H, 3)])
def test_what_differs_from_the_least_size_is_larger(left: Dim, right: Dim) -> None:
    assume_ = Assumptions()
    assert assume_.require(left, "!=", right, "", "") == ASSUMED
    assert assume_.constraints() == (AtLeast("H", 2),)


def test_a_size_that_may_be_smaller_or_larger_is_only_another() -> None:
    assume_ = Assumptions()
    assert assume_.require(2, "!=", H, "", "2 != H") == ASSUMED
    assert kept(assume_) == {*RANGE} - {2}
