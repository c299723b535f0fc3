"""Against fitting noise: averages of weights, clipping, penalties, rates over depth and time, stopping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from msgspec import Meta

from netdsl.recipe.component import Component, Count, Duration, Fraction, Index, NonNegative, Positive, Probability
from netdsl.recipe.metrics import Deciding
from netdsl.recipe.registry import accepted, component


@component("ema")
class Ema(Component, frozen=True, tag="ema"):
    """An exponential moving average of the weights, evaluated and saved beside the raw ones.

    `warmup`: decay at update n is at most (1 + n) / (10 + n). `restart`: until this time the average is the current
    weights. `buffers`: batch-norm statistics are copied or averaged; counters are always copied. `scaled`: as
    torchvision does, 1 - decay is multiplied by batch * every / epochs.
    """

    source: ClassVar[str] = "Polyak & Juditsky 1992"
    bare: ClassVar[str] = "decay"
    decay: Annotated[Fraction, Meta(description="weight of the old average")]
    every: Annotated[Count, Meta(description="update once in so many steps")] = 1
    warmup: bool = False
    restart: Annotated[Duration | None, Meta(description="until then the average is the current weights")] = None
    buffers: Literal["copy", "average"] = "copy"
    scaled: Annotated[bool, Meta(description="1 - decay is multiplied by batch * every / epochs (torchvision)")] = False

    @property
    def idle(self) -> bool:
        return not self.decay


@component("swa")
class Swa(Component, frozen=True, tag="swa"):
    """The plain average of the weights from `start` on, once per epoch; batch-norm statistics are recomputed at the
    end."""

    source: ClassVar[str] = "Izmailov et al. 2018"
    start: Annotated[Probability, Meta(description="fraction of training after which averaging begins")] = 0.75


@component("lookahead")
class Lookahead(Component, frozen=True, tag="lookahead"):
    """Every `every` steps slow weights move the fraction `alpha` of the way to the trained ones, and training continues
    from them; the run ends with the slow weights.

    `power`: the fraction is 1 - (1 - alpha) * t^power with t from 0 to 1 over the run: airbench's is `lookahead(5, 1 -
    0.95**5, power=3, buffers=true)`.
    """

    source: ClassVar[str] = "Zhang et al. 2019 (Lookahead); Jordan 2024"
    every: Annotated[Count, Meta(description="steps between two steps of the slow weights")] = 5
    alpha: Annotated[Probability, Meta(description="how far the slow weights go")] = 0.5
    power: Annotated[
        NonNegative, Meta(description="how the fraction falls to `alpha` over the run; 0: it is constant")
    ] = 0.0
    buffers: Annotated[bool, Meta(description="statistics of batch norms are slow and fast too")] = False

    @property
    def idle(self) -> bool:
        return self.alpha == 1


class Clip(Component, frozen=True):
    """One way to bound the gradient before a step."""


@component("clip")
class ClipNorm(Clip, frozen=True, tag="norm"):
    """Rescales the whole gradient to at most this 2-norm, as torch's clip_grad_norm_."""

    source: ClassVar[str] = "Pascanu et al. 2013"
    bare: ClassVar[str] = "limit"
    limit: Positive


@component("clip")
class ClipValue(Clip, frozen=True, tag="value"):
    """Cuts every number of the gradient to [-limit, limit]."""

    limit: Positive


@component("clip")
class ClipAdaptive(Clip, frozen=True, tag="adaptive"):
    """Rescales each unit's gradient to at most `limit` times its weight's norm."""

    source: ClassVar[str] = "Brock et al. 2021"
    limit: Positive = 0.01
    eps: Positive = 1e-3


class Penalty(Component, frozen=True):
    """A term that is added to the loss."""

    rate: NonNegative

    @property
    def idle(self) -> bool:
        return not self.rate


@component("penalty")
class L1Penalty(Penalty, frozen=True, tag="l1"):
    """Adds `rate` * sum |w| over the weights (not norms, biases or scales)."""

    source: ClassVar[str] = "Tibshirani 1996"


@component("penalty")
class L2Penalty(Penalty, frozen=True, tag="l2"):
    """Adds `rate` / 2 * sum w^2 over the weights: coupled decay, whatever the optimizer."""


@component("penalty")
class GroupLasso(Penalty, frozen=True, tag="group_lasso"):
    """Adds `rate` * sum of sqrt(size) * 2-norm of each output unit's weights."""

    source: ClassVar[str] = "Yuan & Lin 2006"


@component("penalty")
class ByProduct(Penalty, frozen=True, tag="l1_by_product"):
    """Adds `rate` * sum |w| through w = a * b with L2 on a and b: at a minimum `rate` / 2 * (a^2 + b^2) = `rate` * |w|,
    without a kink, so that weights really reach 0.

    The optimizer trains a and b, with the settings of w's group but without weight decay, which would add to the
    penalty. Best and final weights are folded; there and when measuring, weights below `least` are 0.
    """

    source: ClassVar[str] = "Hoff 2017; Ziyin & Wang 2023"
    least: Annotated[NonNegative, Meta(description="smaller weights are 0 when they are used")] = 1e-6


@component("drop_path", "drop_path.rates", "dropout")
class Flat(Component, frozen=True, tag="constant"):
    """The same rate everywhere."""

    rate: Probability


@component("drop_path", "drop_path.rates", "dropout")
class Ramp(Component, frozen=True, tag="linear"):
    """From `start` to `to` in equal steps: over the residual links first to last, or over the epochs."""

    start: Probability
    to: Probability


@component("drop_path", "drop_path.rates")
class Rates(Component, frozen=True, tag="rates"):
    """A rate for every residual link, first to last, where no rule gives them."""

    each: tuple[Probability, ...]


@component("dropout")
class Early(Component, frozen=True, tag="early"):
    """The rate until a time, falling linearly to 0 (or at once); none after."""

    source: ClassVar[str] = "Liu et al. 2023 (Dropout reduces underfitting)"
    rate: Probability
    until: Duration
    shape: Literal["linear", "constant"] = "linear"


@component("dropout")
class Late(Component, frozen=True, tag="late"):
    """None until a time, then the rate."""

    source: ClassVar[str] = "Liu et al. 2023 (Dropout reduces underfitting)"
    rate: Probability
    after: Duration


if TYPE_CHECKING:
    LinkRates = Flat | Ramp | Rates
else:
    LinkRates = accepted("drop_path.rates")


@component("drop_path")
class DropPath(Component, frozen=True, tag="drop_path"):
    """Stochastic depth with all its choices: `drop_path(linear(0, 0.5), mode=batch)`.

    `links`: so many neighbouring links share a rate, and `linear` counts in steps of them: 2 for a transformer, whose
    blocks have a link around the attention and one around the MLP. A dropped branch is computed and multiplied by 0:
    its weights get a gradient of 0, and no time is saved.
    """

    source: ClassVar[str] = "Huang et al. 2016"
    rates: LinkRates
    mode: Annotated[Literal["row", "batch"], Meta(description="drawn for each sample, or once for the batch")] = "row"
    links: Annotated[Count, Meta(description="neighbouring links that share a rate")] = 1


@component("stop")
class Stop(Component, frozen=True, tag="early_stopping"):
    """Stops when the validation metric has not improved for `patience` evaluations; the best weights are kept."""

    source: ClassVar[str] = "Prechelt 1998"
    patience: Count
    metric: Annotated[Deciding, Meta(description="what must improve")] = "loss"
    least: Annotated[NonNegative, Meta(description="smaller improvements do not count")] = 0.0


@component("layer_decay")
class LayerDecay(Component, frozen=True, tag="layer_decay"):
    """Layer-wise lr decay: lr * rate^(last - layer), stem is layer 0, the head the last.

    Layers follow from the net's structure: `blocks` consecutive blocks of one stage make a layer, with the downsampling
    before them. `layers` fixes the number of the last layer of blocks (ConvNeXt's code calls it 12 for every depth).
    """

    source: ClassVar[str] = "Clark et al. 2020; Bao et al. 2022"
    bare: ClassVar[str] = "rate"
    rate: Annotated[Probability, Meta(description="lr ratio of neighbouring layers")]
    blocks: Count = 1
    layers: Index | None = None

    @property
    def idle(self) -> bool:
        return self.rate == 1
