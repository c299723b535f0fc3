"""Losses. A loss takes the target that smoothing, mixup and cutmix made, or the recipe is refused."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from netdsl.recipe.component import Component, Fraction, NonNegative, Positive, Probability
from netdsl.recipe.registry import component

Smoothing = Annotated[Fraction, Meta(description="mass spread evenly over all classes (Szegedy et al. 2016)")]
Reduction = Annotated[Literal["mean", "sum"], Meta(description="over the samples of the global batch")]


class Loss(Component, frozen=True, kw_only=True):
    """`soft`: takes mixed targets. `task`: what the net is trained to do."""

    soft: ClassVar[bool] = False
    task: ClassVar[str] = "classes"
    reduction: Reduction = "mean"

    @property
    def smoothing(self) -> float:
        """The share of every target that is spread over all classes."""
        return 0.0

    @property
    def class_weights(self) -> tuple[float, ...]:
        """The weight of every class; empty where all count alike."""
        return ()


@component("loss")
class CrossEntropy(Loss, frozen=True, tag="cross_entropy"):
    """Softmax cross entropy over classes (axis 0 of the output), as torch.nn.CrossEntropyLoss; for `[C]`, `[C, H, W]`
    or `[L, C]`."""

    soft = True
    label_smoothing: Smoothing = 0.0
    weight: Annotated[tuple[NonNegative, ...], Meta(description="weight of each class")] = ()

    @property
    def smoothing(self) -> float:
        return self.label_smoothing

    @property
    def class_weights(self) -> tuple[float, ...]:
        return self.weight


@component("loss")
class Bce(Loss, frozen=True, tag="bce"):
    """Binary cross entropy of every class on its own (Wightman et al. 2021), as torch.nn.BCEWithLogitsLoss.

    The mean is over samples and classes; `sum_classes` adds the classes. `threshold`: mixed targets above it count as
    1, others as 0.
    """

    source: ClassVar[str] = "Wightman et al. 2021 (ResNet strikes back)"
    soft = True
    label_smoothing: Smoothing = 0.0
    threshold: Annotated[Probability | None, Meta(description="binarise mixed targets above this")] = None
    sum_classes: bool = False

    @property
    def smoothing(self) -> float:
        return self.label_smoothing


@component("loss")
class Mse(Loss, frozen=True, tag="mse"):
    """Squared error, mean over the output's numbers. With classes as targets: against their one-hot vectors."""

    soft = True
    task: ClassVar[str] = "numbers"


@component("loss")
class L1(Loss, frozen=True, tag="l1"):
    """Absolute error, mean over the output's numbers."""

    soft = True
    task: ClassVar[str] = "numbers"


@component("loss")
class Huber(Loss, frozen=True, tag="huber"):
    """Squared below `delta`, absolute above, as torch.nn.HuberLoss."""

    source: ClassVar[str] = "Huber 1964"
    soft = True
    task: ClassVar[str] = "numbers"
    delta: Positive = 1.0


@component("loss")
class DiceCe(Loss, frozen=True, tag="dice_ce"):
    """`dice` * soft Dice loss (per sample, mean over classes) + `ce` * cross entropy, for masks."""

    source: ClassVar[str] = "Milletari et al. 2016; Isensee et al. 2021"
    dice: NonNegative = 1.0
    ce: NonNegative = 1.0
    smooth: Annotated[NonNegative, Meta(description="added to both sides of the fraction")] = 1.0
