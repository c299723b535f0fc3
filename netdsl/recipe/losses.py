"""Losses. A loss takes the target that smoothing, mixup and cutmix made, or the recipe is refused."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Union

from msgspec import Meta

from netdsl.recipe.component import Fraction, NonNegative, Positive, Probability, Word

Smoothing = Annotated[Fraction, Meta(description="mass spread evenly over all classes (Szegedy et al. 2016)")]
Reduction = Annotated[Literal["mean", "sum"], Meta(description="over the samples of the global batch")]


class Loss(Word, frozen=True):
    """`soft`: takes mixed targets. `task`: what the net is trained to do."""

    soft: ClassVar[bool] = False
    task: ClassVar[str] = "classes"


class CrossEntropy(Loss, frozen=True, tag="cross_entropy"):
    """Softmax cross entropy over classes (axis 0 of the output), as torch.nn.CrossEntropyLoss; for `[C]`, `[C, H, W]`
    or `[L, C]`."""

    soft = True
    label_smoothing: Smoothing = 0.0
    weight: Annotated[tuple[NonNegative, ...], Meta(description="weight of each class")] = ()
    reduction: Reduction = "mean"


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
    reduction: Reduction = "mean"


class Mse(Loss, frozen=True, tag="mse"):
    """Squared error, mean over the output's numbers. With classes as targets: against their one-hot vectors."""

    soft = True
    task: ClassVar[str] = "numbers"
    reduction: Reduction = "mean"


class L1(Loss, frozen=True, tag="l1"):
    """Absolute error, mean over the output's numbers."""

    soft = True
    task: ClassVar[str] = "numbers"
    reduction: Reduction = "mean"


class Huber(Loss, frozen=True, tag="huber"):
    """Squared below `delta`, absolute above, as torch.nn.HuberLoss."""

    source: ClassVar[str] = "Huber 1964"
    soft = True
    task: ClassVar[str] = "numbers"
    delta: Positive = 1.0
    reduction: Reduction = "mean"


class DiceCe(Loss, frozen=True, tag="dice_ce"):
    """`dice` * soft Dice loss (per sample, mean over classes) + `ce` * cross entropy, for masks."""

    source: ClassVar[str] = "Milletari et al. 2016; Isensee et al. 2021"
    dice: NonNegative = 1.0
    ce: NonNegative = 1.0
    smooth: Annotated[NonNegative, Meta(description="added to both sides of the fraction")] = 1.0
    reduction: Reduction = "mean"


Losses = Union[CrossEntropy, Bce, Mse, L1, Huber, DiceCe]
