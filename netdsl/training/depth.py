"""Rates that follow from depth."""

from __future__ import annotations

from typing import Any

from netdsl.recipe.regularizers import DropPath, Flat, Ramp, Rates
from netdsl.training.errors import DataError


def depth_rates(word: Any, links: int) -> list[float]:
    """The drop-path rate of every residual link, first to last; `linear(a, b)` gives the first a and the last b.

    Raises DataError where a rate for every link is written and the net has another number of links.
    """
    together = word.links if isinstance(word, DropPath) else 1
    if isinstance(word, DropPath):
        word = word.rates
    blocks = -(-links // together)
    if isinstance(word, Rates):
        each = list(word.each)
        if len(each) != blocks:
            raise DataError(f"`rates` has {len(each)} numbers, the net has {blocks} residual links")
    elif isinstance(word, Flat):
        each = [word.rate] * blocks
    else:
        assert isinstance(word, Ramp)
        each = [word.start + (word.to - word.start) * i / max(1, blocks - 1) for i in range(blocks)]
    return [each[i // together] for i in range(links)]
