"""How many samples fit on a device at once, found out when too many were tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from netdsl.training.errors import DataError

if TYPE_CHECKING:
    from netdsl.training.trainer import Loop

WORDS = ("out of memory", "can't allocate memory", "not enough memory", "Cannot allocate memory")
"""What torch says on a GPU, on a CPU under Linux, under Windows and macOS."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch had no memory left. A CPU has no type of its own for that."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(w in str(error) for w in WORDS)
    )


@contextmanager
def within_memory(loop: Loop) -> Iterator[None]:
    """Around the forward and backward passes of an update: too little memory is answered with what would fit.

    Raises DataError, which says the largest number of samples at once that fits, and how to go on with it. The global
    batch, the gradient and the schedule stay as they are.
    """
    failed = False
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        failed = True
    if failed:  # outside of the handler, whose traceback holds on to the activations
        raise outgrown(loop)


def outgrown(loop: Loop) -> DataError:
    """What to say: measured where this is the only process, halved where others wait."""
    step = loop.state.step
    first, last = loop._parts(step)[0]
    tried = last - first
    message = f"the device has no memory for {tried} sample{'s' if tried > 1 else ''} at once"
    if tried == 1:
        return DataError(message, "a smaller net, smaller pictures, or `precision = bf16` need less")
    alone = loop.ranks.world == 1
    fits = largest(lambda n: _fits(loop, n), tried) if alone else tried // 2
    loop.updater.zero()
    if fits == 0:
        return DataError(f"{message}, nor for one", "a smaller net, smaller pictures, or `precision = bf16` need less")
    share = -(-loop.recipe.batch // loop.ranks.world)
    parts = -(-share // fits)
    micro = -(-share // parts)
    how = f"`--set micro_batch={micro}`"
    folder = loop.job.folder
    if folder is not None:
        how = f"`netdsl train --resume {folder} --set micro_batch={micro}`"
    said = f"{message}; {fits} fit" if alone else f"{message}; {fits} may fit"
    return DataError(said, f"{how}: {parts} parts of an update, with the same batch, gradient and lr")


def largest(fits: Callable[[int], bool], failed: int) -> int:
    """The largest number below `failed` that fits, 0 if none does; found by halves."""
    low, high = 0, failed
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _fits(loop: Loop, count: int) -> bool:
    first, _ = loop.ranks.share(loop.feed.count(loop.state.step))
    loop.updater.zero()
    if loop.device.type == "cuda":
        torch.cuda.empty_cache()
    try:
        loop._backward(loop.state.step, first, first + count, True)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return False
    return True
