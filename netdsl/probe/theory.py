"""Theory of signal propagation at initialization: mean and mean square of every value, from those of its inputs.

Weights are drawn independently and values are close to normal, so that the moments of an op's output follow from those
of its inputs (He et al. 2015, Poole et al. 2016). Where they don't (pooling, attention), the measured ones take over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from msgspec import Struct
from torch import Tensor

from netdsl.analysis.count import join
from netdsl.ir.flatten import Node
from netdsl.probe.machine import Machine, Values
from netdsl.view.items import family

NORMS = ("bn", "layernorm", "groupnorm", "instancenorm", "rmsnorm")

POINTS, SPREAD = 4001, 8.0
"""An activation is integrated over so many points, up to so many deviations."""


class Moments(Struct, frozen=True):
    """The mean of a value over samples, units and positions, and the mean of its square."""

    mean: float
    square: float

    @property
    def variance(self) -> float:
        return self.square - self.mean**2


def measured(x: Tensor) -> Moments:
    """The moments of a tensor."""
    return Moments(x.mean().item(), x.square().mean().item())


class Theory:
    """Follows the moments through a machine's ops. `tensors`: of its module, by path."""

    def __init__(self, machine: Machine, tensors: Mapping[str, Tensor]) -> None:
        self._machine = machine
        self._tensors = tensors

    def follow(self, values: Values) -> dict[str, Moments | None]:
        """The moments to be expected of every value, None where only measuring tells."""
        known: dict[str, Moments] = {}
        found: dict[str, Moments | None] = {}

        def moments(name: str) -> Moments:
            if name not in known:
                known[name] = measured(values[name].double())
            return known[name]

        for node in self._machine.flat:
            expected = None
            if all(values[v.name].is_floating_point() for v in (*node.inputs, *node.outputs)) and node.inputs:
                expected = self._after(node, [moments(v.name) for v in node.inputs])
            for value in node.outputs:
                found[value.name] = expected
                if expected is not None:
                    known[value.name] = expected
        return found

    def _after(self, node: Node, given: Sequence[Moments]) -> Moments | None:
        rule = RULES.get(node.op.kind) or BY_FAMILY.get(family(node.op))
        return rule(self, node, given) if rule else None

    def own(self, node: Node, name: str) -> Tensor | None:
        """A tensor of an op's layer."""
        return self._tensors.get(join(node.layer_path, name))

    def weighted(self, node: Node, given: Sequence[Moments]) -> Moments | None:
        """Sums over inputs, each times a weight: as many terms as a map of ones counts, the border included."""
        weight, bias = self.own(node, "weight"), self.own(node, "bias")
        if weight is None or len(given) != 1:
            return None
        own = {join(node.layer_path, "weight"): torch.ones_like(weight)}
        if bias is not None:
            own[join(node.layer_path, "bias")] = torch.zeros_like(bias)
        ones = torch.ones(1, *node.inputs[0].type.shape, dtype=weight.dtype)  # type: ignore[arg-type]
        terms = self._machine.call(node, [ones], own)[0].mean().item()
        added = bias.square().mean().item() if bias is not None else 0.0
        return Moments(0.0, weight.square().mean().item() * terms * given[0].square + added)

    def normalized(self, node: Node, given: Sequence[Moments]) -> Moments | None:
        """A deviation of 1, times the gain, and the bias."""
        if node.op.kind not in NORMS:
            return None
        gain, bias = self.own(node, "weight"), self.own(node, "bias")
        square = gain.square().mean().item() if gain is not None else 1.0
        shift = bias.mean().item() if bias is not None else 0.0
        return Moments(shift, square + (bias.square().mean().item() if bias is not None else 0.0))

    def scaled(self, node: Node, given: Sequence[Moments]) -> Moments | None:
        """One factor for each feature."""
        factor = self.own(node, "weight")
        if factor is None:
            factor = self.own(node, "")
        if factor is None or len(given) != 1:
            return None
        return Moments(given[0].mean * factor.mean().item(), given[0].square * factor.square().mean().item())

    def activated(self, node: Node, given: Sequence[Moments]) -> Moments | None:
        """A function of each number, integrated over the normal distribution with the given moments."""
        same = len(given) == 1 and node.inputs[0].type.same(node.outputs[0].type)
        if not same or node.op.kind in ("softmax", "log_softmax", "softmin", "prelu"):
            return None
        deviation = math.sqrt(max(given[0].variance, 0.0))
        z = torch.linspace(-SPREAD, SPREAD, POINTS, dtype=torch.float64)
        density = torch.exp(-z.square() / 2)
        density /= density.sum()
        y = self._machine.call(node, [given[0].mean + deviation * z])[0]
        return Moments((density * y).sum().item(), (density * y.square()).sum().item())

    def added(self, node: Node, given: Sequence[Moments]) -> Moments | None:
        """A sum of values that do not depend on each other."""
        a, b = given
        return Moments(a.mean + b.mean, a.square + b.square + 2 * a.mean * b.mean)

    def joined(self, node: Node, given: Sequence[Moments]) -> Moments | None:
        """Values beside each other, each with its share of the numbers."""
        sizes = [v.type.elements for v in node.inputs]
        if not all(isinstance(s, int) for s in sizes):
            return None
        total = sum(sizes)
        shares = [s / total for s in sizes]  # type: ignore[operator]
        return Moments(
            sum(s * m.mean for s, m in zip(shares, given, strict=True)),
            sum(s * m.square for s, m in zip(shares, given, strict=True)),
        )

    def moved(self, node: Node, given: Sequence[Moments]) -> Moments | None:
        """The same numbers in other places."""
        whole = len(given) == 1 and node.inputs[0].type.elements == node.outputs[0].type.elements
        return given[0] if whole and len(node.outputs) == 1 else None


Rule = Callable[[Theory, Node, Sequence[Moments]], Moments | None]

RULES: dict[str, Rule] = {"add": Theory.added, "concat": Theory.joined, "scale": Theory.scaled}
BY_FAMILY: dict[str, Rule] = {
    "conv": Theory.weighted,
    "linear": Theory.weighted,
    "norm": Theory.normalized,
    "activation": Theory.activated,
    "shape": Theory.moved,
}
