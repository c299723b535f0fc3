"""What is known of one named size: verdicts, and where the limits of what is listed lie."""

from __future__ import annotations

import pytest

from netdsl.sizes.axis import ASSUMED, FEW, IMPOSSIBLE, PROVED, TOGETHER, Axis
from netdsl.sizes.solve import Classes, Range, Values


def multiples(modulus: int) -> Classes:
    return Classes(modulus, frozenset({0}))


def test_what_is_new_is_assumed_and_what_follows_is_proved() -> None:
    axis = Axis()
    verdicts = [axis.meet(multiples(n)) for n in (2, 3, 6, 4, 12, 2)]
    assert verdicts == [ASSUMED, ASSUMED, PROVED, ASSUMED, PROVED, PROVED]
    assert axis.meet(Classes(4, frozenset({1, 3}))) == IMPOSSIBLE


def test_ranges_and_values_meet() -> None:
    axis = Axis()
    assert [axis.meet(Range(3, None)), axis.meet(Range(2, None)), axis.meet(Range(1, 9))] == [ASSUMED, PROVED, ASSUMED]
    assert axis.meet(Range(1, 12)) == PROVED
    assert axis.few() == [3, 4, 5, 6, 7, 8, 9]
    assert axis.meet(Values(frozenset({2, 9, 10}))) == ASSUMED
    assert axis.few() == [9]
    assert axis.meet(Values(frozenset({9, 11}))) == PROVED
    assert axis.meet(multiples(2)) == IMPOSSIBLE


@pytest.mark.parametrize(("most", "listed"), [(FEW, True), (FEW + 1, False)])
def test_a_short_range_is_listed(most: int, listed: bool) -> None:
    axis = Axis()
    axis.meet(Range(1, most))
    assert axis.few() == (list(range(1, most + 1)) if listed else None)


@pytest.mark.parametrize("more", [0, 1])
def test_residues_of_moduli_with_nothing_in_common_are_joined_while_they_are_few(more: int) -> None:
    axis = Axis()
    first, second = Classes(64, frozenset(range(TOGETHER // 16))), Classes(31, frozenset(range(16 + more)))
    assert axis.meet(first) == ASSUMED
    assert axis.meet(second) == ASSUMED
    assert len(axis.classes) == 1 + more
    assert axis.meet(second) == PROVED
    held = [v for v in range(64 * 31) if all(v % c.modulus in c.residues for c in axis.classes)]
    assert held == [v for v in range(64 * 31) if v % 64 < TOGETHER // 16 and v % 31 < 16 + more]
