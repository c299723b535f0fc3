"""Differences between outputs, and the largest that are accepted: without torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

GATE = 1e-5
"""The largest difference that is accepted, relative to the largest number of an output (of an output with few numbers,
which may all happen to be small, over more samples)."""

ROUNDINGS = 4
"""How many times the reference's own rounding error is accepted where that is more than the gate."""

LOOSEST = 1e-3
"""What is never accepted, whatever the rounding error of the reference."""


def accepted(gate: float, rounding: float) -> float:
    """The distance that is accepted where the reference itself is so far from the exact result."""
    return min(max(gate, ROUNDINGS * rounding), LOOSEST)


def distance(expected: Sequence[Any], found: Sequence[Any], sizes: Sequence[float] | None = None) -> float:
    """The largest of `max|found - y| / max|y|` over the outputs (or `/ sizes`); NaN where a value is not finite."""
    sizes = sizes or [largest(y) for y in expected]
    return float(np.max([_relative(*each) for each in zip(expected, found, sizes, strict=True)], initial=0))


def largest(y: Any) -> float:
    return float(np.abs(y).max(initial=0))


def _relative(y: Any, ours: Any, size: float) -> float:
    """Infinity where only `y` is all zeros."""
    difference = float(np.abs(y.astype("float64") - ours).max(initial=0))
    if difference == 0:
        return 0.0 if np.isfinite(size) else float("nan")
    return difference / size if size else float("inf")
