"""Numbers for readers: groups of thousands, large counts and sizes with a unit, long symbolic sizes in short."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from fractions import Fraction

from netdsl.sizes.dims import Dim, Floor, Symbol

LONGEST = 30
"""Symbolic sizes with a longer text are shown about."""


def grouped(value: Dim) -> str:
    """`25,557,032`; in a symbolic size every long number: `733,888*H*W`, or `~17,868*H*W` for a long one."""
    return f"{value:,}" if isinstance(value, int) else _symbolic(value)


def scaled(value: Dim) -> str:
    """`4.09 G`: three digits and a unit from a thousand on. Symbolic sizes are grouped."""
    return _unit(value, 1000, ("", " k", " M", " G", " T", " P")) if isinstance(value, int) else _symbolic(value)


def in_bytes(value: Dim) -> str:
    """`97.5 MiB`."""
    if not isinstance(value, int):
        return f"{grouped(value)} bytes"
    return _unit(value, 1024, (" bytes", " KiB", " MiB", " GiB", " TiB"))


def plural(count: int, noun: str) -> str:
    """`1 tensor`, `2 tensors`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def round_numbers(low: float, high: float, about: int = 4) -> list[float]:
    """Round numbers from at most `low` to at least `high`, at steps of 1, 2 or 5 times a power of ten: the marks of an
    axis."""
    span = high - low or abs(high) or 1.0
    power = 10.0 ** math.floor(math.log10(span / about))
    step = next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= about)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [n * step for n in range(first, max(last, first + 1) + 1)]


def _unit(value: int, base: int, units: tuple[str, ...]) -> str:
    number, unit = float(value), 0
    while round(number, 1) >= base and unit < len(units) - 1:
        number /= base
        unit += 1
    digits = 0 if unit == 0 else 2 if number < 99.995 else 1
    return f"{number:.{digits}f}{units[unit]}"


def _symbolic(size: Dim) -> str:
    exact = re.sub(r"(?<![\w.])\d{4,}", lambda m: f"{int(m.group()):,}", str(size))
    if len(exact) <= LONGEST:
        return exact
    terms = _about(size)
    if not terms:
        return exact
    highest = sorted((t for t in terms.items() if t[0]), key=lambda t: (-len(t[0]), t[0]))
    return "~" + " + ".join(f"{round(c):,}*{'*'.join(names)}" for names, c in highest)


Terms = dict[tuple[str, ...], Fraction]
"""A polynomial of named sizes: coefficients by the names of each product."""


def _about(size: Dim) -> Terms | None:
    """A size without its rounding (`(H + 3)//4` as `H/4`); None where that is no polynomial."""
    if isinstance(size, int):
        return {(): Fraction(size)}
    summed: list[tuple[tuple[str, ...], Fraction]] = []
    for monomial, coefficient in size.terms:
        product: Terms = {(): Fraction(coefficient)}
        for atom in monomial:
            factor = _factor(atom)
            if factor is None:
                return None
            product = _sum((tuple(sorted((*a, *b))), x * y) for a, x in product.items() for b, y in factor.items())
        summed += product.items()
    return _sum(summed)


def _sum(terms: Iterable[tuple[tuple[str, ...], Fraction]]) -> Terms:
    total: Terms = {}
    for names, c in terms:
        total[names] = total.get(names, Fraction(0)) + c
    return total


def _factor(atom: object) -> Terms | None:
    if isinstance(atom, Symbol):
        return {(atom.key,): Fraction(1)}
    if not isinstance(atom, Floor) or not isinstance(atom.denominator, int):
        return None
    inner = _about(atom.numerator)
    return inner and {names: c / atom.denominator for names, c in inner.items() if names}
