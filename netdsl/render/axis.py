"""Axes of charts: where numbers lie, and round ones at the ticks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

from netdsl.render.numbers import round_numbers

MOST_TICKS = 7
FEW_DECADES = 2
"""Decades up to which numbers between powers of ten are marked."""
RAISED = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
"""Digits as they stand in an exponent."""


class Axis(Struct, frozen=True):
    """Where numbers lie along an axis from `start` to `end`, and what stands at which of them."""

    start: float
    end: float
    low: float
    high: float
    log: bool
    ticks: tuple[tuple[float, str], ...]

    def at(self, value: float) -> float:
        """The place of a number in the image."""
        low, high, value = (math.log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (value - low) / (high - low or 1.0) * (self.end - self.start)


def axis(
    start: float, end: float, values: Sequence[float], log: bool, ticks: tuple[tuple[float, str], ...],
    round_ends: bool = False,
) -> Axis:  # fmt: skip
    """An axis over values, with round numbers at its ticks unless `ticks` are given."""
    low, high = values[0], values[-1]
    if log:
        ends, marks = _powers(low, high)
    else:
        marks = round_numbers(low, high, MOST_TICKS - 1)
        ends = marks[0], marks[-1]
    if round_ends:
        low, high = ends
    marks = [m for m in marks if low <= m <= high]
    plain = not log or all(1e-4 < m < 1e4 for m in marks)
    return Axis(start, end, low, high, log, ticks or tuple((m, short(m) if plain else _power(m)) for m in marks))


def _powers(low: float, high: float) -> tuple[tuple[float, float], list[float]]:
    """Round numbers around two that are above 0, spread by ratio, and marks between them: 1, 2, 5, 10 up to two
    decades, else powers of ten, of many decades every second or third one, 1 among them."""
    lowest, highest = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    highest += lowest == highest
    if math.log10(high / low) <= FEW_DECADES:
        marks = [m * 10.0**p for p in range(lowest, highest) for m in (1, 2, 5)] + [10.0**highest]
        first = max(i for i, m in enumerate(marks[:-1]) if m <= low * (1 + 1e-8))
        last = next(i for i, m in enumerate(marks) if i > first and m >= high * (1 - 1e-8))
        marks = marks[first : last + 1]
        return (marks[0], marks[-1]), marks
    step = -(-(highest - lowest) // (MOST_TICKS - 1))
    return (10.0**lowest, 10.0**highest), [10.0**p for p in range(-(-lowest // step) * step, highest + 1, step)]


def is_geometric(values: Sequence[float]) -> bool:
    """Whether numbers are spread by ratio: over a decade or more, the ratios nearer to each other than the steps
    are."""
    if len(values) < 3 or values[-1] < 10 * values[0]:
        return False
    ratios = [b / a for a, b in pairwise(values)]
    steps = [b - a for a, b in pairwise(values)]
    return max(ratios) / min(ratios) < max(steps) / min(steps)


def short(value: float) -> str:
    if value and not 1e-3 <= abs(value) < 1e5:
        digits, _, power = f"{value:.2e}".partition("e")
        digits = digits.rstrip("0").rstrip(".")
        return _raised(int(power)) if digits == "1" else f"{digits}\N{MULTIPLICATION SIGN}{_raised(int(power))}"
    return f"{value:.6g}"


def _power(value: float) -> str:
    exponent = round(math.log10(value))
    is_power = math.isclose(value, 10.0**exponent)
    return _raised(exponent) if is_power and exponent not in (0, 1) else short(value)


def _raised(exponent: int) -> str:
    return f"10{str(exponent).translate(RAISED)}"
