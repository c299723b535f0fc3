"""The values of one named size that solve an equation or a bound, against all values one by one."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from math import gcd, lcm
from typing import Any

import pytest

from netdsl.sizes.dims import Size, evaluate, extreme, symbol
from netdsl.sizes.solve import (
    MOST,
    NOTHING,
    Classes,
    Line,
    Range,
    Solutions,
    Values,
    _divisions,
    _linear,
    common_count,
    direction,
    intersection,
    least_modulus,
    line_of,
    positives,
    zeros,
)  # fmt: skip

H, W = symbol("H"), symbol("W")
VALUES = range(1, 80)


def sizes() -> Iterator[Size]:
    """Expressions that rise, fall, repeat and go up and down, with one division, two and nested ones."""
    for a, b, c, q, d in itertools.product((-2, -1, 0, 1, 2), (-7, -1, 0, 3), (-3, -1, 1, 2), (-1, 0, 4), (2, 3)):
        yield a * H + b + c * ((2 * H + q) // d)
        yield a * H + b + c * ((H + q) // d) - (H + 1) // 4
    for a, b, c, d in itertools.product((-2, -1, 1, 3), (-9, 0, 5), (1, 2, 3), (2, 5)):
        yield a * H + b + 2 * ((c * (H // 2) + 1) // d)
        yield a * ((H + 3 * (H // 3)) // d) + b - c * (H // 4)
        yield a * H + b


SIZES = [size for size in dict.fromkeys(sizes()) if isinstance(size, Size)]


def among(found: Solutions, value: int) -> bool:
    if isinstance(found, Classes):
        return value % found.modulus in found.residues
    if isinstance(found, Range):
        return found.low <= value and (found.high is None or value <= found.high)
    return value in found.values


def test_an_equation_is_solved_by_the_values_that_solve_it() -> None:
    kinds = set()
    for size in SIZES:
        found = zeros(size, "H")
        assert found is not None, size
        kinds.add(type(found))
        for n in VALUES:
            assert among(found, n) == (evaluate(size, {"H": n}) == 0), (size, n, found)
        assert not isinstance(found, Values) or min(found.values, default=1) >= 1
    assert kinds == {Classes, Range, Values}


def test_one_division_that_repeats_is_solved_whatever_its_factors() -> None:
    """`b - p*H + d*((p*H + q)//d)`, with the factor that p and d have in common taken out."""
    for p, d, q, b in itertools.product((1, 3, 4, 6, 9), (4, 5, 6, 7, 9, 10), (-3, 0, 2), (-4, 0, 1, 2, 5)):
        common = gcd(p, d)
        size = b - p // common * H + d // common * ((p * H + q) // d)
        if isinstance(size, Size):
            found = zeros(size, "H")
            assert isinstance(found, Classes)
            for n in VALUES:
                assert among(found, n) == (evaluate(size, {"H": n}) == 0), (size, n, found)


def test_values_far_away_are_found() -> None:
    size = 2 * H - 3 * (H // 2) - 15_000
    found = zeros(size, "H")
    assert isinstance(found, Values)
    assert found.values == {n for n in range(29_000, 31_000) if evaluate(size, {"H": n}) == 0} != set()


def test_a_repetition_longer_than_what_is_tried_is_left_to_others() -> None:
    assert zeros(H % 30_011 + H % 2 - 1, "H") is None


def test_what_two_sets_of_residues_have_in_common() -> None:
    for a, b in itertools.product((2, 4, 6, 9, 10), (3, 4, 6, 8, 15)):
        one, two = least_modulus(a, frozenset(range(0, a, 3))), least_modulus(b, frozenset(range(1, b, 2)))
        both = intersection(one, two)
        assert [among(both, n) for n in VALUES] == [among(one, n) and among(two, n) for n in VALUES], (one, two, both)
        whole = lcm(one.modulus, two.modulus)
        assert common_count(one, two) == sum(among(both, n) for n in range(whole))


def test_a_bound_is_solved_by_the_values_that_satisfy_it() -> None:
    """Of a size that rises and falls on its way up, by those from which on it stays above."""
    for size in SIZES:
        found = positives(size, "H")
        assert found is not None, size
        holds = {n for n in VALUES if evaluate(size, {"H": n}) >= 0}
        line = line_of(size)
        assert line is not None
        if line.slope > 0:
            stays = max(set(VALUES) - holds, default=0) + 1
            assert isinstance(found, Range)
            assert found == Range(stays, None) if stays < VALUES.stop else found.low >= stays, size
        else:
            assert {n for n in VALUES if among(found, n)} == holds, (size, found)


def test_lines_are_the_closest_to_a_division_on_both_sides() -> None:
    for size in SIZES:
        line = line_of(size)
        assert line is not None
        off = [evaluate(size, {"H": n}) - line.slope * n for n in VALUES]
        assert line.low <= min(off), size
        assert max(off) <= line.high, size
    assert line_of(3 * (H // 4) - 2 * H + 5) == Line(Fraction(-5, 4), Fraction(11, 4), Fraction(5))
    assert line_of(H // 2 // 3) == Line(Fraction(1, 6), Fraction(-5, 6), Fraction(0))
    assert line_of((H + 3) // 6) == Line(Fraction(1, 6), Fraction(-1, 3), Fraction(1, 2))
    assert line_of(7) == Line(Fraction(0), Fraction(7), Fraction(7))


def test_a_direction_is_that_of_the_values() -> None:
    seen = set()
    for size in SIZES:
        values = [evaluate(size, {"H": n}) for n in VALUES]
        way = direction(size)
        seen.add(way)
        if way:
            assert all(way * (b - a) >= 0 for a, b in itertools.pairwise(values)), size
    assert seen == {-1, 0, 1}
    assert direction(3) == 1
    assert [direction(s) for s in (H * W, H // W, extreme("max", [H, 3]), 5 * (H // 2) - 9)] == [0, 0, 0, 1]
    assert direction(H - H // 2) == direction(W // 2 - H) == 0


@pytest.mark.parametrize("size", [H * W - 4, extreme("max", [H, 3]) - 4, 12 // H - 3, (H * W) // 2])
def test_other_arithmetic_is_left_to_others(size: Any) -> None:
    assert zeros(size, "H") is None
    assert positives(size, "H") is None


@pytest.mark.parametrize("tried", [MOST, MOST + 1])
def test_only_so_many_values_are_tried(tried: int) -> None:
    """`H - 3*(H//3)` rises and falls between 0 and 2: where `H//c` reaches a number is in doubt for that long."""
    d = tried // 2 + 1
    found = 2 * (H // d) + H % 2 - 9
    line = line_of(found)
    assert line is not None
    length = (line.high - line.low) / line.slope
    assert (positives(found, "H") is None) == (length > MOST)


def test_residues_have_the_least_modulus() -> None:
    assert least_modulus(12, frozenset((1, 5, 9))) == Classes(4, frozenset((1,)))
    assert least_modulus(12, frozenset((1, 4, 7, 10))) == Classes(3, frozenset((1,)))
    assert least_modulus(12, frozenset(range(12))) == Classes(1, frozenset((0,)))
    assert least_modulus(36, frozenset(range(0, 36, 6))) == Classes(6, frozenset((0,)))
    assert least_modulus(12, frozenset((0, 1))) == Classes(12, frozenset((0, 1)))
    assert least_modulus(5, frozenset()) == NOTHING
    assert not any(among(NOTHING, n) for n in VALUES)


def test_solutions_are_values() -> None:
    for made, other in [
        (Classes(2, frozenset((1,))), Classes(2, frozenset((1,)))),
        (Range(1, None), Range(1, None)),
        (Values(frozenset((3,))), Values(frozenset((3,)))),
        (Line(Fraction(1), Fraction(0), Fraction(2)), Line(Fraction(1), Fraction(0), Fraction(2))),
    ]:
        assert len({made, other}) == 1


def test_floor_divisions_are_kept_reduced() -> None:
    """What a name is counted by and what is divided by have no divisor in common: `(4*H + 3)//6` is `(2*H + 1)//3`."""
    factors, constants, divisors = range(-7, 13), (-5, 0, 3), (2, 3, 4, 6, 8, 9, 12)
    waiting = [(a * H + b) // d for a in factors for b in constants for d in divisors]
    waiting += [(2 * size + 3 * H + 1) // d for size in waiting for d in (4, 6)]
    while waiting:
        size = waiting.pop()
        for floor in _divisions(size):
            waiting.append(floor.numerator)
            if not _divisions(floor.numerator):
                assert gcd(_linear(floor.numerator)[0], floor.denominator) == 1
