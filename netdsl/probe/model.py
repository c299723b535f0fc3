"""What a probe finds, as values: words first, then numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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
