"""Optimizers. Arguments have PyTorch's names and defaults; `lr` is the peak that the schedule multiplies."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from netdsl.recipe.component import Component, Count, Fraction, NonNegative, Positive
from netdsl.recipe.registry import component

Lr = Annotated[float, Meta(gt=0, description="peak learning rate, before the schedule")]
Decay = Annotated[float, Meta(ge=0, description="weight decay")]
Betas = Annotated[tuple[Fraction, Fraction], Meta(description="decay rates of the two running averages")]
Eps = Annotated[float, Meta(gt=0, description="added to the denominator")]
Momentum = Annotated[float, Meta(ge=0, lt=1, description="momentum")]


class Optimizer(Component, frozen=True, kw_only=True):
    """The base of all optimizers. `per_batch`: the batch that `lr` is stated for; lr scales linearly with the
    recipe's."""

    positional: ClassVar[int] = 1
    lr: Lr
    weight_decay: Decay = 0.0
    per_batch: Annotated[
        Count | None, Meta(description="batch that `lr` is stated for: lr * batch / per_batch is used")
    ] = None

    @property
    def state_per_parameter(self) -> int:
        """How many values the optimizer keeps for each parameter that it trains."""
        return 1

    @property
    def decay_times(self) -> Literal["lr", "schedule", "normalized"]:
        """The factor of the weight decay (see `AdamW`)."""
        return "lr"

    @property
    def holds_lr(self) -> bool:
        """Whether the momentum buffer holds lr * gradient."""
        return False

    def method(self, role: str, axes: int, head: bool) -> str:
        """The optimizer that trains a parameter in its place; empty where it does so itself."""
        return ""


@component("optimizer")
class Sgd(Optimizer, frozen=True, tag="sgd", kw_only=True):
    """Stochastic gradient descent, as torch.optim.SGD: weight decay is L2 (added to the gradient).

    `lr_in_buffer`: the momentum buffer holds lr * gradient (Caffe, AlexNet, cifar10-fast), so that a change of lr acts
    on new gradients only; PyTorch's convention multiplies the whole buffer.
    """

    source: ClassVar[str] = "Robbins & Monro 1951; Sutskever et al. 2013 (Nesterov)"
    lr: Lr = 0.1
    momentum: Momentum = 0.0
    dampening: Annotated[float, Meta(ge=0, description="damps the gradient's share of the buffer")] = 0.0
    nesterov: Annotated[bool, Meta(description="look ahead along the momentum")] = False
    lr_in_buffer: Annotated[bool, Meta(description="momentum buffer holds lr * gradient")] = False

    @property
    def state_per_parameter(self) -> int:
        return int(self.momentum > 0)

    @property
    def holds_lr(self) -> bool:
        return self.lr_in_buffer


class Adaptive(Optimizer, frozen=True, kw_only=True):
    """The base of Adam and its variants."""

    lr: Lr = 1e-3
    betas: Betas = (0.9, 0.999)
    eps: Eps = 1e-8

    @property
    def state_per_parameter(self) -> int:
        return 2


@component("optimizer")
class Adam(Adaptive, frozen=True, tag="adam"):
    """Adam, as torch.optim.Adam: weight decay is L2, added to the gradient."""

    source: ClassVar[str] = "Kingma & Ba 2015"


@component("optimizer")
class AdamW(Adaptive, frozen=True, tag="adamw", kw_only=True):
    """Adam with decoupled weight decay, as torch.optim.AdamW.

    `decay`: `lr` decays by lr(t) * weight_decay as PyTorch does; `schedule` by the schedule's multiplier alone, as the
    paper writes it; `normalized` like `schedule`, with weight_decay / sqrt(steps), steps those of the run.
    """

    source: ClassVar[str] = "Loshchilov & Hutter 2019"
    weight_decay: Decay = 0.01
    decay: Annotated[Literal["lr", "schedule", "normalized"], Meta(description="what the decay is multiplied by")] = (
        "lr"
    )

    @property
    def decay_times(self) -> Literal["lr", "schedule", "normalized"]:
        return self.decay


@component("optimizer")
class NAdam(Adaptive, frozen=True, tag="nadam", kw_only=True):
    """Adam with Nesterov momentum, as torch.optim.NAdam."""

    source: ClassVar[str] = "Dozat 2016"
    lr: Lr = 2e-3
    decoupled: Annotated[bool, Meta(description="weight decay as in AdamW")] = False


@component("optimizer")
class RAdam(Adaptive, frozen=True, tag="radam", kw_only=True):
    """Rectified Adam, as torch.optim.RAdam."""

    source: ClassVar[str] = "Liu et al. 2020"
    decoupled: Annotated[bool, Meta(description="weight decay as in AdamW")] = False


@component("optimizer")
class RmsProp(Optimizer, frozen=True, tag="rmsprop", kw_only=True):
    """RMSprop, as torch.optim.RMSprop. `lr_in_buffer`: the momentum buffer holds lr * step, as TensorFlow's does.

    `tensorflow`: TensorFlow's as a whole (timm's RMSpropTF): the average of the squared gradient starts at 1, eps
    stands under the root, and the momentum buffer holds lr * step.
    """

    source: ClassVar[str] = "Tieleman & Hinton 2012"
    lr: Lr = 1e-2
    alpha: Annotated[float, Meta(ge=0, lt=1, description="smoothing of the squared gradient")] = 0.99
    eps: Eps = 1e-8
    momentum: Momentum = 0.0
    centered: Annotated[bool, Meta(description="normalise by the variance")] = False
    lr_in_buffer: Annotated[bool, Meta(description="momentum buffer holds lr * step")] = False
    tensorflow: Annotated[bool, Meta(description="squares start at 1, eps under the root, lr in the buffer")] = False

    @property
    def state_per_parameter(self) -> int:
        return 1 + (self.momentum > 0) + self.centered

    @property
    def holds_lr(self) -> bool:
        return self.lr_in_buffer and not self.tensorflow


@component("optimizer")
class Adagrad(Optimizer, frozen=True, tag="adagrad", kw_only=True):
    """Adagrad, as torch.optim.Adagrad."""

    source: ClassVar[str] = "Duchi et al. 2011"
    lr: Lr = 1e-2
    eps: Eps = 1e-10


@component("optimizer")
class Muon(Optimizer, frozen=True, tag="muon", kw_only=True):
    """Muon for the matrices of hidden layers, as torch.optim.Muon; everything else is trained by AdamW at `adamw_lr`:
    the last layer, tables, norms, scales, biases.

    A convolution's weight is taken as a matrix of (out, in * kernel).
    """

    source: ClassVar[str] = "Jordan et al. 2024"
    lr: Lr = 1e-3
    momentum: Momentum = 0.95
    nesterov: bool = True
    weight_decay: Decay = 0.1
    adamw_lr: Annotated[float, Meta(gt=0, description="lr of what Muon does not train, scheduled and scaled alike")] = (
        1e-3
    )
    adjust: Annotated[Literal["original", "match_rms_adamw"], Meta(description="how lr follows a matrix's shape")] = (
        "original"
    )

    def method(self, role: str, axes: int, head: bool) -> str:
        return "" if role in ("conv", "linear", "recurrent") and axes > 1 and not head else "adamw"


@component("optimizer")
class Lion(Optimizer, frozen=True, tag="lion", kw_only=True):
    """Lion: the sign of an interpolated momentum, with decoupled weight decay."""

    source: ClassVar[str] = "Chen et al. 2023"
    lr: Lr = 1e-4
    betas: Betas = (0.9, 0.99)


@component("optimizer")
class Lamb(Adaptive, frozen=True, tag="lamb", kw_only=True):
    """LAMB: Adam's update rescaled per tensor by |w| / |update|, with decoupled weight decay."""

    source: ClassVar[str] = "You et al. 2020"
    eps: Eps = 1e-6
    max_norm: Annotated[NonNegative, Meta(description="global gradient norm is clipped to this first; 0: not")] = 1.0


@component("optimizer")
class Lars(Optimizer, frozen=True, tag="lars", kw_only=True):
    """LARS: momentum SGD whose step is rescaled per tensor by trust * |w| / (|g| + decay * |w|)."""

    source: ClassVar[str] = "You et al. 2017"
    lr: Lr = 0.1
    momentum: Momentum = 0.9
    trust: Annotated[Positive, Meta(description="trust coefficient")] = 0.001
