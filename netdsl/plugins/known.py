"""The plug-ins that are loaded, and what of them remembered results depend on."""

from __future__ import annotations

import os

from msgspec import Struct

from netdsl.plugins.plugin import Plugin


class Loaded(Struct, frozen=True, eq=False):
    """A plug-in that is loaded, by the name that was asked for. `version`: as it says, else that of its package;
    `files`: its Python files, whose change may change what it does."""

    name: str
    version: str
    plugin: Plugin
    files: tuple[str, ...]


LOADED: dict[str, Loaded] = {}
"""By the name that was asked for, in the order of loading."""


def loaded() -> tuple[Loaded, ...]:
    """The plug-ins that are loaded, in the order of loading."""
    return tuple(LOADED.values())


def stamp() -> str:
    """The loaded plug-ins with their versions, sizes and times, as part of the key of remembered results."""
    return " ".join(f"{p.name} {p.version} {[_stamp(f) for f in p.files]}" for p in LOADED.values())


def _stamp(file: str) -> tuple[str, int, int]:
    try:
        about = os.stat(file)
    except OSError:
        return file, 0, 0
    return file, about.st_size, about.st_mtime_ns
