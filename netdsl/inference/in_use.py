"""The lock of a run directory that a process trains into, looked at without torch."""

from __future__ import annotations

import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["LOCK", "fcntl", "in_use"]

LOCK = ".lock"
"""The file that a process locks while it writes into a run directory."""


def in_use(folder: Path) -> bool:
    """Whether a process holds the directory; False where the system cannot tell."""
    if fcntl is None:
        return False
    try:
        file = os.open(folder / LOCK, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # a file system without locks
        return False
    finally:
        os.close(file)
    return False
