"""Retention: the checkpoints that a run keeps, and the weights that are evaluated at its end."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from netdsl.recipe.component import Component, Count, Duration
from netdsl.recipe.registry import component


@component("keep")
class Keep(Component, frozen=True, tag="keep"):
    """Checkpoints that stay beside the newest one, in the run's folder `checkpoints`."""

    bare: ClassVar[str] = "last"
    last: Annotated[Count, Meta(description="the newest so many")] = 1
    every: Annotated[Duration | None, Meta(description="also those at whole multiples of this time, permanently")] = (
        None
    )


class Final(Component, frozen=True):
    """The weights that are evaluated and exported at the end."""


@component("final")
class Last(Final, frozen=True, tag="last"):
    """The weights of the last step (their average, where there is `ema` or `swa`)."""


@component("final")
class Best(Final, frozen=True, tag="best"):
    """The weights of the best evaluation, whether or not training stopped early."""


@component("final")
class Improving(Final, frozen=True, tag="improving"):
    """The mean of the weights of the last `count` evaluations that improved on all before them; counters are those of
    the best. They are chosen on the split that is evaluated: the test split where `validation = 0`, as its source
    does."""

    source: ClassVar[str] = "torchvision's references, MobileNetV3"
    count: Count = 3
