"""The definitions of a program, grouped by the block that they come from, and their uses of one another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from netdsl.ir.model import Definition


def blocks(main: Definition) -> dict[int, Definition]:
    """All definitions that are not chains, by identity."""
    found: dict[int, Definition] = {}
    stack = [main]
    while stack:
        definition = stack.pop()
        if id(definition) not in found:
            found[id(definition)] = definition
            stack += reversed(list({id(d): d for d in used(definition)}.values()))
    return found


def used(definition: Definition) -> list[Definition]:
    """The definitions that a definition uses directly or in its chains."""
    found: list[Definition] = []
    for step in definition.steps:
        if isinstance(step.callee, Definition):
            found += used(step.callee) if step.callee.chain else [step.callee]
    return found


def is_identity(definition: Definition) -> bool:
    """Whether a definition gives its input as it is."""
    if definition.steps or len(definition.inputs) != 1 or len(definition.outputs) != 1:
        return False
    return definition.outputs[0].value == definition.inputs[0]


def groups(definitions: Iterable[Definition]) -> dict[Any, list[Definition]]:
    """Definitions by the block they come from."""
    found: dict[Any, list[Definition]] = {}
    for d in definitions:
        found.setdefault((d.name, d.place.source.name, d.place.span.start), []).append(d)
    return found


def reach(grouped: dict[Any, list[Definition]], group_of: dict[int, Any]) -> dict[Any, frozenset[Any]]:
    """The groups that each group uses, directly or not."""
    direct = {key: {group_of[id(u)] for d in found for u in used(d)} for key, found in grouped.items()}
    reached: dict[Any, frozenset[Any]] = {}
    for key in grouped:
        seen: set[Any] = set()
        stack = list(direct[key])
        while stack:
            inner = stack.pop()
            if inner not in seen:
                seen.add(inner)
                stack += direct[inner]
        reached[key] = frozenset(seen)
    return reached


def numbered(definitions: Iterable[Definition]) -> set[int]:
    """Definitions that are numbered members of a container of their name."""
    return {
        id(layer.callee)
        for d in definitions
        for layer in d.layers
        if isinstance(layer.callee, Definition) and layer.name.startswith(f"{layer.callee.name}.")
    }


def output_names(main: Definition) -> dict[int, tuple[str, ...]]:
    """The names of the outputs of the net, and of the definitions that give them."""
    found = {id(main): tuple("" if o.name == "output" else o.name for o in main.outputs)}
    stack = [main]
    while stack:
        definition = stack.pop()
        values = {o.value.name: n for o, n in zip(definition.outputs, found[id(definition)], strict=True) if n}
        for step in definition.steps:
            named = tuple(values.get(v.name, "") for v in step.outs)
            if len(named) > 1 and any(named) and isinstance(step.callee, Definition) and id(step.callee) not in found:
                found[id(step.callee)] = named
                stack.append(step.callee)
    return found
