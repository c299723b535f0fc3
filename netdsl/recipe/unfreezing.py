"""When layers that `freeze` names begin to train: `unfreeze = after(5 epochs, [stages], lr=0.1)`."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from netdsl.recipe.component import Component, Duration, Positive
from netdsl.recipe.registry import component


class Unfreezing(Component, frozen=True):
    """A time at which frozen layers begin to train."""


@component("unfreeze")
class After(Unfreezing, frozen=True, tag="after"):
    """From a time on, frozen layers are trained, at `lr` times the lr of the schedule. Several follow one another: from
    the head down, each with a lower lr (gradual unfreezing). Their norms keep their statistics until then."""

    source: ClassVar[str] = "Howard & Ruder 2018 (ULMFiT)"
    time: Annotated[Duration, Meta(description="since training began")]
    layers: Annotated[
        tuple[str, ...], Meta(description="roles, labels or paths, as of `freeze`; none: all that are still frozen")
    ] = ()
    lr: Annotated[Positive, Meta(description="of these layers, times that of the schedule")] = 1.0
