"""Losses. A loss takes the target that smoothing, mixup and cutmix made, or the recipe is refused."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from msgspec import Meta

from netdsl.recipe.component import Component, Fraction, NonNegative, Positive, Probability
from netdsl.recipe.registry import component

Smoothing = Annotated[
    Fraction, Meta(description="share of the target that is spread evenly over all classes (Szegedy et al. 2016)")
]
Reduction = Annotated[Literal["mean", "sum"], Meta(description="over the samples of the global batch")]


Weights = Annotated[
    tuple[NonNegative, ...] | Literal["balanced"],
    Meta(description="weight of each class; `balanced`: all samples to train on / (classes * those of the class)"),
]
BALANCED: Final = "balanced"


class Loss(Component, frozen=True, kw_only=True):
    """`soft`: takes mixed targets. `task`: what the net is trained to do. `balances`: the argument whose `balanced` is
    worked out from the training split."""

    soft: ClassVar[bool] = False
    task: ClassVar[str] = "classes"
    balances: ClassVar[str] = ""
    reduction: Reduction = "mean"

    @property
    def smoothing(self) -> float:
        """The share of every target that is spread over all classes."""
        return 0.0

    @property
    def class_weights(self) -> tuple[float, ...]:
        """The weight of every class; empty where all count alike, or where the data are still to say."""
        given = getattr(self, self.balances) if self.balances else ()
        return given if isinstance(given, tuple) else ()

    @property
    def is_open(self) -> bool:
        """Whether the training split is still to say its weights."""
        return bool(self.balances) and getattr(self, self.balances) == BALANCED


@component("loss")
class CrossEntropy(Loss, frozen=True, tag="cross_entropy"):
    """Softmax cross entropy over classes (axis 0 of the output), as torch.nn.CrossEntropyLoss; for `[C]`, `[C, H, W]`
    or `[L, C]`."""

    soft = True
    balances = "weight"
    label_smoothing: Smoothing = 0.0
    weight: Weights = ()

    @property
    def smoothing(self) -> float:
        return self.label_smoothing


@component("loss")
class Focal(CrossEntropy, frozen=True, tag="focal"):
    """Cross entropy in which what is easy counts less: (1 - p)^gamma times -log p of the true class, with `gamma=0`
    cross entropy itself. Divided as `cross_entropy` is. For labels that hold or do not: `bce(gamma=2)`."""

    source: ClassVar[str] = "Lin et al. 2017 (RetinaNet)"
    gamma: NonNegative = 2.0


@component("loss")
class Bce(Loss, frozen=True, tag="bce"):
    """Binary cross entropy of every class on its own (Wightman et al. 2021), as torch.nn.BCEWithLogitsLoss.

    The mean is over samples and classes, without labels of -1, which are not known; `sum_classes` adds the classes.
    `threshold`: mixed targets above it count as 1, others as 0. `pos_weight`: what a yes counts, of each class.
    `gamma`: the focal loss of Lin et al. 2017: (1 - p)^gamma times, with p the chance given to the right answer.
    """

    source: ClassVar[str] = "Wightman et al. 2021 (ResNet strikes back)"
    soft = True
    balances = "pos_weight"
    label_smoothing: Smoothing = 0.0
    threshold: Annotated[Probability | None, Meta(description="binarise mixed targets above this")] = None
    sum_classes: bool = False
    pos_weight: Annotated[
        tuple[NonNegative, ...] | Literal["balanced"],
        Meta(description="weight of a yes of each class; `balanced`: its noes per yes in the training split"),
    ] = ()
    gamma: NonNegative = 0.0

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


class Contrastive(Loss, frozen=True, kw_only=True):
    """A loss over pairs: vectors of two views of each sample, compared with those of all others of the batch. Targets
    do not count. A net with one input sees each sample twice, augmented in two ways; one with two inputs gives the
    vectors as its first two outputs."""

    task: ClassVar[str] = "pairs"


@component("loss")
class NtXent(Contrastive, frozen=True, tag="nt_xent"):
    """Softmax cross entropy of the other view of a sample among all other vectors of the batch, by cosine similarity
    over `temperature` (NT-Xent, InfoNCE); the mean over both views."""

    source: ClassVar[str] = "Chen et al. 2020 (SimCLR)"
    temperature: Positive = 0.5


@component("loss")
class Triplet(Contrastive, frozen=True, tag="triplet"):
    """How much nearer than `margin` another sample is than the other view, as torch.nn.TripletMarginLoss: the nearest
    sample of the batch (`negatives=hardest`), or the mean over `all`; the mean over both views as the anchor."""

    source: ClassVar[str] = "Schroff et al. 2015; Hermans et al. 2017"
    margin: Positive = 1.0
    negatives: Literal["hardest", "all"] = "hardest"
