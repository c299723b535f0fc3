"""Symbolic sizes against plain integers, and derived constraints against brute force."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from netdsl.sizes.constraints import ASSUMED, IMPOSSIBLE, PROVED, Assumptions
from netdsl.sizes.dims import Dim, evaluate, extreme, floordiv, substitute, symbol, symbols

H, W = symbol("H"), symbol("W")
Values = dict[str, int]


def expressions(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Trees of arithmetic: ("+", left, right), ("//", left, 3), ..."""
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(st.sampled_from(["+", "-", "*", "max", "min"]), inner, inner),
            st.tuples(st.sampled_from(["//", "%"]), inner, st.integers(1, 7)),
        ),
        max_leaves=8,
    )


def compute(tree: Any, names: dict[str, Any]) -> Any:
    """The value of a tree, with sizes or with integers for names."""
    if not isinstance(tree, tuple):
        return names.get(tree, tree)
    op, a, b = tree[0], compute(tree[1], names), compute(tree[2], names)
    if op in ("max", "min"):
        return extreme(op, [a, b])
    return {"+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "//": lambda: a // b, "%": lambda: a % b}[op]()


TREES = expressions(st.one_of(st.sampled_from(["H", "W"]), st.integers(-6, 12)))
SIZES = st.fixed_dictionaries({"H": st.integers(1, 60), "W": st.integers(1, 60)})


@given(TREES, SIZES)
def test_a_size_is_worth_what_its_arithmetic_is(tree: Any, values: Values) -> None:
    size = compute(tree, {"H": H, "W": W})
    assert evaluate(size, values) == compute(tree, values)


@given(TREES, SIZES)
def test_substitution_is_evaluation(tree: Any, values: Values) -> None:
    size = compute(tree, {"H": H, "W": W})
    assert substitute(size, dict(values)) == evaluate(size, values)
    assert symbols(size) <= {"H", "W"}


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


def test_a_strided_conv_is_not_a_pool() -> None:
    """At stride 2 a padded 3x3 convolution gives (H + 1)//2 and a 2x2 pool H//2: they differ at odd sizes."""
    assume_ = Assumptions()
    assert (H + 1) // 2 != H // 2
    assert assume_.equal((H + 1) // 2, H // 2) == ASSUMED
    assert [str(c) for c in assume_.constraints()] == ["H % 2 == 0"]


def test_valid_and_same_convs_of_stride_2_never_agree() -> None:
    assert Assumptions().equal((H - 3) // 2 + 1, (H - 1) // 2 + 1) == IMPOSSIBLE


CHAINS = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(0, 2)), min_size=1, max_size=3)


def through(size: Any, chain: list[tuple[int, int, int]]) -> Any:
    """A size after a chain of windows (kernel, stride, padding)."""
    for kernel, stride, padding in chain:
        size = floordiv(size + 2 * padding - kernel, stride) + 1
    return size


@settings(max_examples=150)
@given(CHAINS, CHAINS, st.integers(1, 3), st.integers(-3, 3))
def test_derived_constraints_are_exact(a: Any, b: Any, factor: int, shift: int) -> None:
    """An equation of one size holds exactly where its derived constraints hold."""
    assumptions = Assumptions()
    left, right = through(H, a), factor * through(H, b) + shift
    verdict = assumptions.equal(left, right)
    holds = {h for h in range(1, 600) if evaluate(left, {"H": h}) == evaluate(right, {"H": h})}
    if verdict == PROVED:
        assert holds == set(range(1, 600))
    elif verdict == IMPOSSIBLE:
        assert not holds
    else:
        kept = {h for h in range(1, 600) if all(c.holds({"H": h}) for c in assumptions.constraints())}
        assert kept == holds


@settings(max_examples=150)
@given(CHAINS, st.integers(1, 12))
def test_least_sizes_are_exact(chain: Any, minimum: int) -> None:
    assumptions = Assumptions()
    size = through(H, chain)
    assumptions.at_least(size, minimum)
    first = next(h for h in range(1, 5000) if all(evaluate(size, {"H": k}) >= minimum for k in range(h, h + 200)))
    kept = [h for h in range(1, first + 100) if all(c.holds({"H": h}) for c in assumptions.constraints())]
    assert kept[0] == first


@settings(max_examples=60, suppress_health_check=[HealthCheck.filter_too_much])
@given(st.lists(CHAINS, min_size=2, max_size=3), st.integers(1, 2))
def test_several_constraints_meet(chains: Any, factor: int) -> None:
    assumptions = Assumptions()
    wanted = [(through(H, c), factor * (H // 2)) for c in chains]
    verdicts = [assumptions.equal(a, b) for a, b in wanted]
    assume(IMPOSSIBLE not in verdicts)
    for h in range(1, 400):
        holds = all(evaluate(a, {"H": h}) == evaluate(b, {"H": h}) for a, b in wanted)
        assert holds == all(c.holds({"H": h}) for c in assumptions.constraints())


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
