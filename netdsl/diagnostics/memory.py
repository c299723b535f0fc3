"""Memory: what is free, what doesn't fit, and how torch, numpy and onnxruntime say that it ran out."""

from __future__ import annotations

import os
import sys

from netdsl.diagnostics.diagnostic import Diagnostic, diagnostic

WORDS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "Cannot allocate memory",
    "Failed to allocate memory",
    "bad_alloc",
    "STATUS_ALLOC_FAILED",
    "ALLOCATION_FAILED",
)
"""Torch's messages on a GPU, on a CPU under Linux, Windows and macOS; onnxruntime's; the C++ library's; those of cuBLAS
and cuDNN."""


CONTAINER = "/sys/fs/cgroup"
"""Where Linux says what a container may take."""


class NoRoom(MemoryError):  # noqa: N818 - it is what is said
    """Memory that is known not to suffice, before anything is made."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out. On a CPU, torch raises a plain RuntimeError that only its message distinguishes."""
    return isinstance(error, MemoryError) or (
        isinstance(error, Exception)
        and (isinstance(error, RuntimeError) or type(error).__module__.startswith("onnxruntime"))
        and any(w in str(error) for w in WORDS)
    )


def out_of_memory(error: BaseException, less: str = "a smaller net, batch or data set needs less") -> Diagnostic:
    """The diagnostic of memory that ran out; `less` is the hint."""
    if isinstance(error, NoRoom):
        return diagnostic("out-of-memory", f"there is not enough memory: {error}", None, "a smaller net needs less")
    if isinstance(error, MemoryError):
        what = f": {error}" if str(error) else ""
        return diagnostic("out-of-memory", f"there is not enough memory{what}", None, less)
    return diagnostic("out-of-memory", "the device is out of memory", None, less)


def check_room(what: str, needed: int) -> None:
    """Raise NoRoom, in words, where `what` takes more bytes than are free."""
    there = available()
    if there is not None and needed > there:
        raise NoRoom(f"{what} take {said(needed)} of memory, and {said(there)} are free")


def said(size: int) -> str:
    """A number of bytes for readers."""
    if size < 2**20:
        return f"{size:,} bytes"
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.1f} MiB"


def available() -> int | None:
    """Bytes of memory that new work may take: what the system has free, or a container's limit leaves. None where the
    system doesn't say."""
    try:
        lines = _read("/proc/meminfo").splitlines()
        free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None
    return min(free, _left_in_container())


def _left_in_container() -> int:
    """The bytes that a container's limit leaves (cgroup v2 and v1), cached files not counted as used; a very large
    number where there is no limit."""
    versions = (
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    )
    for limit, used, stat in versions:
        try:
            most, now = int(_read(CONTAINER, limit)), int(_read(CONTAINER, used))
            counts = dict(line.split() for line in _read(CONTAINER, stat).splitlines())
            return most - now + sum(int(counts.get(f"{kind}_file", 0)) for kind in ("active", "inactive"))
        except (OSError, ValueError):  # not there, or `max`
            continue
    return sys.maxsize


def _read(*path: str) -> str:
    """A small file; not by `pathlib`, which costs more to import than a check has use for."""
    with open(os.path.join(*path), encoding="ascii") as file:
        return file.read()
