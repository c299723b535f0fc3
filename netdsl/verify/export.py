"""From a net and its weights to an ONNX file that has been verified: the way `compile`, `train` and the API share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from netdsl.backends.onnx.file import save
from netdsl.backends.onnx.proto import annotate
from netdsl.backends.onnx.weights import weights_hash
from netdsl.plugins.used import foreign
from netdsl.weights.former import current

if TYPE_CHECKING:
    from torch import nn

    from netdsl.pipeline import Net
    from netdsl.verify.compare import Case


def export_onnx(
    net: Net,
    path: str | os.PathLike[str],
    weights: Mapping[str, Any] | nn.Module | None = None,
    *,
    opset: int = 18,
    target: str = "onnxruntime",
    verified: bool = True,
    metadata: Mapping[str, Any] | None = None,
) -> list[Case]:
    """Write a net to an ONNX file and give the comparisons that were made with torch.

    `weights`: a module, arrays by state-dict key, or None for fresh ones of seed 0. Arrays are written without torch
    where they are not `verified`. Raises VerificationError, and leaves no file, where one comparison fails; ExportError
    for what the opset cannot say; OSError where the file cannot be written.
    """
    export = partial(net.onnx, opset=opset, target=target)
    cases: list[Case] = []
    state: Mapping[str, Any]
    about: dict[str, Any] = {}
    if verified:
        from netdsl.verify.compare import VerificationError, record, verified_model
        from netdsl.verify.stress import state_of

        module = live_module(net, weights)
        cases, model = verified_model(net.checked, module, export)
        if not all(c.ok for c in cases):
            raise VerificationError(cases, foreign(net.checked.main))
        state, about["verified"] = state_of(module), record(cases)
    else:
        state = _state(net, weights)
        model = export(state)
    about["weights_sha256"] = weights_hash(state)
    annotate(model, {**(metadata or {}), **about})
    save(model, path)
    return cases


def _state(net: Net, weights: Mapping[str, Any] | nn.Module | None) -> Mapping[str, Any]:
    """Arrays by state-dict key."""
    if isinstance(weights, Mapping):
        return current(net.checked.main, weights)
    from netdsl.verify.stress import state_of

    return state_of(live_module(net, weights))


def live_module(net: Net, weights: Mapping[str, Any] | nn.Module | None) -> nn.Module:
    """The net's module, at rest, with these weights. Raises ValueError where a weight is missing or misshapen."""
    if weights is not None and not isinstance(weights, Mapping):
        return weights
    module = net.module(seed=0)
    if weights is not None:
        from netdsl.backends.torch.module import load_state

        load_state(module, current(net.checked.main, weights))
    return module.eval()
