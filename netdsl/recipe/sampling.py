"""Sampling: the samples of an epoch, where it does not show each of them once."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from netdsl.recipe.component import Component, Probability
from netdsl.recipe.registry import component


class Sampling(Component, frozen=True):
    """A choice of the samples of an epoch, which is as long as without it."""


@component("sampling")
class BalancedSampling(Sampling, frozen=True, tag="balanced"):
    """Classes are equally frequent in an epoch of the same length: samples of rare classes are shown several times, of
    frequent ones a part, each epoch another one. Copies of a sample are augmented each in its own way."""

    power: Annotated[
        Probability,
        Meta(description="1: equally frequent; 0: as in the data; between: n^(1 - power) of a class with n samples"),
    ] = 1.0

    @property
    def idle(self) -> bool:
        return self.power == 0
