"""Weight initialization. `->` applies one after the other: `kaiming(mode=fan_out, only=["conv"]) -> zero_last_norm`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from netdsl.recipe.component import Component, NonNegative, Positive
from netdsl.recipe.paths import A_PATH, PERHAPS_A_PATH
from netdsl.recipe.registry import component


class Init(Component, frozen=True):
    """One step of the initialisation of the weights."""

    @property
    def selectors(self) -> tuple[str, ...]:
        """The selectors of the parameters it is for; empty: it chooses them itself."""
        return ()


@component("init")
class Default(Init, frozen=True, tag="pytorch"):
    """PyTorch's own: kaiming_uniform(a=sqrt(5)) for weights, uniform(1 / sqrt(fan_in)) for biases."""


class Draw(Init, frozen=True, kw_only=True):
    """`only`: the selectors of what is drawn (`"conv"`, `"head"`); then biases beside it become 0, others stay."""

    only: Annotated[
        tuple[str, ...], Meta(description="roles, labels or paths of what it is for; none: everything")
    ] = ()

    @property
    def selectors(self) -> tuple[str, ...]:
        return self.only


@component("init")
class TruncNormal(Draw, frozen=True, tag="trunc_normal"):
    """Normal cut at +-2 (not at 2 std, as torch.nn.init.trunc_normal_) for convolutions, linears and tables; biases
    0."""

    std: Positive = 0.02


@component("init")
class Normal(Draw, frozen=True, tag="normal"):
    """Normal for convolutions and linears; biases 0."""

    std: Positive = 0.01


@component("init")
class Uniform(Draw, frozen=True, tag="uniform"):
    """Uniform in [-bound, bound] for all weights and biases (not norms and scales)."""

    bound: Positive = 0.08


@component("init")
class Xavier(Draw, frozen=True, tag="xavier"):
    """Variance 2 / (fan_in + fan_out); biases 0."""

    source: ClassVar[str] = "Glorot & Bengio 2010"
    distribution: Literal["uniform", "normal"] = "uniform"
    gain: Positive = 1.0


@component("init")
class Kaiming(Draw, frozen=True, tag="kaiming"):
    """Variance gain^2 / fan; biases 0. `gain^2` is 2 for relu, 1 for linear."""

    source: ClassVar[str] = "He et al. 2015"
    mode: Literal["fan_in", "fan_out"] = "fan_in"
    distribution: Literal["uniform", "normal"] = "normal"
    nonlinearity: Literal["relu", "linear"] = "relu"


@component("init")
class Orthogonal(Draw, frozen=True, tag="orthogonal"):
    """Rows or columns orthonormal, times `gain`; biases 0."""

    source: ClassVar[str] = "Saxe et al. 2014"
    gain: Positive = 1.0


@component("init")
class Constant(Draw, frozen=True, tag="constant"):
    """Convolutions and linears to a constant, or what a selector names; biases 0."""

    value: float


@component("init")
class Dirac(Draw, frozen=True, tag="dirac"):
    """Convolutions start as the identity: output i copies input i, as torch.nn.init.dirac_. Outputs beyond the inputs
    stay as they are (airbench)."""

    source: ClassVar[str] = "Zagoruyko & Komodakis 2017; Jordan 2024"


@component("init")
class Biases(Draw, frozen=True, tag="biases"):
    """Biases to a constant."""

    value: float = 0.0


@component("init")
class Gates(Init, frozen=True, tag="gates"):
    """The gate that decides what a recurrent layer keeps starts open: the bias of an LSTM's forget gate and of a GRU's
    update gate. A gate of bias b keeps a share of 1 / (1 + e^-b) at each step, so that log(T - 1) remembers for T
    steps. What a GRU keeps it does not overwrite; `coupled` closes an LSTM's input gate by as much."""

    source: ClassVar[str] = "Gers et al. 2000; Jozefowicz et al. 2015; `coupled`: Tallec & Ollivier 2018"
    bias: float = 1.0
    coupled: bool = False


@component("init")
class ZeroLastNorm(Init, frozen=True, tag="zero_last_norm"):
    """The gain of the last norm of every residual branch is 0, so that each block starts as the identity."""

    source: ClassVar[str] = "Goyal et al. 2017"


@component("init")
class HeadScale(Init, frozen=True, tag="head_scale"):
    """The last linear layer's weight and bias are multiplied by `factor`."""

    source: ClassVar[str] = "ConvNeXt fine-tuning (head_init_scale)"
    factor: NonNegative


@component("init")
class Weights(Init, frozen=True, tag="weights"):
    """Weights from a file, under the net's own keys or others (torchvision, timm), matched as `netdsl weights`
    does; `strict=false` leaves what is missing, or a head of other classes, as it is and says so. `into="backbone"`
    fills one part of the net: the file is that of the net which the part was taken from. `inside`, `exclude`, `map` and
    `channels` are those of `netdsl weights`."""

    path: Annotated[str, Meta(description="a file of weights, or a run directory", extra=A_PATH)]
    strict: bool = True
    into: Annotated[str, Meta(description="the path of a part of the net; the whole net by default")] = ""
    inside: Annotated[str, Meta(description="the key or prefix of the file under which the weights are")] = ""
    exclude: Annotated[tuple[str, ...], Meta(description="prefixes, of the net or of the file, that are left out")] = ()
    map: Annotated[str, Meta(description="a mapping, as `--stub` of `netdsl weights` writes it", extra=A_PATH)] = ""
    channels: Annotated[
        Literal["sum", "mean", "repeat"], Meta(description="how the first kernel is brought to other input channels")
    ] = "sum"


@component("init")
class Pretrained(Init, frozen=True, tag="pretrained"):
    """Weights by name, matched as `netdsl weights` does: a repository of the Hugging Face Hub, torchvision's name of
    weights, or a folder such as `netdsl push` writes. A head of other classes, or one that the file lacks, starts as it
    is, and this is said. Pixels are standardised and images resized as they were for the weights, unless the recipe
    says how (a `standardize` other than `channel`, a `resize`, a `crop`)."""

    name: Annotated[
        str,
        Meta(
            min_length=1,
            description='`"timm/resnet50.a1_in1k"`, or a folder relative to the spec',
            extra=PERHAPS_A_PATH,
        ),
    ]
    revision: Annotated[str, Meta(description="a commit or tag of the repository; empty: the newest")] = ""
    head: Annotated[
        Literal["auto", "new"],
        Meta(description="auto: taken over where its classes are the same; new: it starts as it is"),
    ] = "auto"
    exclude: Annotated[tuple[str, ...], Meta(description="prefixes, of the net or of the file, that are left out")] = ()
    into: Annotated[str, Meta(description="the path of a part of the net; the whole net by default")] = ""
    preprocessing: Annotated[bool, Meta(description="prepare images as for the weights")] = True


@component("init")
class Fixup(Init, frozen=True, tag="fixup"):
    """For residual nets without norms: normal with variance 2 / fan, and in the L residual branches of m layers each
    that times L^(-1/(2m-2)) for all but the last layer; the last layer of every branch and the head are 0. Biases 0.

    Its scalar biases and multipliers belong to the net: `it + param((), role=bias)` before every layer, `it *
    param((), init=1)` once in a branch.
    """

    source: ClassVar[str] = "Zhang et al. 2019 (ICLR, Fixup)"
    mode: Annotated[Literal["fan_in", "fan_out"], Meta(description="whose fan; the authors' code has fan_out")] = (
        "fan_out"
    )


@component("init")
class SkipInit(Init, frozen=True, tag="skipinit"):
    """The learnt factor at the end of every residual branch starts at `value`: `residual(scale=1) { ... }`, or `it *
    param(())` as its last line."""

    source: ClassVar[str] = "De & Smith 2020"
    value: Annotated[float, Meta(description="0, or 1 / sqrt(number of branches)")] = 0.0
