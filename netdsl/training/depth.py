"""Rates that follow from depth."""

from __future__ import annotations

from typing import Any

from netdsl.recipe.regularizers import DropPath, Flat, Ramp


def depth_rates(word: Any, links: int) -> list[float]:
    """The drop-path rate of every residual link, first to last; `linear(a, b)` gives the first a and the last b."""
    if isinstance(word, DropPath):
        word = word.rates
    if isinstance(word, Flat):
        return [word.rate] * links
    assert isinstance(word, Ramp)
    return [word.start + (word.to - word.start) * i / max(1, links - 1) for i in range(links)]
