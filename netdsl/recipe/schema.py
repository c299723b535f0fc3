"""Every field of a recipe, declared once."""

from __future__ import annotations

from typing import Annotated, Literal, Union

from msgspec import Meta, Struct

from netdsl.recipe.augmentations import Augments, Mixes, Progressive
from netdsl.recipe.component import Count, Duration, Fraction, Index, NonNegative, Probability
from netdsl.recipe.inits import Inits
from netdsl.recipe.losses import CrossEntropy, Losses
from netdsl.recipe.optimizers import AdamW, Optimizers
from netdsl.recipe.regularizers import Clips, Depths, Ema, LayerDecay, Lookahead, Penalties, Stop, Swa, Times
from netdsl.recipe.retention import Finals, Keep
from netdsl.recipe.schedules import Cosine, Phases, Warmup
from netdsl.recipe.sources import Channel, Digits, Sources, Standards

Metric = Literal["top1", "top5", "per_class", "confusion", "mean_iou", "rmse", "perplexity"]


class Group(Struct, frozen=True):
    """`group norm, bias { weight_decay = 0 }`: settings of the optimizer for the parameters that a selector names.

    `settings` are final values: `lr = 0.1 * lr` has been computed. A later group wins over an earlier one.
    """

    selectors: tuple[str, ...]
    settings: dict[str, Union[float, bool, tuple[float, ...]]]


class Recipe(Struct, frozen=True, kw_only=True):
    """A recipe, resolved: plain values only, serialisable to JSON."""

    name: str = "defaults"
    data: Annotated[Sources, Meta(description="where the samples come from")] = Digits()
    validation: Annotated[
        Fraction, Meta(description="fraction of the training split held out to choose the best weights")
    ] = 0.0
    label_noise: Annotated[Probability, Meta(description="fraction of the training labels replaced by random ones")] = (
        0.0
    )
    standardize: Annotated[Standards, Meta(description="how pixels are standardised, inside the net")] = Channel()
    epochs: Annotated[Count | None, Meta(description="passes over the training split")] = None
    steps: Annotated[Count | None, Meta(description="updates of the weights, instead of epochs")] = None
    batch: Annotated[Count, Meta(description="samples per update, over all devices")] = 64
    micro_batch: Annotated[Index, Meta(description="samples that fit at once on one device; 0: all of them")] = 0
    drop_last: Annotated[bool, Meta(description="leave out the short last batch of an epoch")] = False
    repeat: Annotated[
        Count, Meta(description="repeated augmentation: copies of a sample in an epoch's order (Hoffer et al. 2020)")
    ] = 1
    loss: Annotated[Losses, Meta(description="what is minimised")] = CrossEntropy()
    outputs: Annotated[
        dict[str, NonNegative], Meta(description="weight of the loss of each output: `weights(aux1=0.3)`")
    ] = {}
    optimizer: Annotated[Optimizers, Meta(description="how weights are updated")] = AdamW(lr=3e-3)
    schedule: Annotated[tuple[Phases, ...], Meta(description="the learning rate over time, in phases")] = (
        Warmup(over=Duration(1, "epochs")),
        Cosine(),
    )
    schedule_unit: Annotated[
        Literal["step", "epoch"], Meta(description="whether lr changes at every step or every epoch")
    ] = "step"
    augment: Annotated[tuple[Augments, ...], Meta(description="what is done to training pictures")] = ()
    mix: Annotated[tuple[Mixes, ...], Meta(description="one of these per batch")] = ()
    progressive: Annotated[
        Progressive | None, Meta(description="pictures, augmentation and dropout that grow in stages")
    ] = None
    drop_path: Annotated[Depths | None, Meta(description="stochastic depth over the residual links, first to last")] = (
        None
    )
    dropout: Annotated[Times | None, Meta(description="rate of the net's dropout layers over time")] = None
    ema: Annotated[Ema | None, Meta(description="moving average of the weights")] = None
    swa: Annotated[Swa | None, Meta(description="average of the weights at the end of training")] = None
    lookahead: Annotated[Lookahead | None, Meta(description="slow weights that pull the trained ones back")] = None
    clip: Annotated[Clips | None, Meta(description="gradient clipping")] = None
    penalty: Annotated[tuple[Penalties, ...], Meta(description="terms added to the loss")] = ()
    init: Annotated[tuple[Inits, ...], Meta(description="how weights start")] = ()
    layer_decay: Annotated[LayerDecay | None, Meta(description="lower lr for earlier layers")] = None
    stop: Annotated[Stop | None, Meta(description="early stopping")] = None
    final: Annotated[
        Finals | None,
        Meta(
            description="the weights that are measured and exported at the end; none: `best` with `stop`, else `last`"
        ),
    ] = None
    metrics: Annotated[tuple[Metric, ...], Meta(description="what is measured besides the loss")] = ()
    precision: Annotated[
        Literal["fp32", "tf32", "bf16", "fp16"], Meta(description="numbers of the forward pass; on a CPU fp32")
    ] = "fp32"
    compile: Annotated[Literal["auto", "on", "off"], Meta(description="torch's compiler; auto: on a GPU only")] = "auto"
    layout: Annotated[Literal["auto", "nchw", "channels_last"], Meta(description="memory layout of pictures")] = "auto"
    workers: Annotated[
        Union[Index, Literal["auto"]],
        Meta(description="processes that decode pictures in files ahead; 0: none; auto: one for every free core"),
    ] = "auto"
    resident: Annotated[
        Index, Meta(description="MiB of pictures that a split may take to be decoded once and kept in memory")
    ] = 1024
    batch_norm: Annotated[
        Literal["local", "sync", "reduce_at_eval"],
        Meta(
            description="statistics of several devices: the first one's are kept, those of the whole batch, "
            "or each its own, averaged at evaluations and checkpoints"
        ),
    ] = "local"
    shard: Annotated[
        Literal["fsdp"] | None,
        Meta(description="what several devices hold: each the whole net, or each a part of every weight (FSDP2)"),
    ] = None
    seed: Annotated[Index, Meta(description="seed of everything random")] = 0
    deterministic: Annotated[bool, Meta(description="only deterministic kernels")] = False
    evaluate: Annotated[Duration, Meta(description="how often to evaluate")] = Duration(1, "epochs")
    checkpoint: Annotated[Duration, Meta(description="how often to save a checkpoint")] = Duration(1, "epochs")
    keep: Annotated[Keep, Meta(description="which checkpoints stay: `keep = 3` the last three")] = Keep()
    groups: tuple[Group, ...] = ()
    freeze: tuple[str, ...] = ()

    def total_steps(self, per_epoch: int) -> int:
        """The number of updates of a whole run."""
        return self.steps if self.steps is not None else (self.epochs or DEFAULT_EPOCHS) * per_epoch

    @property
    def has_end(self) -> bool:
        return self.epochs is not None or self.steps is not None


def updates_per_epoch(samples: int, batch: int, drop_last: bool) -> int:
    """Updates of an epoch; the last one is short unless it is left out."""
    return max(1, samples // batch if drop_last else -(-samples // batch))


def validation_samples(fraction: float, samples: int) -> int:
    """How many of the training samples are held out."""
    return max(1, round(fraction * samples)) if fraction else 0


STRUCTURE = ("name", "groups", "freeze")
"""Fields that are not written as `name = value`."""

DEFAULT_EPOCHS = 30
