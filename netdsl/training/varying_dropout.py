"""Dropout whose rate changes over time under torch's compiler.

Compiled code holds a layer's `p` as a constant, so a new rate at every step is a new compilation, and after eight of
them none. Here the rate is a tensor, which compiled code reads.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

SATURATED = -1.7580993408473766
"""What SELU gives far below 0, which alpha dropout sets numbers to: - scale * alpha (Klambauer et al. 2017)."""


def let_rates_vary(module: nn.Module) -> None:
    """Let the dropout layers of a module take their rate from a buffer, `rate`, which no checkpoint holds.

    Layers change their class, as torch's own parametrizations do.
    """
    device = next(module.parameters(), torch.empty(0)).device
    for layer in module.modules():
        if (varying := VARYING.get(type(layer))) is not None:
            layer.__class__ = varying
        elif type(layer).__name__ == "DropConnect":  # is written into the source of its net
            layer.__class__ = VaryingDropConnect
        elif type(layer).__name__ == "GaussianDropout":
            layer.__class__ = VaryingGaussian
        else:
            continue
        layer.register_buffer("rate", torch.tensor(float(layer.p), device=device), persistent=False)  # type: ignore[arg-type]


def set_rate(layer: Any, rate: float) -> None:
    """Give a dropout layer its rate."""
    if isinstance(layer, Varying):
        layer.rate.fill_(rate)
    else:
        layer.p = rate


class Varying(nn.Module):
    """A layer with its rate in a buffer."""

    rate: Tensor

    def kept(self, shape: Any, like: Tensor) -> Tensor:
        """A random mask of what is not dropped."""
        return torch.rand(shape, device=like.device) >= self.rate

    def scaled(self, x: Tensor, shape: Any) -> Tensor:
        """The numbers of x that are kept, as large as all were; at rate 1 nothing is."""
        factor = self.kept(shape, x) / (1 - self.rate).clamp(min=torch.finfo(torch.float32).tiny)
        return x * factor.to(x.dtype)


class VaryingDropout(Varying, nn.Dropout):
    """Drops numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return self.scaled(x, x.shape) if self.training else x


class VaryingFeatureDropout(Varying, nn.Dropout2d):
    """Drops whole channels."""

    def forward(self, x: Tensor) -> Tensor:
        return self.scaled(x, (*x.shape[:2], *[1] * (x.ndim - 2))) if self.training else x


class VaryingAlphaDropout(Varying, nn.AlphaDropout):
    """Sets numbers to SELU's lowest value, and keeps mean and variance."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        keep = 1 - self.rate
        scale = (keep * (1 + self.rate * SATURATED**2)).clamp(min=torch.finfo(torch.float32).tiny).rsqrt()
        mixed = torch.where(self.kept(x.shape, x), x, torch.full_like(x, SATURATED))
        return (scale * mixed - scale * SATURATED * self.rate).to(x.dtype)


class VaryingGaussian(Varying, nn.Dropout):
    """Multiplies by noise of mean 1 and variance p / (1 - p)."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        deviation = (self.rate / (1 - self.rate)).sqrt()
        return x * (1 + deviation * torch.randn_like(x)).to(x.dtype)


class VaryingDropConnect(Varying, nn.Linear):
    """A linear layer that drops weights."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.scaled(self.weight, self.weight.shape) if self.training else self.weight
        return functional.linear(x, weight, self.bias)


VARYING: dict[type[nn.Module], type[nn.Module]] = {
    nn.Dropout: VaryingDropout,
    nn.Dropout1d: VaryingFeatureDropout,
    nn.Dropout2d: VaryingFeatureDropout,
    nn.Dropout3d: VaryingFeatureDropout,
    nn.AlphaDropout: VaryingAlphaDropout,
}
