"""Rates of drop-path and dropout, as they follow from depth or time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netdsl.diagnostics.diagnostic import fault
from netdsl.recipe.component import Component
from netdsl.recipe.registry import Executors
from netdsl.recipe.regularizers import DropPath, Early, Flat, Late, Ramp, Rates


def depth_rates(drop_path: Component, links: int) -> list[float]:
    """The drop-path rate of every residual link, first to last; `linear(a, b)` gives the first a and the last b.

    Raises Fault where a rate for every link is written and the net has another number of links.
    """
    together = drop_path.links if isinstance(drop_path, DropPath) else 1
    each = LINK_RATES[drop_path](drop_path, -(-links // together))
    return [each[i // together] for i in range(links)]


def _listed(rates: Rates, blocks: int) -> list[float]:
    if len(rates.each) != blocks:
        count = len(rates.each)
        message = f"`rates` has {count} value{'s' * (count != 1)}, the net has {blocks} residual links"
        raise fault("wrong-count", message, None)
    return list(rates.each)


LINK_RATES: Executors[Callable[[Any, int], list[float]]] = Executors(
    "drop_path",
    {
        Flat: lambda rate, blocks: [rate.rate] * blocks,
        Ramp: lambda ramp, blocks: [
            ramp.start + (ramp.to - ramp.start) * i / max(1, blocks - 1) for i in range(blocks)
        ],
        Rates: _listed,
        DropPath: lambda drop_path, blocks: LINK_RATES[drop_path.rates](drop_path.rates, blocks),
    },
)


def time_rate(dropout: Component, step: int, total: int, per_epoch: int) -> float:
    """The dropout rate at a training step."""
    return TIME_RATES[dropout](dropout, step, total, per_epoch)


def _early(rate: Early, step: int, total: int, per_epoch: int) -> float:
    left = max(0.0, 1 - step / max(1, rate.until.steps(per_epoch)))
    return rate.rate * (left if rate.shape == "linear" else float(left > 0))


TIME_RATES: Executors[Callable[[Any, int, int, int], float]] = Executors(
    "dropout",
    {
        Flat: lambda rate, step, total, per_epoch: rate.rate,
        Ramp: lambda ramp, step, total, per_epoch: ramp.start + (ramp.to - ramp.start) * step / max(1, total - 1),
        Early: _early,
        Late: lambda rate, step, total, per_epoch: rate.rate if step >= rate.after.steps(per_epoch) else 0.0,
    },
)
