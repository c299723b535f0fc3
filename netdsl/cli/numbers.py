"""Numbers on the command line: types of options, which refuse what lies outside of a range."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

LARGEST = 2**63 - 1
"""The largest seed that numpy, torch and files all take."""


def whole(least: int = 0, most: int | None = None) -> Callable[[str], int]:
    """The type of an option that is a whole number from `least` to `most`."""
    limits = f"from {least:,}" + (f" to {most:,}" if most is not None else "")

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"a whole number {limits}, not `{text}`") from None
        if number < least or (most is not None and number > most):
            raise argparse.ArgumentTypeError(f"a whole number {limits}, not {text}")
        return number

    return read


def real(above: float | None = None, least: float | None = None, most: float = math.inf) -> Callable[[str], float]:
    """The type of an option that is a finite number, larger than `above` or at least `least`, and at most `most`."""
    low = f"above {above:g}" if above is not None else f"from {least:g}"
    limits = low + (f" to {most:g}" if most < math.inf else "")

    def read(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        low_enough = number <= most and math.isfinite(number)
        if not low_enough or (above is not None and number <= above) or (least is not None and number < least):
            raise argparse.ArgumentTypeError(f"a number {limits}, not `{text}`")
        return number

    return read


seed = whole(0, LARGEST)
"""The type of `--seed`."""
