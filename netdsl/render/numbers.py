"""Numbers for people: groups of thousands, large counts and sizes with a unit."""

from __future__ import annotations

import re

from netdsl.dims import Dim


def grouped(value: Dim) -> str:
    """`25,557,032`; in a symbolic size every long number: `733,888*H*W`."""
    if isinstance(value, int):
        return f"{value:,}"
    return re.sub(r"(?<![\w.])\d{4,}", lambda m: f"{int(m.group()):,}", str(value))


def scaled(value: Dim) -> str:
    """`4.09 G`: three digits and a unit from a thousand on; symbolic sizes are grouped."""
    return _unit(value, 1000, ("", " k", " M", " G", " T", " P")) if isinstance(value, int) else grouped(value)


def in_bytes(value: Dim) -> str:
    """`97.5 MiB`."""
    if not isinstance(value, int):
        return f"{grouped(value)} bytes"
    return _unit(value, 1024, (" bytes", " KiB", " MiB", " GiB", " TiB"))


def plural(count: int, noun: str) -> str:
    """`1 tensor`, `2 tensors`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _unit(value: int, base: int, units: tuple[str, ...]) -> str:
    number, unit = float(value), 0
    while round(number, 1) >= base and unit < len(units) - 1:
        number /= base
        unit += 1
    digits = 0 if unit == 0 else 2 if number < 99.995 else 1
    return f"{number:.{digits}f}{units[unit]}"
