"""The findings of a probe, as values: sentences first, then numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

Cell = str | int | float | None


class Plot(Struct, frozen=True):
    """Curves over one axis: points by the name of the curve. `logarithmic`: the upright axis."""

    title: str
    across: str
    up: str
    series: Mapping[str, Sequence[tuple[float, float]]]
    logarithmic: bool = False


class Finding(Struct, frozen=True):
    """One signal of a net: what it says in words, rows under their `columns`, and plots."""

    signal: str
    said: tuple[str, ...]
    columns: tuple[str, ...] = ()
    rows: tuple[tuple[Cell, ...], ...] = ()
    plots: tuple[Plot, ...] = ()


class Probed(Struct, frozen=True):
    """A net and what was found. `notes`: remarks on how it was found."""

    net: str
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]


def data(found: Probed) -> Any:
    """The findings as JSON, where infinities and NaN are null."""
    return _finite(msgspec.to_builtins(found))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(v) for name, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
