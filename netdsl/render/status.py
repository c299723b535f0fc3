"""A status line for long operations: one line on a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from netdsl.render.paint import CLEARED, paint_for


@contextmanager
def working(what: str) -> Iterator[None]:
    """Shows `what ...` on the error stream until it is done."""
    shown = sys.stderr.isatty()
    if shown:
        print(paint_for(sys.stderr)(f"{what} ...", "dim"), end="\r", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if shown:
            print(CLEARED, end="\r", file=sys.stderr, flush=True)
