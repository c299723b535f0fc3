"""A folder of files that can be made again: parse tables, syntax trees, results of checks. Never an error, only slower.

`$XDG_CACHE_HOME/netdsl` (or `~/.cache/netdsl`); `NETDSL_CACHE=off` turns it off. Names are hashes of all that the
content depends on, so a file is never out of date, only unused; the oldest are removed when there are too many. Files
hold data, not code: whatever is in them, reading them runs nothing.
"""

from __future__ import annotations

import os
import stat
from binascii import crc32
from contextlib import suppress

MOST_FILES = 400
LARGEST = 4_000_000
CHECK = 4
"""Bytes before the content, by which a damaged file is known."""


def _check(content: bytes) -> bytes:
    return crc32(content).to_bytes(CHECK, "big")


def remembered(name: str) -> bytes | None:
    """The content kept under `name`, or None where there is none or it is damaged."""
    folder = _folder()
    if folder is None:
        return None
    try:
        with open(os.path.join(folder, name), "rb") as file:
            check, content = file.read(CHECK), file.read(LARGEST)
    except OSError:
        return None
    return content if check == _check(content) else None


def remember(name: str, content: bytes) -> None:
    """Keep `content` under `name`, where that is possible."""
    folder = _folder()
    if folder is None or len(content) >= LARGEST:
        return
    path = os.path.join(folder, name)
    draft = f"{path}.{os.getpid()}"
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(_check(content) + content)
        os.replace(draft, path)
        _prune(folder)
    except OSError:
        with suppress(OSError):
            os.unlink(draft)


def _folder() -> str | None:
    """Where files are kept; None where that is turned off, nowhere, or somebody else's."""
    if os.environ.get("NETDSL_CACHE", "").lower() in ("off", "0", "no"):
        return None
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser(os.path.join("~", ".cache"))
    folder = os.path.join(base, "netdsl")
    if not os.path.isabs(folder):
        return None
    try:
        found = os.stat(folder)
    except FileNotFoundError:
        return folder
    except OSError:
        return None
    return folder if _ours(found) else None


def _ours(found: os.stat_result) -> bool:
    """Whether nobody else can write there. Windows keeps profiles apart by itself."""
    if not stat.S_ISDIR(found.st_mode):
        return False
    return not hasattr(os, "getuid") or (found.st_uid == os.getuid() and not found.st_mode & 0o022)


def _prune(folder: str) -> None:
    with os.scandir(folder) as entries:
        files = [(entry.stat().st_mtime, entry.path) for entry in entries]
    if len(files) > MOST_FILES:
        for _, path in sorted(files)[: MOST_FILES // 2]:
            os.unlink(path)
