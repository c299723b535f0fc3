"""Python's collector of garbage, held off while much is made."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

MOST = 1_000_000
"""New values after which garbage is sought wherever a server is: some 200 MB."""

WORTHWHILE = 50_000
"""New values from which on a search for garbage is worth its time."""


def collect_on_request() -> None:
    """Seek garbage when asked to (`gc.collect`), hardly ever otherwise, and not among what is there already: a search
    takes as long as the checks of twenty edits, and would come in the middle of one."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(MOST, 5, 100)


def is_due() -> bool:
    """Whether enough values were made since garbage was last sought."""
    return gc.get_count()[0] > WORTHWHILE


@contextmanager
def uncollected() -> Iterator[None]:
    """Look for no garbage meanwhile: trees of frozen values hold no cycles, and looking for some costs half as much
    again as making the source of 10,000 blocks."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()
