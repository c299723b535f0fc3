"""The module of a net with given weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from netdsl.backends.torch.module import load_state
from netdsl.weights.former import current

if TYPE_CHECKING:
    from torch import nn

    from netdsl.ir.initial import Initialization
    from netdsl.pipeline import Net


def live(net: Net, seed: int, weights: dict[str, Any] | None, init: Sequence[Initialization] = ()) -> nn.Module:
    """The net as a module in evaluation form, with fresh weights of a seed or the given ones (arrays by state-dict key,
    today's or those of the previous release). Raises WeightsError for what does not fit."""
    module = net.module(seed, init).eval()
    if weights is not None:
        load_state(module, current(net.checked.main, weights))
    return module
