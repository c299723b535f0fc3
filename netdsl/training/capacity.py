"""Batch capacity: after an out-of-memory error, finds the largest micro-batch that fits and suggests it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import clear_frames

import torch
from msgspec import Struct

from netdsl.diagnostics.memory import is_out_of_memory, said
from netdsl.training.data.dataset import Split
from netdsl.training.errors import DataError


class Attempt(Struct, frozen=True, eq=False):
    """Passes that may not fit: of a training step, or forward passes of an evaluation.

    `tried`: samples at once; `share`: samples of this process in a training step; `fits`: runs the passes with a number
    of samples and says whether memory sufficed, or None where other processes would wait for it; `folder`: the run
    directory to resume from; `doing`: which passes these are, where they aren't of a training step.
    """

    tried: int
    share: int
    fits: Callable[[int], bool] | None
    folder: Path | None
    doing: str = ""


@contextmanager
def within_memory(attempt: Callable[[], Attempt]) -> Iterator[None]:
    """Answer an out-of-memory error of the passes inside with the largest micro-batch that fits.

    Raises DataError with the largest number of samples that fits, and how to continue with it. The global batch, the
    gradient and the schedule stay as they are.
    """
    failed = False
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        failed = True
        # This frame and contextlib's hold on to the traceback, whose frames hold on to the activations.
        clear_frames(error.__traceback__)
    if failed:
        raise outgrown(attempt())


def held_on(device: torch.device, split: Split, name: str) -> Split:
    """A split whose samples lie on a device. Raises DataError where its memory does not hold them."""
    try:
        return split.to(device)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
    message = f"the device has no memory for {len(split):,} samples of `{name}`: {said(split.held)}"
    hint = "images in files (`imagefolder`, `parquet`, `shards`) are read batch by batch; `resident = 0` keeps none"
    raise DataError("out-of-memory", message, f"{hint}; `--device cpu` takes the memory of the host")


def outgrown(attempt: Attempt) -> DataError:
    """The advice for an attempt that did not fit: measured in a single process, halved where others wait."""
    tried = attempt.tried
    message = f"the device has no memory for {tried} sample{'s' if tried > 1 else ''} at once{attempt.doing}"
    less = "a smaller net, smaller images, or `precision = bf16` need less"
    if tried <= 1:
        return DataError("out-of-memory", message, less)
    fits = largest(attempt.fits, tried) if attempt.fits else tried // 2
    if fits == 0:
        return DataError("out-of-memory", f"{message}, nor for one", less)
    parts = -(-attempt.share // fits)
    micro = -(-attempt.share // parts)
    how = f"`--set micro_batch={micro}`"
    if attempt.folder is not None:
        how = f"`netdsl train --resume {attempt.folder} --set micro_batch={micro}`"
    found = f"{message}; {fits} {'fit' if attempt.fits else 'may fit'}"
    return DataError(
        "out-of-memory", found, f"{how}: {parts} micro-batches a step, with the same batch, gradient and lr"
    )


def largest(fits: Callable[[int], bool], failed: int) -> int:
    """The largest number below `failed` that fits, 0 if none does; found by halves."""
    low, high = 0, failed
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def fits_in_memory(passes: Callable[[], object]) -> bool:
    """Whether memory suffices for some passes. Frees a GPU's cache first."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        passes()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        clear_frames(error.__traceback__)
        return False
    return True
