"""Running out of memory, as torch, numpy and onnxruntime report it."""

from __future__ import annotations

WORDS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "Cannot allocate memory",
    "Failed to allocate memory",
    "bad_alloc",
)
"""Torch's messages on a GPU, on a CPU under Linux, Windows and macOS; onnxruntime's; the C++ library's."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out. On a CPU, torch raises a plain RuntimeError that only its message tells apart."""
    return isinstance(error, MemoryError) or (
        isinstance(error, Exception)
        and (isinstance(error, RuntimeError) or type(error).__module__.startswith("onnxruntime"))
        and any(w in str(error) for w in WORDS)
    )
