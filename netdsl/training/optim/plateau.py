"""The one schedule that is no closed form of the step: lr falls when a metric has stopped improving.

What it has seen so far is in the checkpoint, so a resumed run continues as it would have.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from netdsl.recipe.schedules import Plateau
from netdsl.training.metrics import improves, score


class Falls(Struct, frozen=True):
    """The state of a plateau schedule: the best of its metric (less is better), the evaluations since then, and how
    often lr has fallen."""

    best: float | None = None
    stale: int = 0
    count: int = 0


def judged(component: Plateau, falls: Falls, numbers: Mapping[str, Any]) -> Falls:
    """Take one more evaluation into account."""
    found = score(component.metric, numbers)
    if improves(found, falls.best, component.least):
        return Falls(found, 0, falls.count)
    stale = falls.stale + 1
    if stale < component.patience or (component.times is not None and falls.count >= component.times):
        return Falls(falls.best, stale, falls.count)
    return Falls(falls.best, 0, falls.count + 1)
