"""The plug-ins that are loaded, and what of them remembered results depend on."""

from __future__ import annotations

import os
from typing import Any

from msgspec import Struct

from netdsl.plugins.plugin import Plugin


class Loaded(Struct, frozen=True, eq=False):
    """A plug-in that is loaded, by the name that was asked for. `version`: as it says, else that of its package;
    `files`: its Python files, whose change may change what it does; `folder`: where its module may lie."""

    name: str
    version: str
    plugin: Plugin
    files: tuple[str, ...]
    folder: str

    @property
    def place(self) -> tuple[str, str]:
        """The name and the folder by which another process loads it."""
        return self.name, self.folder


LOADED: dict[str, Loaded] = {}
"""By the name that was asked for, in the order of loading."""


def loaded() -> tuple[Loaded, ...]:
    """The plug-ins that are loaded, in the order of loading."""
    return tuple(LOADED.values())


def packages(plugin: Plugin) -> set[str]:
    """The packages, or modules in none, in which a plug-in's classes and functions stand, imported or not."""
    given: list[Any] = [part.cls for part in plugin.parts]
    given += [part.function for part in plugin.parts] + [metric.function for metric in plugin.metrics]
    return {_module(one).partition(".")[0] for one in given} - {"", "None", "netdsl", "builtins"}


def _module(one: Any) -> str:
    """The module of a class or function, which may be given as `"module:name"`."""
    return one.partition(":")[0] if isinstance(one, str) else str(getattr(one, "__module__", ""))


def stamp() -> str:
    """The loaded plug-ins with their versions, sizes and times, as part of the key of remembered results."""
    return " ".join(f"{p.name} {p.version} {[_stamp(f) for f in p.files]}" for p in LOADED.values())


def _stamp(file: str) -> tuple[str, int, int]:
    try:
        about = os.stat(file)
    except OSError:
        return file, 0, 0
    return file, about.st_size, about.st_mtime_ns
