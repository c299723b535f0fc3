"""Tensors of data sets that nobody changes, and what was made of them: run after run of a worker asks for it again."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

_MADE: Any = WeakIdKeyDictionary()


def constant(tensor: Tensor) -> Tensor:
    """Declare that nobody changes a tensor: what is made of it may be kept as long as it is."""
    _MADE.setdefault(tensor, {})
    return tensor


def is_constant(tensor: Tensor) -> bool:
    """Whether a tensor was declared so."""
    return tensor in _MADE


def made_of(tensor: Tensor) -> dict[Any, Any]:
    """Whatever was made of a constant tensor so far, to be added to; of any other nothing, and nothing is kept."""
    found: dict[Any, Any] | None = _MADE.get(tensor)
    return {} if found is None else found
