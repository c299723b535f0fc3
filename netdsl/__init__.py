"""netdsl: a declarative language and compiler for neural networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Model", "SpecError", "load"]

if TYPE_CHECKING:
    from netdsl.api import Model, SpecError, load


def __getattr__(name: str) -> Any:
    if name in __all__:
        from netdsl import api

        return getattr(api, name)
    raise AttributeError(f"module 'netdsl' has no attribute {name!r}")
