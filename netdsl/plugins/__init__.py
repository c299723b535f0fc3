"""Plug-ins: ops, readers of data, augmentations, losses, metrics, optimizers and schedules of other packages.

A plug-in is one value, `Plugin`, in which a module collects what it provides. Only `load`, the flag `--plugin` and
`[tool.netdsl] plugins` of a pyproject.toml load one; a spec never does. See docs/how-to/write-a-plug-in.md.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netdsl.ops.base import (
        GLOBAL,
        Buffer,
        Call,
        Code,
        Example,
        Graph,
        Op,
        Operand,
        OpError,
        Param,
        Torch,
        Window,
        X,
    )  # fmt: skip
    from netdsl.plugins.calls import At
    from netdsl.plugins.known import Loaded, loaded
    from netdsl.plugins.loading import load, load_all, unload
    from netdsl.plugins.plugin import Plugin
    from netdsl.recipe.augmentations import Augment, Resizing
    from netdsl.recipe.component import Count, Duration, Fraction, Index, NonNegative, Positive, Probability
    from netdsl.recipe.losses import Loss
    from netdsl.recipe.optimizers import Optimizer
    from netdsl.recipe.schedules import Phase
    from netdsl.recipe.sources import Data
    from netdsl.tensors import TensorType

__all__ = [
    "GLOBAL", "At", "Augment", "Buffer", "Call", "Code", "Count", "Data", "Duration", "Example", "Fraction", "Graph",
    "Index", "Loaded", "Loss", "NonNegative", "Op", "OpError", "Operand", "Optimizer", "Param", "Phase", "Plugin",
    "Positive", "Probability", "Resizing", "TensorType", "Torch", "Window", "X", "load", "load_all", "loaded", "unload",
]  # fmt: skip

HOMES = {
    "netdsl.plugins.calls": ("At",),
    "netdsl.plugins.loading": ("load", "load_all", "unload"),
    "netdsl.plugins.known": ("Loaded", "loaded"),
    "netdsl.plugins.plugin": ("Plugin",),
    "netdsl.recipe.augmentations": ("Augment", "Resizing"),
    "netdsl.recipe.component": ("Count", "Duration", "Fraction", "Index", "NonNegative", "Positive", "Probability"),
    "netdsl.recipe.losses": ("Loss",),
    "netdsl.recipe.optimizers": ("Optimizer",),
    "netdsl.recipe.schedules": ("Phase",),
    "netdsl.recipe.sources": ("Data",),
    "netdsl.tensors": ("TensorType",),
}
"""The modules of names that are not those of `netdsl.ops.base`; each is imported when it is first asked for."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'netdsl.plugins' has no attribute {name!r}")
    home = next((module for module, names in HOMES.items() if name in names), "netdsl.ops.base")
    return getattr(import_module(home), name)
