"""Means, paired differences, intervals and exact tests of a few runs each."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from netdsl.planning.experiments import ALPHA

EXACT = 16
"""Pairs up to which every one of the 2^n sign flips is looked at."""
DRAWN = 99_999
"""Sign flips that are drawn above that, always the same."""


def mean(values: Sequence[float]) -> float:
    """The mean of values; NaN of none."""
    return math.fsum(values) / len(values) if values else math.nan


def deviation(values: Sequence[float]) -> float | None:
    """The standard deviation of a sample (divided by n - 1); None of fewer than two values."""
    if len(values) < 2:
        return None
    center = mean(values)
    return math.sqrt(math.fsum((v - center) ** 2 for v in values) / (len(values) - 1))


class Difference(Struct, frozen=True):
    """The mean difference of pairs. `interval`: Student's t for 1 - ALPHA, None of one pair; `p`: two-sided, of the
    sign-flip test."""

    pairs: int
    mean: float
    interval: tuple[float, float] | None
    p: float


def difference(differences: Sequence[float]) -> Difference:
    """Summarise paired differences: their mean, its interval, and p. Raises ValueError for none."""
    if not differences:
        raise ValueError("there are no pairs")
    center, spread = mean(differences), deviation(differences)
    interval = None
    if spread is not None:
        half = student(len(differences) - 1) * spread / math.sqrt(len(differences))
        interval = (center - half, center + half)
    return Difference(len(differences), center, interval, sign_flip(differences))


def student(freedom: int) -> float:
    """The quantile of Student's t that leaves ALPHA / 2 above it."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 1 - ALPHA / 2))


def sign_flip(differences: Sequence[float]) -> float:
    """The two-sided p of the hypothesis that differences are as likely of one sign as of the other (Fisher 1935): the
    share of all sign flips whose sum is at least as far from 0. Up to EXACT pairs all flips are counted; above, DRAWN
    flips are drawn from a fixed seed, and the observed one counts as one of them."""
    import numpy as np

    values = np.asarray(differences, dtype=np.float64)
    observed = abs(values.sum()) * (1 - 1e-12)
    if len(values) <= EXACT:
        signs = ((np.arange(2 ** len(values))[:, None] >> np.arange(len(values))) & 1) * 2 - 1
        return float((np.abs(signs @ values) >= observed).mean())
    generator = np.random.Generator(np.random.Philox(0))
    least = 1
    for _ in range(100):  # in parts: all at once would take a gigabyte for some thousand pairs
        signs = generator.integers(0, 2, (-(-DRAWN // 100), len(values)), dtype=np.int8) * 2 - 1
        least += int((np.abs(signs @ values) >= observed).sum())
    return least / (1 + 100 * -(-DRAWN // 100))


def holm(ps: Sequence[float]) -> list[float]:
    """The p of several tests, corrected so that the chance of any false one stays below its level (Holm 1979)."""
    order = sorted(range(len(ps)), key=lambda i: ps[i])
    corrected, largest = [1.0] * len(ps), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(ps) - rank) * ps[i]))
        corrected[i] = largest
    return corrected
