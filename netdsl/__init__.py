"""netdsl: a declarative language and compiler for neural networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netdsl.version import __version__

__all__ = ["Model", "SpecError", "__version__", "load"]

if TYPE_CHECKING:
    from netdsl.api import Model, SpecError, load


def __getattr__(name: str) -> Any:
    if name in __all__:
        from netdsl import api

        return getattr(api, name)
    raise AttributeError(f"module 'netdsl' has no attribute {name!r}")
