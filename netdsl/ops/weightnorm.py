"""Weights computed from others: `weight_norm` and `spectral_norm`, options of `conv` and `linear`, as PyTorch's
parametrizations of those names."""

from math import prod
from typing import Any

from msgspec import Struct

from netdsl.ops.base import Buffer, Call, Graph, OpError, Param

PREFIX = "parametrizations.weight"
"""Where PyTorch keeps what a weight is computed from."""


class Normed(Struct, frozen=True):
    """How the weight of a layer is computed: from its lengths and directions (Salimans & Kingma, 2016), or divided by
    its largest singular value (Miyato et al., 2018), or not at all."""

    weight_norm: bool
    spectral_norm: bool

    def check(self, other: str = "") -> None:
        """Raise OpError where several are asked for; `other`: a further option that computes the weight."""
        asked = [n for n, on in (("weight_norm", self.weight_norm), ("spectral_norm", self.spectral_norm)) if on]
        asked += [other] if other else []
        if len(asked) > 1:
            message = f"`{asked[0]}` and `{asked[1]}` both compute the weight"
            raise OpError(message, argument=asked[0], code="argument-conflict")

    @property
    def active(self) -> bool:
        return self.weight_norm or self.spectral_norm

    def params(self, plain: dict[str, Param]) -> dict[str, Param]:
        """The parameters of a layer, from those of the plain one, in PyTorch's order."""
        if not self.active:
            return plain
        weight, rest = plain["weight"], {n: p for n, p in plain.items() if n != "weight"}
        if self.spectral_norm:
            return rest | {f"{PREFIX}.original": weight}
        lengths = Param((weight.shape[0], *(1 for _ in weight.shape[1:])), "scale")
        return rest | {f"{PREFIX}.original0": lengths, f"{PREFIX}.original1": weight}

    def buffers(self, weight: Param) -> dict[str, Buffer]:
        """The singular vectors that a power iteration follows while training."""
        if not self.spectral_norm:
            return {}
        return {f"{PREFIX}.0._u": Buffer(weight.shape[:1]), f"{PREFIX}.0._v": Buffer((prod(weight.shape[1:]),))}

    def wrapped(self, layer: Call) -> Call:
        """The PyTorch form of a layer with its parametrization."""
        if not self.active:
            return layer
        name = "weight_norm" if self.weight_norm else "spectral_norm"
        return Call(f"nn.utils.parametrizations.{name}", (layer,))

    def array(self, g: Graph) -> Any:
        """The values of the weight."""
        if self.weight_norm:
            lengths, directions = (g.array(f"{PREFIX}.original{i}") for i in (0, 1))
            norms = (directions**2).sum(tuple(range(1, directions.ndim)), keepdims=True) ** 0.5
            return directions * (lengths / norms)
        if self.spectral_norm:
            weight = g.array(f"{PREFIX}.original")
            u, v = (g.array(f"{PREFIX}.0._{n}") for n in "uv")
            return weight / (u @ weight.reshape(len(weight), -1) @ v)
        return g.array("weight")

    def stored(self, g: Graph) -> str:
        """The initialiser of the weight."""
        return g.const(self.array(g)) if self.active else g.weight("weight")
