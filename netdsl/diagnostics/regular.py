"""Files that can be read to their end."""

from __future__ import annotations

import os
import stat

OPENED = ("/dev/fd/", "/proc/self/fd/")
"""Where a pipe that the shell opens stands (`netdsl check <(command)`): it ends with the command."""


def check_regular(path: str | os.PathLike[str]) -> None:
    """Raise OSError for what can be opened but never read to its end: pipes, sockets, devices."""
    name = os.fspath(path)
    mode = os.stat(name).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode) and not name.startswith(OPENED):
        kind = "a pipe" if stat.S_ISFIFO(mode) else "a socket" if stat.S_ISSOCK(mode) else "a device"
        raise OSError(None, f"it is {kind}, not a file", name)
