"""A recipe made longer or shorter from the command line keeps the shape of its curves."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from msgspec import Struct
from msgspec.structs import fields, replace

from netdsl.recipe.component import Duration

CURVES = ("schedule", "ema", "dropout", "unfreeze")
"""Fields whose times follow the length of the run."""


def rescaled(values: dict[str, Any], ratio: float, kept: Container[str] = ()) -> dict[str, Any]:
    """The values of a recipe with the times of its curves that are counted in epochs multiplied; not those `kept`."""
    return {n: _times(v, ratio) if n in CURVES and n not in kept else v for n, v in values.items()}


def _times(value: Any, ratio: float) -> Any:
    if isinstance(value, Duration):
        return Duration(value.amount * ratio, "epochs") if value.unit == "epochs" else value
    if isinstance(value, tuple):
        return tuple(_times(v, ratio) for v in value)
    if isinstance(value, Struct):
        return replace(value, **{f.name: _times(getattr(value, f.name), ratio) for f in fields(value)})
    return value
