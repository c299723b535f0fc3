"""The plug-ins that a run needs: recorded in its folder, and asked for when it is opened."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import fields

from netdsl.diagnostics.diagnostic import UserError
from netdsl.ir.model import Definition, Program
from netdsl.ops.base import Op
from netdsl.plugins.known import loaded
from netdsl.recipe.component import Component
from netdsl.recipe.schema import Recipe


class Used(Struct, frozen=True):
    """A plug-in by the name that loads it, and its version when it was used."""

    name: str
    version: str


def used(program: Program | None, recipe: Recipe) -> tuple[Used, ...]:
    """The loaded plug-ins that a net and a recipe need."""
    if not loaded():
        return ()
    parts = list(_components(recipe))
    kinds = {*map(type, parts), *(_ops(program.main) if program is not None else ())}
    metrics = {*recipe.metrics, *(getattr(part, "metric", "") for part in parts)}
    return tuple(
        Used(p.name, p.version)
        for p in loaded()
        if not kinds.isdisjoint(part.cls for part in p.plugin.parts)
        or not metrics.isdisjoint(metric.name for metric in p.plugin.metrics)
    )


def _ops(main: Definition) -> set[type[Op]]:
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


def _components(value: Any) -> Iterator[Component]:
    """The components in a recipe, at any depth."""
    if isinstance(value, Component):
        yield value
    if isinstance(value, Struct):
        value = [getattr(value, f.name) for f in fields(value)]
    if isinstance(value, tuple | list):
        for item in value:
            yield from _components(item)


def require(needed: Iterable[Used], what: str) -> None:
    """Raise UserError for plug-ins that something was made with and that are not loaded: opening it loads nothing."""
    there = {p.name for p in loaded()}
    lacking = [plugin for plugin in needed if plugin.name not in there]
    if lacking:
        names = ", ".join(f"`{p.name}`{f' {p.version}' if p.version else ''}" for p in lacking)
        flags = " ".join(f"--plugin {p.name}" for p in lacking)
        hint = f"add `{flags}`; in Python `netdsl.plugins.load({lacking[0].name!r})`"
        raise UserError("missing-plugin", f"{what} needs the plug-in {names}, which is not loaded", hint)
