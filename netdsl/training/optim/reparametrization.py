"""Weights trained as products, w = a * b, whose L2 is the L1 of w (Hoff 2017; Ziyin & Wang 2023).

While training, a split weight is a parametrization of its layer: checkpoints, averages and optimizers hold a and b.
Everything that leaves the run (best and final weights, the ONNX file) is folded and has the net's own keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from netdsl.recipe.regularizers import ByProduct
from netdsl.recipe.schema import Recipe
from netdsl.training.errors import DataError

KEYS = (".original0", ".original1")
Factors = tuple[nn.Parameter, nn.Parameter]


class Product(nn.Module):
    """a, b -> w. At inference weights below `least` are 0."""

    def __init__(self, least: float) -> None:
        super().__init__()
        self.least = least

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return a * b if self.training else folded_weight(a, b, self.least)

    def right_inverse(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """The factors at the start: a = w, b = 1, so that training begins as it would without them.

        Factors of equal size have the least L2, but such a weight can never change its sign, and one of 0 never leave
        it: the update of a + b holds a + b (and that of a - b holds a - b). The L2 makes them equal in time.
        """
        return w.clone(), torch.ones_like(w)


def folded_weight(a: Tensor, b: Tensor, least: float) -> Tensor:
    """The product, with 0 for what is below `least`."""
    w = a * b
    return torch.where(w.abs() < least, torch.zeros_like(w), w)


def split(module: nn.Module, recipe: Recipe, weights: Iterable[str]) -> dict[str, Factors]:
    """Split the weights of these paths where the recipe asks for it; the factors by path. Raises DataError for a
    weight that is none of its layer's own tensors."""
    components = [w for w in recipe.penalty if isinstance(w, ByProduct)]
    found: dict[str, Factors] = {}
    for path in weights if components else ():
        owner, _, name = path.rpartition(".")
        layer = module.get_submodule(owner)
        if not isinstance(getattr(layer, name, None), nn.Parameter):
            raise DataError("not-supported", f"`l1_by_product` cannot split `{path}`: it is not its layer's own tensor")
        parametrize.register_parametrization(layer, name, Product(components[0].least))
        factors: Any = layer.parametrizations[name]  # type: ignore[index]
        found[path] = (factors.original0, factors.original1)
    return found


def factor_names(path: str) -> tuple[str, str]:
    """The state-dict keys of the factors of a weight."""
    owner, _, name = path.rpartition(".")
    base = f"{owner}.parametrizations.{name}" if owner else f"parametrizations.{name}"
    return base + KEYS[0], base + KEYS[1]


def folded(state: Mapping[str, Tensor], recipe: Recipe, weights: Iterable[str]) -> dict[str, Tensor]:
    """A state dict of a split module in the net's own keys."""
    least = next((w.least for w in recipe.penalty if isinstance(w, ByProduct)), 0.0)
    found = dict(state)
    for path in weights:
        first, second = factor_names(path)
        found[path] = folded_weight(found.pop(first), found.pop(second), least)
    return found


def merge(module: nn.Module, weights: Iterable[str]) -> None:
    """Turn split weights back into tensors of their layers."""
    for path in weights:
        owner, _, name = path.rpartition(".")
        parametrize.remove_parametrizations(module.get_submodule(owner), name)
