"""The plug-ins that a run needs: recorded in its folder, and asked for when it is opened."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from msgspec import Struct

from netdsl.diagnostics.diagnostic import UserError
from netdsl.ir.model import Definition, Program
from netdsl.ops.base import Op
from netdsl.plugins.known import loaded, packages
from netdsl.plugins.plugin import Plugin
from netdsl.recipe.component import Component
from netdsl.recipe.regularizers import Stop
from netdsl.recipe.schedules import Plateau
from netdsl.recipe.schema import Recipe


class Used(Struct, frozen=True):
    """A plug-in by the name that loads it, and its version when it was used. `code`: a digest of its Python files."""

    name: str
    version: str
    code: str = ""

    @property
    def said(self) -> str:
        """For a person: the version, and the digest where it was recorded."""
        version = self.version or "(no version)"
        return f"{version}, code {self.code}" if self.code else version


def used(program: Program | None, recipe: Recipe) -> tuple[Used, ...]:
    """The loaded plug-ins that a net and a recipe need."""
    if not loaded():
        return ()
    parts = list(_components(recipe))
    kinds = {*map(type, parts), *(ops_of(program.main) if program is not None else ())}
    metrics = {*recipe.metrics, *(part.metric for part in parts if isinstance(part, Plateau | Stop))}
    return tuple(
        Used(p.name, p.version, digest(p.plugin))
        for p in loaded()
        if not kinds.isdisjoint(part.cls for part in p.plugin.parts)
        or not metrics.isdisjoint(metric.name for metric in p.plugin.metrics)
    )


def ops_of(main: Definition) -> set[type[Op]]:
    """The ops of a net, in every definition once."""
    found: set[type[Op]] = set()
    seen, waiting = {main}, [main]
    while waiting:
        for step in waiting.pop().steps:
            if isinstance(step.callee, Op):
                found.add(type(step.callee))
            elif step.callee not in seen:
                seen.add(step.callee)
                waiting.append(step.callee)
    return found


def foreign(main: Definition) -> tuple[str, ...]:
    """The names of the ops of a net that plug-ins provide."""
    return tuple(sorted(op.kind for op in ops_of(main) if op.__module__.partition(".")[0] != "netdsl"))


def _components(value: Any) -> Iterator[Component]:
    """The components in a recipe, at any depth."""
    if isinstance(value, Component):
        yield value
    if isinstance(value, Struct):
        value = [getattr(value, name) for name in value.__struct_fields__]
    if isinstance(value, tuple | list):
        for item in value:
            yield from _components(item)


def require(needed: Sequence[Used], what: str) -> None:
    """Raise UserError for plug-ins that something was made with and that are not loaded: opening it loads nothing. Warn
    where one is another now."""
    there = {p.name: p for p in loaded()}
    lacking = [plugin for plugin in needed if plugin.name not in there]
    if lacking:
        names = ", ".join(f"`{p.name}`{f' {p.version}' if p.version else ''}" for p in lacking)
        flags = " ".join(f"--plugin {p.name}" for p in lacking)
        hint = f"add `{flags}`; in Python `netdsl.plugins.load({lacking[0].name!r})`"
        raise UserError("missing-plugin", f"{what} needs the plug-in {names}, which is not loaded", hint)
    for old in needed:
        now = Used(old.name, there[old.name].version, digest(there[old.name].plugin) if old.code else "")
        if now != old:
            _warn(f"{what} was made with the plug-in `{old.name}` {old.said}; loaded is {now.said}")


_TOLD: dict[Any, Any] = {}
"""Warnings that were given: each is given once."""


def _warn(message: str) -> None:
    warnings.warn_explicit(message, UserWarning, "netdsl", 1, registry=_TOLD)


def digest(plugin: Plugin) -> str:
    """Of the Python files of a plug-in as they are now, those of modules that are imported later among them: 16
    hexadecimal digits of a SHA-256. Other packages that it imports do not count."""
    files = [(name, at, str(path)) for name in sorted(packages(plugin)) for at, path in _sources(name)]
    return _digest(tuple((*file, (about := os.stat(file[2])).st_size, about.st_mtime_ns) for file in files))


@lru_cache(maxsize=16)
def _digest(files: tuple[tuple[str, str, str, int, int], ...]) -> str:
    """The digest of files: package, position in it, path, size and time. It is kept, for each run that is opened
    asks."""
    found = sha256()
    for name, at, path, *_ in files:
        content = Path(path).read_bytes()
        found.update(f"{name} {at} {len(content)}\n".encode() + content)
    return found.hexdigest()[:16]


def _sources(name: str) -> list[tuple[str, Path]]:
    """The Python files of a package or module without importing it, each with its place in there, in order."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):  # `__main__` has none
        return []
    if spec is None:
        return []
    if spec.submodule_search_locations is None:
        return [("", Path(spec.origin))] if spec.origin is not None and spec.origin.endswith(".py") else []
    tops = map(Path, spec.submodule_search_locations)
    return sorted((path.relative_to(top).as_posix(), path) for top in tops for path in top.rglob("*.py"))
