"""Host memory: keeps freed memory in the process, because the next step allocates it again."""

from __future__ import annotations

import ctypes
import math
import multiprocessing
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""The parameters of mallopt(3)."""

DONT_NEED = 4
"""The advice of madvise(2)."""

LARGEST_KEPT = 2**25
"""Bytes of the largest block that is kept. Larger ones, as the messages of a graph, would be cut up for small ones and
be missing when they come back: the process then grows past what the step needs. That is decided for memory: a U-Net
whose maps have 48 MiB computes a step in 1.6 s of CPU with 2**28 and in 2.1 s here, with 1,660 and 1,460 MiB."""

LARGEST_READ = 2**22
"""The same of a process that reads images."""


def resident() -> int:
    """Bytes of memory that this process uses now; where the system does not say, the most it has used."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return _most_resident()
    return pages * os.sysconf("SC_PAGE_SIZE")


def _most_resident() -> int:
    if sys.platform == "win32":
        return 0
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def keep_memory() -> None:
    """Let glibc keep what is freed instead of giving it back to the system.

    Activations and gradients come back at every step; mapping their pages again takes 10 to 25% of a small one. Blocks
    of more than `LARGEST_KEPT` bytes are given back.
    `NETDSL_KEEP_MEMORY=off` leaves the allocator as it is.
    """
    if (glibc := _allocator()) is not None:
        glibc.mallopt(TRIM_THRESHOLD, 2**31 - 1)
        glibc.mallopt(MMAP_THRESHOLD, LARGEST_KEPT)


def read_lightly() -> None:
    """In a process that was forked to read: give back what the other one had freed, and then every block that is larger
    than a megapixel in Pillow. glibc would raise that limit to 32 MiB, and images of 2,048 x 2,048 between small
    objects then take 40 times their size."""
    if (glibc := _allocator()) is not None:
        glibc.mallopt(MMAP_THRESHOLD, LARGEST_READ)
        glibc.malloc_trim(0)


def pages_of(tensors: Iterable[Tensor]) -> list[tuple[int, int]]:
    """Where the memory of large tensors lies, for processes that read data and do not need them: addresses and bytes
    of whole pages. Nothing where such processes are not forked."""
    if sys.platform != "linux" or multiprocessing.get_start_method() != "fork":
        return []
    page, found = os.sysconf("SC_PAGE_SIZE"), []
    for tensor in tensors:
        if tensor.device.type == "cpu" and tensor.nbytes >= LARGEST_READ and not hasattr(tensor, "full_tensor"):
            begin, held = tensor.untyped_storage().data_ptr(), tensor.untyped_storage().nbytes()
            first, last = -(-begin // page) * page, (begin + held) // page * page
            found.append((first, last - first))
    return found


def forget(pages: Iterable[tuple[int, int]]) -> None:
    """In a process that was forked: give its share of some pages back, which then are zeros here. The other process
    changes weights at its first step, and what they were before would be kept for this one."""
    if (glibc := _allocator()) is not None:
        for begin, size in pages:
            glibc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(size), DONT_NEED)


def _allocator() -> Any:
    """The C library, where it is glibc and may be told what to keep; else None."""
    wanted = sys.platform == "linux" and os.environ.get("NETDSL_KEEP_MEMORY") != "off"
    library = ctypes.CDLL(None) if wanted else None
    return library if hasattr(library, "malloc_trim") else None


def large_floats(shape: Sequence[int]) -> Tensor:
    """Memory for numbers, float32 without values, in large pages where it is a block that `keep_memory` does not keep:
    numpy asks the system for them, torch does not. Mapping small pages takes three times as long as converting a
    batch of images."""
    if 4 * math.prod(shape) <= LARGEST_KEPT:
        return torch.empty(tuple(shape))
    return torch.from_numpy(np.empty(tuple(shape), np.float32))


def give_back() -> None:
    """Give back to the system what was freed and kept, when training is over and other work begins."""
    if (glibc := _allocator()) is not None:
        glibc.mallopt(MMAP_THRESHOLD, 2**20)  # large blocks go back as soon as they are freed
        glibc.malloc_trim(0)
