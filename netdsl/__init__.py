"""netdsl: a declarative language and compiler for neural networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from netdsl.version import __version__

__all__ = ["Net", "Source", "Spec", "SpecError", "__version__", "check", "load", "open_spec"]

if TYPE_CHECKING:
    from netdsl.api import Net, Spec, SpecError, check, load, open_spec
    from netdsl.source import Source


def __getattr__(name: str) -> Any:
    if name == "Source":
        from netdsl.source import Source

        return Source
    if name in __all__:
        from netdsl import api

        return getattr(api, name)
    raise AttributeError(f"module 'netdsl' has no attribute {name!r}")
