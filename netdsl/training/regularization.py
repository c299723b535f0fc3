"""Rates of the net's own noise: drop-path by depth, dropout by time."""

from __future__ import annotations

from typing import Any

from torch import nn

from netdsl.planning.demands import no_residual_links
from netdsl.planning.rates import depth_rates
from netdsl.planning.rates import time_rate as time_rate
from netdsl.recipe.regularizers import DropPath


def drop_paths(module: nn.Module) -> list[nn.Module]:
    """The drop-path layers of a net, in the order of its layers."""
    return [m for m in module.modules() if type(m).__name__ == "DropPath"]


def set_drop_path(module: nn.Module, component: Any) -> list[float]:
    """Give every residual link its rate; returns them. Raises Fault for a net without residual links."""
    layers = drop_paths(module)
    if not layers:
        raise no_residual_links()
    rates = depth_rates(component, len(layers))
    for layer, rate in zip(layers, rates, strict=True):
        layer.rate.fill_(rate)  # type: ignore[operator]
        if isinstance(component, DropPath):
            layer.mode = component.mode  # type: ignore[assignment]
    return rates


def dropouts(module: nn.Module) -> list[Any]:
    """The dropout layers of a net, those of netdsl's own too."""
    kinds = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
    own = ("GaussianDropout", "DropConnect")
    return [m for m in module.modules() if isinstance(m, kinds) or type(m).__name__ in own]
