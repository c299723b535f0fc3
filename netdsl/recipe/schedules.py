"""Phases of the learning rate in time, written `warmup(20 epochs) -> cosine(to=1e-6)`.

A phase without a length lasts until training ends. Every phase starts from the value at which the one before it ended
(the optimizer's `lr` for the first and after a warm-up). Values are of the base lr; a group's lr is multiplied alike.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from netdsl.recipe.component import Component, Count, Duration, NonNegative, Positive, Probability
from netdsl.recipe.metrics import Deciding
from netdsl.recipe.registry import component

Length = Annotated[Duration | None, Meta(description="how long; without it, until training ends")]
Whole = Annotated[
    bool, Meta(description="counted over the whole run: a warm-up replaces its beginning (timm, TensorFlow)")
]


class Phase(Component, frozen=True):
    """A stretch of time with one rule for the learning rate."""

    @property
    def length(self) -> Duration | None:
        """How long the phase lasts; None: until training ends."""
        return None

    @property
    def spans_run(self) -> bool:
        """Whether its time counts from the beginning of the run."""
        return False


class Timed(Phase, frozen=True, kw_only=True):
    """A phase whose length can be given."""

    over: Length = None

    @property
    def length(self) -> Duration | None:
        return self.over


class Anchored(Timed, frozen=True, kw_only=True):
    """A phase whose time can be counted over the whole run."""

    whole: Whole = False

    @property
    def spans_run(self) -> bool:
        return self.whole


@component("schedule")
class Warmup(Timed, frozen=True, tag="warmup"):
    """Linear rise to the full lr over the given time; with `shape=constant` it stays at its start, as torch's
    ConstantLR.

    From `start` (a learning rate), or from `factor` times the full lr. `inclusive`: the last step of the warm-up
    already has the full lr (ConvNeXt's and DINO's code); otherwise the first step after it has, as torch's LinearLR.
    """

    source: ClassVar[str] = "Goyal et al. 2017"
    over: Annotated[Duration, Meta(description="how long")]
    start: Annotated[NonNegative, Meta(description="learning rate of the first step")] = 0.0
    factor: Annotated[Probability | None, Meta(description="first step as a fraction of the full lr")] = None
    inclusive: bool = False
    shape: Literal["linear", "constant"] = "linear"

    @property
    def idle(self) -> bool:
        return self.factor == 1


@component("schedule")
class Constant(Timed, frozen=True, tag="constant"):
    """The learning rate stays."""


@component("schedule")
class Cosine(Anchored, frozen=True, tag="cosine"):
    """Half a cosine from the current lr down to `to`, as torch's CosineAnnealingLR."""

    source: ClassVar[str] = "Loshchilov & Hutter 2017"
    to: Annotated[NonNegative, Meta(description="final learning rate")] = 0.0


@component("schedule")
class Linear(Phase, frozen=True, tag="linear"):
    """A straight line from the current lr to `to` (a learning rate), or to `factor` times the full lr."""

    to: Annotated[NonNegative, Meta(description="final learning rate")] = 0.0
    over: Length = None
    factor: Annotated[NonNegative | None, Meta(description="end as a fraction of the full lr")] = None

    @property
    def length(self) -> Duration | None:
        return self.over


@component("schedule")
class Polynomial(Timed, frozen=True, tag="polynomial"):
    """`to + (lr - to) * (1 - t)^power`, as torch's PolynomialLR where `to` is 0."""

    power: Positive = 1.0
    to: NonNegative = 0.0


@component("schedule")
class Step(Anchored, frozen=True, tag="step"):
    """Multiplies by `factor` after every stretch of time `every`, as torch's StepLR."""

    every: Duration
    factor: Positive = 0.1

    @property
    def idle(self) -> bool:
        return self.factor == 1


@component("schedule")
class Multistep(Anchored, frozen=True, tag="multistep"):
    """Multiplies by `factor` at each of the given times since the phase began, as torch's MultiStepLR."""

    at: tuple[Duration, ...]
    factor: Positive = 0.1

    @property
    def idle(self) -> bool:
        return not self.at or self.factor == 1


@component("schedule")
class Exponential(Anchored, frozen=True, tag="exponential"):
    """Multiplies by `factor` over every stretch `every`: smoothly, or all at once where `staircase`."""

    factor: Positive
    every: Duration = Duration(1, "epochs")
    staircase: bool = False

    @property
    def idle(self) -> bool:
        return self.factor == 1


@component("schedule")
class Restarts(Timed, frozen=True, tag="restarts"):
    """Cosine with warm restarts (SGDR): a first cycle of length `first`, each next one `times` as long."""

    source: ClassVar[str] = "Loshchilov & Hutter 2017"
    first: Duration
    times: Count = 1
    to: NonNegative = 0.0


@component("schedule")
class Plateau(Phase, frozen=True, tag="plateau"):
    """Multiplies by `factor` when `metric` has not improved for `patience` evaluations, as torch's ReduceLROnPlateau
    with a patience of one less. `times`: so often at most.

    The one phase that is no closed form of the step: when lr falls depends on what is measured. What it has seen is in
    the checkpoint. It is the last phase, and lasts until training ends.
    """

    source: ClassVar[str] = "Krizhevsky et al. 2012; Simonyan & Zisserman 2015 (by hand, three times)"
    factor: Annotated[float, Meta(gt=0, lt=1)] = 0.1
    patience: Annotated[Count, Meta(description="evaluations without an improvement")] = 10
    times: Annotated[Count | None, Meta(description="lr falls at most so often")] = None
    metric: Annotated[Deciding, Meta(description="what must improve")] = "loss"
    least: Annotated[NonNegative, Meta(description="smaller improvements do not count")] = 0.0
    to: Annotated[NonNegative, Meta(description="lr does not fall below this")] = 0.0


@component("schedule")
class OneCycle(Timed, frozen=True, tag="onecycle"):
    """Up to the full lr over the fraction `rise` and down again, as torch's OneCycleLR."""

    source: ClassVar[str] = "Smith & Topin 2018"
    rise: Probability = 0.3
    shape: Literal["cosine", "linear"] = "cosine"
    start_div: Annotated[Positive, Meta(description="start at lr / start_div")] = 25.0
    end_div: Annotated[Positive, Meta(description="end at lr / start_div / end_div")] = 1e4
