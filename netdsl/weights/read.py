"""State dicts that others have saved, read without running any code."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from typing import Any

import torch

WRAPPERS = ("state_dict", "model", "model_state_dict", "state_dict_ema", "model_ema")
"""Under which keys checkpoints keep the state dict itself."""

PREFIXES = ("module.", "_orig_mod.")
"""What DistributedDataParallel and torch.compile put before every key."""


def read_state(content: bytes) -> dict[str, Any]:
    """The tensors of a `.pth` file as numpy arrays, in order.

    `torch.load` with `weights_only=True`: a file that holds anything but tensors and plain containers is refused.
    Raises ValueError.
    """
    try:
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"it is not a file of plain tensors: {first}") from None
    state = _unwrapped(loaded)
    return {_bare(key): value.detach().cpu().numpy() for key, value in state.items() if isinstance(value, torch.Tensor)}


def _unwrapped(loaded: Any) -> Mapping[str, Any]:
    while isinstance(loaded, Mapping):
        inner = next((loaded[w] for w in WRAPPERS if isinstance(loaded.get(w), Mapping)), None)
        if inner is None:
            return loaded
        loaded = inner
    raise ValueError(f"it holds a {type(loaded).__name__}, not a state dict")


def _bare(key: str) -> str:
    for prefix in PREFIXES:
        key = key.removeprefix(prefix)
    return key
