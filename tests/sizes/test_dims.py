"""Symbolic sizes against plain integers: values, text, names and equality."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from generated_sizes import compute, expressions
from hypothesis import assume, given
from hypothesis import strategies as st

from netdsl.budget import Budget
from netdsl.sizes.dims import Dim, Size, evaluate, extreme, floordiv, product, substitute, symbol, symbols

H, W = symbol("H"), symbol("W")
NAMES = {"H": H, "W": W}
Values = dict[str, int]

TREES = expressions(st.one_of(st.sampled_from(["H", "W"]), st.integers(-6, 12)))
SIZES = st.fixed_dictionaries({"H": st.integers(1, 60), "W": st.integers(1, 60)})


@given(TREES, SIZES)
def test_a_size_is_worth_what_its_arithmetic_is(tree: Any, values: Values) -> None:
    assert evaluate(compute(tree, NAMES), values) == compute(tree, values)


@given(TREES, SIZES)
def test_the_text_of_a_size_is_python_for_it(tree: Any, values: Values) -> None:
    size = compute(tree, NAMES)
    assert eval(str(size), {"max": max, "min": min}, dict(values)) == evaluate(size, values)


@given(TREES, SIZES)
def test_substitution_is_evaluation(tree: Any, values: Values) -> None:
    size = compute(tree, NAMES)
    assert substitute(size, dict(values)) == evaluate(size, values)
    partly = substitute(size, {"H": values["H"]})
    assert "H" not in symbols(partly)
    assert evaluate(partly, {"W": values["W"]}) == evaluate(size, values)
    renamed = substitute(size, {"H": symbol("N") + 1})
    assert evaluate(renamed, {"N": values["H"] - 1, "W": values["W"]}) == evaluate(size, values)


@given(TREES, SIZES)
def test_a_size_speaks_of_the_names_it_needs_and_no_others(tree: Any, values: Values) -> None:
    size = compute(tree, NAMES)
    names = symbols(size)
    assert names <= {"H", "W"}
    evaluate(size, {n: values[n] for n in names})
    for name in names:
        with pytest.raises(KeyError):
            evaluate(size, {n: values[n] for n in names - {name}})


@given(TREES, TREES, TREES, SIZES)
def test_the_laws_of_a_ring_hold_for_values_of_sizes(a: Any, b: Any, c: Any, values: Values) -> None:
    x, y, z = (compute(t, NAMES) for t in (a, b, c))
    for left, right in [
        (x + y, y + x),
        (x * y, y * x),
        ((x + y) + z, x + (y + z)),
        ((x * y) * z, x * (y * z)),
        (x * (y + z), x * y + x * z),
        (x - y, -(y - x)),
        (x + 0, x),
        (x * 1, x),
        (x - x, 0),
        (extreme("max", [x, y]), extreme("max", [y, x])),
        (product([x, y, z]), x * y * z),
    ]:
        assert left == right
        assert hash(left) == hash(right)
        assert evaluate(left, values) == evaluate(right, values)


@given(TREES, st.integers(2, 40), st.integers(1, 12), st.integers(-50, 50))
def test_the_laws_of_division_hold_for_values_of_sizes(tree: Any, d: int, e: int, k: int) -> None:
    x = compute(tree, NAMES)
    assert (x + k * d) // d == x // d + k
    assert -x // -d == x // d
    assert d * (x // d) + x % d == x
    assert (d * x) // d == x
    assert (d * e * x + k) // d == e * x + k // d
    assert (e * x + e * k) // (e * d) == (x + k) // d


@pytest.mark.parametrize("size", [H, H * W, H + W, 3 * H, H // 2, 2 * H + 5 * W, -H])
def test_a_size_divides_itself(size: Size) -> None:
    assert size // size == 1
    assert size % size == 0
    assert 0 // size == 0
    if len(size.terms) == 1:
        assert (size * W) // size == W
        assert (size * 7 * W) // (size * 2) == 7 * W // 2


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ((H + 2 * 1 - 3) // 2 + 1, (H - 1) // 2 + 1),
        ((H - 1) // 2 + 1, (H + 1) // 2),
        ((H // 2) // 2, H // 4),
        (((H + 1) // 2 + 1) // 2, (H + 3) // 4),
        ((2 * H + 4) // 4, (H + 2) // 2),
        ((H * W) // W, H),
        (3 * H // 2, H + H // 2),
        (H * W, W * H),
    ],
)
def test_equal_sizes_are_equal_values(left: Dim, right: Dim) -> None:
    assert left == right
    assert hash(left) == hash(right)


@pytest.mark.parametrize("divisor", [*range(-8, 0), *range(1, 13), 97])
def test_linear_quotients_by_brute_force(divisor: int) -> None:
    for coefficient, constant in itertools.product(range(-5, 12), range(-7, 8)):
        size = (coefficient * H + constant) // divisor
        for h in range(1, 15):
            assert evaluate(size, {"H": h}) == (coefficient * h + constant) // divisor


def test_nothing_is_divided_by_zero() -> None:
    for left in (H, 5 * H + 1):
        with pytest.raises(ZeroDivisionError):
            floordiv(left, 0)
    assert 7 % H == 7 - H * (7 // H)
    assert [evaluate(7 % H, {"H": h}) for h in range(1, 10)] == [7 % h for h in range(1, 10)]
    assert [evaluate(7 // (H - 5), {"H": h}) for h in range(1, 5)] == [7 // (h - 5) for h in range(1, 5)]


def test_a_size_grows_in_proportion_to_the_net() -> None:
    """Each pool and enlargement would double the text if a long factor were written in and beside the floor."""
    lengths = []
    for levels in (20, 40):
        size: Any = H
        for _ in range(levels):
            size = 3 * (size // 2)
        lengths.append(len(str(size)))
    assert lengths[1] < 3 * lengths[0] < 10_000
    assert [evaluate(size, {"H": h}) for h in (1, 2, 5, 1000)] == [_levels(h, 40) for h in (1, 2, 5, 1000)]


def _levels(size: int, levels: int) -> int:
    for _ in range(levels):
        size = 3 * (size // 2)
    return size


@given(st.lists(TREES, min_size=1, max_size=4), SIZES)
def test_extremes_are_of_all_sizes(trees: Any, values: Values) -> None:
    sizes = [compute(t, NAMES) for t in trees]
    for kind, plain in (("max", max), ("min", min)):
        assert evaluate(extreme(kind, sizes), values) == plain(compute(t, values) for t in trees)


def test_extremes_that_are_known_are_decided() -> None:
    assert extreme("max", [H, H + 1, H - 1]) == H + 1
    assert extreme("min", [H, H + 1, H - 1]) == H - 1
    assert extreme("max", [3, 7]) == 7
    assert str(extreme("max", [W, H, H + 1])) == "max(H + 1, W)"


@given(TREES, TREES)
def test_sizes_are_equal_just_where_their_texts_are(a: Any, b: Any) -> None:
    x, y = compute(a, NAMES), compute(b, NAMES)
    assume(isinstance(x, Size) and isinstance(y, Size))
    assert (x == y) == (str(x) == str(y))
    assert repr(x) == str(x)


def test_a_sum_is_divided_by_a_size_only_where_every_term_is() -> None:
    for size, plain in (
        ((H + W) // H, lambda h, w: (h + w) // h),
        ((H * W + H) // H, lambda h, w: w + 1),
        ((H * W + 5 * W) // (2 * W), lambda h, w: (h * w + 5 * w) // (2 * w)),
    ):
        for h, w in itertools.product(range(1, 8), repeat=2):
            assert evaluate(size, {"H": h, "W": w}) == plain(h, w)
    assert str((H * W + H) // H) == "W + 1"


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (H // 2, "H//2"),
        (3 * (H // 2), "3*(H//2)"),
        (H * (W // 2), "H*(W//2)"),
        (-(H // 2), "-(H//2)"),
        (-H, "-H"),
        (2 - H, "-H + 2"),
        (H - W, "H - W"),
        ((H + 1) // 2, "(H + 1)//2"),
        (H // (W + 1), "H//(W + 1)"),
        (H * H + H, "H*H + H"),
    ],
)
def test_brackets_stand_only_where_they_are_needed(size: Size, text: str) -> None:
    assert str(size) == text


@pytest.mark.parametrize(("length", "terms"), [(80, 2), (81, 1)])
def test_a_factor_is_written_twice_up_to_a_length(length: int, terms: int) -> None:
    assert len((3 * symbol("a" * length) // 2).terms) == terms


def test_what_arithmetic_costs() -> None:
    def cost(work: Callable[[], object]) -> int:
        budget = Budget(10_000)
        with budget.open():
            work()
        return 10_000 - budget.left

    narrow, wide = (cost(lambda n=n: product([1 << n, 1 << n, 1 << n])) for n in (300, 4_000))
    assert narrow == 0 < wide
    assert cost(lambda: (H + W) * (H * W + 1)) > cost(lambda: (H + W) * (H + 1))
