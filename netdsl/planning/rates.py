"""Rates that follow from depth or time. Nothing here needs torch."""

from __future__ import annotations

from typing import Any

from netdsl.recipe.regularizers import DropPath, Early, Flat, Late, Ramp, Rates
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


def time_rate(word: Any, step: int, total: int, per_epoch: int) -> float:
    """The dropout rate at an update."""
    if isinstance(word, Flat):
        return word.rate
    if isinstance(word, Ramp):
        return word.start + (word.to - word.start) * step / max(1, total - 1)
    if isinstance(word, Early):
        until = word.until.steps(per_epoch)
        left = max(0.0, 1 - step / max(1, until))
        return word.rate * (left if word.shape == "linear" else float(left > 0))
    assert isinstance(word, Late)
    return word.rate if step >= word.after.steps(per_epoch) else 0.0
