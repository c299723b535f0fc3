"""Every field of a recipe, declared once, in the sections in which the reference shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, Union

from msgspec import Meta, Struct

from netdsl.recipe.augmentations import Progressive
from netdsl.recipe.component import Count, Duration, Fraction, Index, NonNegative, Probability
from netdsl.recipe.losses import CrossEntropy
from netdsl.recipe.metrics import Metric
from netdsl.recipe.optimizers import AdamW
from netdsl.recipe.registry import accepted
from netdsl.recipe.regularizers import Ema, LayerDecay, Lookahead, Stop, Swa
from netdsl.recipe.retention import Best, Keep, Last
from netdsl.recipe.schedules import Cosine, Phase, Warmup
from netdsl.recipe.sources import Digits
from netdsl.recipe.standardization import Channel

if TYPE_CHECKING:  # what is registered is known at run time; a type checker sees the base class of its components
    from netdsl.recipe.augmentations import Augment as Augments
    from netdsl.recipe.augmentations import Mix as Mixes
    from netdsl.recipe.component import Component as LinkRates
    from netdsl.recipe.component import Component as TimeRates
    from netdsl.recipe.distillation import Teacher as Teachers
    from netdsl.recipe.inits import Init as Inits
    from netdsl.recipe.losses import Loss as Losses
    from netdsl.recipe.optimizers import Optimizer as Optimizers
    from netdsl.recipe.regularizers import Clip as Clips
    from netdsl.recipe.regularizers import Penalty as Penalties
    from netdsl.recipe.retention import Final as Finals
    from netdsl.recipe.sampling import BalancedSampling as Samplings
    from netdsl.recipe.schedules import Phase as Phases
    from netdsl.recipe.sources import Data as Sources
    from netdsl.recipe.standardization import Standardization as Standardizations
    from netdsl.recipe.test_time import TestTime as TestTimes
    from netdsl.recipe.unfreezing import After as Unfreezings
else:
    import netdsl.recipe.columns
    import netdsl.recipe.distillation
    import netdsl.recipe.inits
    import netdsl.recipe.sampling
    import netdsl.recipe.test_time
    import netdsl.recipe.unfreezing  # noqa: F401 - the components register themselves

    Augments, Mixes, LinkRates, TimeRates = map(accepted, ("augment", "mix", "drop_path", "dropout"))
    Inits, Losses, Optimizers, Clips = map(accepted, ("init", "loss", "optimizer", "clip"))
    Penalties, Finals, Phases, Sources = map(accepted, ("penalty", "final", "schedule", "data"))
    Standardizations, Samplings, Teachers = map(accepted, ("standardize", "sampling", "distill"))
    Unfreezings, TestTimes = map(accepted, ("unfreeze", "tta"))

SECTIONS = {
    "data": "Data", "augmentation": "Augmentation", "loss": "Loss and regularisation",
    "optimisation": "Optimisation", "averaging": "Averaging of weights", "devices": "Devices and speed",
    "checkpoints": "Evaluation and checkpoints",
}  # fmt: skip
"""The sections of the reference and their titles, in order."""


def in_section(section: str, description: str) -> Meta:
    """The annotation of a field: its section and what it means."""
    return Meta(description=description, extra={"section": section})


def default_schedule(epochs: int | None, steps: int | None) -> tuple[Phase, ...]:
    """The schedule where none is written: a warm-up and a cosine. The warm-up lasts one epoch, but at most a tenth of
    the run."""
    if epochs is None and steps is not None:
        return Warmup(over=Duration(steps / 10, "steps")), Cosine()
    return Warmup(over=Duration(min(1, (epochs or DEFAULT_EPOCHS) / 10), "epochs")), Cosine()


DEFAULT_EPOCHS = 30


class Group(Struct, frozen=True):
    """`group norm, bias { weight_decay = 0 }`: settings of the optimizer for the parameters that a selector names.

    `settings` are final values: `lr = 0.1 * lr` has been computed. A later group wins over an earlier one.
    """

    selectors: tuple[str, ...]
    settings: dict[str, Union[float, bool, tuple[float, ...]]]


class Recipe(Struct, frozen=True, kw_only=True):
    """A recipe, resolved: plain values only, serialisable to JSON."""

    name: str = "defaults"

    data: Annotated[Sources, in_section("data", "where the samples come from")] = Digits()
    validation: Annotated[
        Fraction, in_section("data", "fraction of the training split held out to choose the best weights")
    ] = 0.0
    folds: Annotated[
        Annotated[int, Meta(ge=2)] | None,
        in_section("data", "cross-validation: so many runs, each tested on another part of the training split"),
    ] = None
    label_noise: Annotated[
        Probability, in_section("data", "fraction of the training labels replaced by random ones")
    ] = 0.0
    standardize: Annotated[Standardizations, in_section("data", "how pixels are standardised, inside the net")] = (
        Channel()
    )
    standardize_targets: Annotated[
        bool,
        in_section("data", "regression targets are standardised for the loss; the net gives them in their units"),
    ] = True
    drop_last: Annotated[bool, in_section("data", "leave out the short last batch of an epoch")] = False
    repeat: Annotated[
        Count,
        in_section("data", "repeated augmentation: copies of a sample in an epoch's order (Hoffer et al. 2020)"),
    ] = 1
    sampling: Annotated[
        Samplings | None, in_section("data", "which samples an epoch shows, where not each of them once")
    ] = None
    seed: Annotated[Index, in_section("data", "seed of everything random")] = 0

    augment: Annotated[tuple[Augments, ...], in_section("augmentation", "what is done to training images")] = ()
    mix: Annotated[tuple[Mixes, ...], in_section("augmentation", "one of these per batch")] = ()
    progressive: Annotated[
        Progressive | None, in_section("augmentation", "images, augmentation and dropout that grow in stages")
    ] = None

    loss: Annotated[Losses, in_section("loss", "what is minimised")] = CrossEntropy()
    outputs: Annotated[
        dict[str, NonNegative], in_section("loss", "weight of the loss of each output: `weights(aux1=0.3)`")
    ] = {}
    distill: Annotated[Teachers | None, in_section("loss", "a trained net to learn from, beside the targets")] = None
    penalty: Annotated[tuple[Penalties, ...], in_section("loss", "terms added to the loss")] = ()
    drop_path: Annotated[
        LinkRates | None, in_section("loss", "stochastic depth over the residual links, first to last")
    ] = None
    dropout: Annotated[TimeRates | None, in_section("loss", "rate of the net's dropout layers over time")] = None
    metrics: Annotated[tuple[Metric, ...], in_section("loss", "what is measured besides the loss")] = ()

    epochs: Annotated[Count | None, in_section("optimisation", "passes over the training split")] = None
    steps: Annotated[Count | None, in_section("optimisation", "training steps, instead of epochs")] = None
    batch: Annotated[Count, in_section("optimisation", "samples per step, over all devices")] = 64
    optimizer: Annotated[Optimizers, in_section("optimisation", "how weights are updated")] = AdamW(lr=3e-3)
    schedule: Annotated[
        tuple[Phases, ...],
        in_section(
            "optimisation",
            "the learning rate over time, in phases; by default a warm-up of one epoch (at most a tenth of the run) "
            "and a cosine",
        ),
    ] = default_schedule(None, None)
    schedule_unit: Annotated[
        Literal["step", "epoch"], in_section("optimisation", "whether lr changes at every step or every epoch")
    ] = "step"
    clip: Annotated[Clips | None, in_section("optimisation", "gradient clipping")] = None
    unfreeze: Annotated[
        tuple[Unfreezings, ...], in_section("optimisation", "when layers that `freeze` names begin to train")
    ] = ()
    layer_decay: Annotated[LayerDecay | None, in_section("optimisation", "lower lr for earlier layers")] = None
    init: Annotated[tuple[Inits, ...], in_section("optimisation", "how weights start")] = ()

    ema: Annotated[Ema | None, in_section("averaging", "moving average of the weights")] = None
    swa: Annotated[Swa | None, in_section("averaging", "average of the weights at the end of training")] = None
    lookahead: Annotated[Lookahead | None, in_section("averaging", "slow weights that pull the trained ones back")] = (
        None
    )

    micro_batch: Annotated[Index, in_section("devices", "samples that fit at once on one device; 0: all of them")] = 0
    precision: Annotated[
        Literal["fp32", "tf32", "bf16", "fp16"], in_section("devices", "numbers of the forward pass; on a CPU fp32")
    ] = "tf32"
    compile: Annotated[
        Literal["auto", "on", "off"], in_section("devices", "torch's compiler; auto: on a GPU, for long runs")
    ] = "auto"
    layout: Annotated[Literal["auto", "nchw", "channels_last"], in_section("devices", "memory layout of images")] = (
        "auto"
    )
    workers: Annotated[
        Union[Index, Literal["auto"]],
        in_section("devices", "processes that decode image files ahead; 0: none; auto: one for every free core"),
    ] = "auto"
    resident: Annotated[
        Index, in_section("devices", "MiB of images that a split may take to be decoded once and kept in memory")
    ] = 1024
    batch_norm: Annotated[
        Literal["local", "sync", "reduce_at_eval"],
        in_section(
            "devices",
            "statistics of several devices: the first one's are kept, those of the whole batch, "
            "or each its own, averaged at evaluations and checkpoints",
        ),
    ] = "local"
    shard: Annotated[
        Literal["fsdp"] | None,
        in_section("devices", "what several devices hold: each the whole net, or each a part of every weight (FSDP2)"),
    ] = None
    exchange: Annotated[
        Literal["fp32", "bf16", "fp16"],
        in_section("devices", "numbers in which processes add up their gradients: half as many bytes between machines"),
    ] = "fp32"
    deterministic: Annotated[bool, in_section("devices", "only deterministic kernels")] = False

    evaluate: Annotated[Duration, in_section("checkpoints", "how often to evaluate")] = Duration(1, "epochs")
    tta: Annotated[
        TestTimes | None, in_section("checkpoints", "test-time augmentation: the mean over views of each image")
    ] = None
    stop: Annotated[Stop | None, in_section("checkpoints", "early stopping")] = None
    final: Annotated[
        Finals | None,
        in_section(
            "checkpoints",
            "the weights that are measured and exported at the end; none: `best` with `stop`, else `last`",
        ),
    ] = None
    checkpoint: Annotated[Duration, in_section("checkpoints", "how often to save a checkpoint")] = Duration(1, "epochs")
    keep: Annotated[Keep, in_section("checkpoints", "which checkpoints stay: `keep = 3` the last three")] = Keep()

    groups: tuple[Group, ...] = ()
    freeze: tuple[str, ...] = ()

    def total_steps(self, per_epoch: int) -> int:
        """The number of steps of a whole run."""
        return self.steps if self.steps is not None else (self.epochs or DEFAULT_EPOCHS) * per_epoch

    @property
    def evaluated(self) -> Finals:
        """The weights that are evaluated at the end: `final`, else the best where training may stop early."""
        return self.final or (Last() if self.stop is None else Best())


def updates_per_epoch(samples: int, batch: int, drop_last: bool) -> int:
    """Steps of an epoch; the last one is short unless it is left out."""
    return max(1, samples // batch if drop_last else -(-samples // batch))


def validation_samples(fraction: float, samples: int) -> int:
    """How many of the training samples are held out."""
    return max(1, round(fraction * samples)) if fraction else 0


def training_size(recipe: Recipe, samples: int | None = None) -> int | None:
    """How many samples a recipe trains with, after the validation split; None where nobody knows how many there are.

    `samples`: of the training split, else what its data are known to have.
    """
    samples = samples or recipe.data.training_samples()
    return samples - validation_samples(recipe.validation, samples) if samples else None


STRUCTURE = ("name", "groups", "freeze")
"""Fields that are not written as `name = value`."""
