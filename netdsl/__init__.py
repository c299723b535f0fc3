"""netdsl: a declarative language and compiler for neural networks."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from netdsl.version import __version__

__all__ = [
    "Net", "Run", "Source", "Spec", "SpecError", "TrainingError", "__version__", "check", "compare_runs",
    "from_onnx", "from_torch", "load", "open_run", "open_spec",
]  # fmt: skip

if TYPE_CHECKING:
    from netdsl.api import Net, Spec, SpecError, check, compare_runs, from_onnx, from_torch, load, open_run, open_spec
    from netdsl.source import Source
    from netdsl.training.errors import TrainingError
    from netdsl.training.run import Run


HOMES = {"Source": "netdsl.source", "Run": "netdsl.training.run", "TrainingError": "netdsl.training.errors"}
"""The modules of names that are not in `netdsl.api`; each is imported when it is first asked for."""


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(HOMES.get(name, "netdsl.api")), name)
    raise AttributeError(f"module 'netdsl' has no attribute {name!r}")
