"""The live module: the printed source, executed."""

from __future__ import annotations

import hashlib
import linecache
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def build(source_text: str, class_name: str, seed: int | None = None) -> nn.Module:
    """An instance of class `class_name` of a `model.py` text made by `torch_source.emit`.

    The text is registered in `linecache`, so that tracebacks and debuggers show it. Weights are drawn from torch's
    global generator, as for any module, or from a fresh one with `seed`.
    """
    name = f"<netdsl {class_name} {hashlib.sha256(source_text.encode()).hexdigest()[:12]}>"
    linecache.cache[name] = (len(source_text), None, source_text.splitlines(keepends=True), name)
    namespace: dict[str, Any] = {"__name__": f"netdsl.models.{class_name}"}
    exec(compile(source_text, name, "exec"), namespace)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        module = namespace[class_name]()
    assert isinstance(module, nn.Module)
    return module


def load_state(module: nn.Module, weights: Mapping[str, Any]) -> None:
    """Put arrays, by state-dict key, into a module. Raises ValueError naming what is missing, left over or of another
    shape."""
    state = module.state_dict()
    wrong = [f"`{k}` is missing" for k in state if k not in weights]
    wrong += [f"`{k}` belongs to no layer" for k in weights if k not in state]
    for key in state.keys() & weights.keys():
        if tuple(state[key].shape) != tuple(weights[key].shape):
            wrong.append(f"`{key}` is {[*weights[key].shape]} where the net has {[*state[key].shape]}")
    if wrong:
        raise ValueError("the weights are not this net's: " + "; ".join(sorted(wrong)[:5]))
    module.load_state_dict({k: torch.as_tensor(v) for k, v in weights.items()})
