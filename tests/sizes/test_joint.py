"""Facts over several named sizes: what cannot be is refused, and nothing that can be."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netdsl.sizes.axis import Axis
from netdsl.sizes.dims import Dim, evaluate, symbol, symbols
from netdsl.sizes.joint import MOST_MODULUS, can_vanish, reachable
from netdsl.sizes.solve import Classes, Range, Values

H, W, D = symbol("H"), symbol("W"), symbol("D")


def axis(*facts: Classes | Range | Values) -> Axis:
    made = Axis()
    for fact in facts:
        made.meet(fact)
    return made


def rest(modulus: int, *residues: int) -> Classes:
    return Classes(modulus, frozenset(residues))


EVEN, ODD = axis(rest(2, 0)), axis(rest(2, 1))
CASES: list[tuple[Dim, dict[str, Axis], bool]] = [
    (H - W, {"H": EVEN, "W": ODD}, False),
    (H - W, {"H": EVEN, "W": EVEN}, True),
    (H - W, {"H": EVEN}, True),
    (H - W, {}, True),
    (H * W - 3, {"H": EVEN}, False),
    (H * W - 4, {"H": EVEN}, True),
    (2 * H - W, {"W": ODD}, False),
    (2 * H - W + 1, {"W": ODD}, True),
    (H + W - 7, {"H": axis(rest(6, 2, 4)), "W": axis(rest(4, 0, 2))}, False),
    (H - W, {"H": axis(Values(frozenset({3, 5}))), "W": EVEN}, False),
    (H - W, {"H": axis(Values(frozenset({3, 6}))), "W": EVEN}, True),
    (H - W, {"H": axis(rest(3, 0)), "W": axis(rest(5, 1))}, True),
    (H // 2 - W, {"H": axis(rest(4, 0)), "W": ODD}, True),  # no polynomial: it is not examined
    (H - W, {"H": axis(rest(MOST_MODULUS, 0)), "W": axis(rest(MOST_MODULUS, 1))}, False),
    (H - W, {"H": axis(rest(MOST_MODULUS + 1, 0)), "W": axis(rest(MOST_MODULUS + 1, 1))}, True),  # nor a long period
    (3 * H + 2 * W - 2 * D - 1, {n: axis(rest(66, *range(0, 66, 2))) for n in "HWD"}, True),  # nor many combinations
    (H - W, {"H": axis(Range(5, None)), "W": axis(Range(1, 4))}, False),
    (2 * H - 2 * W - 1, {}, False),
    (6 * H - 4 * W - 2, {}, True),
    (4 * (H // 3) - 2 * W * W - 1, {}, False),
    (H - W, {"H": axis(Range(5, None)), "W": axis(Range(1, 5))}, True),
]


@pytest.mark.parametrize(("difference", "axes", "can"), CASES)
def test_what_can_be_zero(difference: Dim, axes: dict[str, Axis], can: bool) -> None:
    assert can_vanish(difference, axes) == can


FACTS = st.lists(
    st.one_of(
        st.tuples(st.just("rest"), st.sampled_from([2, 3, 4, 6]), st.sets(st.integers(0, 5), min_size=1)),
        st.tuples(st.just("range"), st.integers(1, 8), st.integers(0, 9)),
        st.tuples(st.just("values"), st.just(0), st.sets(st.integers(1, 12), min_size=1, max_size=3)),
    ),
    max_size=2,
)


def fact(kind: str, number: int, more: Any) -> Classes | Range | Values:
    if kind == "rest":
        return rest(number, *(r % number for r in more))
    return Range(number, number + more) if kind == "range" else Values(frozenset(more))


def holds(fact: Classes | Range | Values, value: int) -> bool:
    if isinstance(fact, Classes):
        return value % fact.modulus in fact.residues
    if isinstance(fact, Values):
        return value in fact.values
    return fact.low <= value and (fact.high is None or value <= fact.high)


@given(st.tuples(*[st.integers(-4, 4)] * 3, st.integers(-12, 12)), FACTS, FACTS)
def test_what_a_pair_of_sizes_makes_zero_can_be(coefficients: tuple[int, ...], of_h: Any, of_w: Any) -> None:
    a, b, c, d = coefficients
    size: Dim = a * H + b * W + c * H * W + d
    facts = {"H": [fact(*f) for f in of_h], "W": [fact(*f) for f in of_w]}
    values = [[v for v in range(1, 30) if all(holds(f, v) for f in known)] for known in facts.values()]
    found = [evaluate(size, {"H": h, "W": w}) for h, w in product(*values)]
    if not found or len(symbols(size)) < 2:
        return
    axes = {name: axis(*known) for name, known in facts.items()}
    low, high = reachable(size, axes)
    assert low <= min(found)
    assert max(found) <= high
    assert can_vanish(size, axes) or 0 not in found
