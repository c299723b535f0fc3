"""Statistics by hand and by scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from netdsl.experiment.statistics import deviation, difference, holm, mean, sign_flip


def test_by_hand() -> None:
    assert mean([1, 2, 6]) == 3
    assert deviation([1, 2, 6]) == pytest.approx(math.sqrt(7))
    assert deviation([4]) is None
    assert math.isnan(mean([]))
    # of 3 positive differences 1, 2, 3 only +++ and --- are as far from 0: 2 of 8
    assert sign_flip([1, 2, 3]) == 0.25
    # 1, 2, -3: each of the eight sums is at least as far from 0 as the observed 0
    assert sign_flip([1, 2, -3]) == 1
    # -1, 2, 3 sums to 4: +++ 6, -++ 4, +-+ 2, ++- 0 and their opposites: 4 of 8
    assert sign_flip([-1, 2, 3]) == 0.5
    assert sign_flip([0, 0]) == 1
    # by hand: sorted .01 .02 .04 by 3, 2, 1, never falling
    assert holm([0.02, 0.01, 0.04]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.6]) == [1, 1]
    assert holm([]) == []


@pytest.mark.parametrize("n", [2, 3, 6, 9])
def test_against_scipy(n: int) -> None:
    values = np.random.default_rng(n).normal(0.4, 1, n)
    found = difference(list(values))
    exact = stats.permutation_test((values, np.zeros(n)), lambda a, b: (a - b).mean(), permutation_type="samples")
    assert found.p == pytest.approx(exact.pvalue, abs=1e-12)
    student = stats.ttest_rel(values, np.zeros(n)).confidence_interval()
    assert found.interval == pytest.approx((student.low, student.high))
    assert found.mean == pytest.approx(values.mean())


def test_many_pairs_are_drawn_and_always_the_same() -> None:
    values = list(np.random.default_rng(0).normal(0.3, 1, 30))
    found = sign_flip(values)
    assert found == sign_flip(values)
    exact = stats.ttest_1samp(values, 0).pvalue
    assert found == pytest.approx(exact, abs=0.01)  # at 30 pairs the two tests are nearly the same


def test_holm_against_the_definition() -> None:
    ps = list(np.random.default_rng(1).random(12) ** 3)
    corrected = holm(ps)
    for level in (0.01, 0.05, 0.2):
        rejected, order = set(), sorted(range(12), key=lambda i: ps[i])
        for rank, i in enumerate(order):  # step down: reject while p <= level / (m - rank)
            if ps[i] > level / (12 - rank):
                break
            rejected.add(i)
        assert rejected == {i for i, p in enumerate(corrected) if p <= level}
