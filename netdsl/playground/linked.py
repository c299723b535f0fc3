"""The lines of a net's PyTorch source, and the places of the spec that they come from."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from msgspec import Struct

from netdsl.backends.torch.classes import TorchClass
from netdsl.source import Place, Source, Span

_CLASS = re.compile(r"class (\w+)\(")
_MEMBER = re.compile(r"\bself\.(\w+)")
_WITHIN = re.compile(r" {9,}|\s*[)\]}]")
"""A line that continues the statement before."""


class Link(Struct, frozen=True):
    """A line of the source, counted from 1, and the place that it comes from, in units of JavaScript."""

    line: int
    start: int
    end: int


def links(text: str, classes: Iterable[TorchClass], source: Source) -> Iterator[tuple[int, Span]]:
    """The lines that come from a place of one spec: heads of classes, and lines that make or call a layer."""
    known = {made.name: made for made in classes}
    members: dict[str, Place] = {}
    at: Place | None = None
    for number, line in enumerate(text.split("\n"), 1):
        head = _CLASS.match(line)
        if head is not None:
            made = known.get(head[1])
            members = _members(made) if made is not None else {}
            at = _head(made.plans[0].body.definition.place) if made is not None else None
        elif not _WITHIN.match(line):
            named = (members[name] for name in _MEMBER.findall(line) if name in members)
            at = next(named, None)
        if at is not None and at.source is source:
            yield number, at.span


def _members(made: TorchClass) -> dict[str, Place]:
    """The places of a class's layers, by the attributes that hold them."""
    found: dict[str, Place] = {}
    for plan in made.plans:
        for step in plan.body.definition.steps:
            if step.layer is not None:
                found.setdefault(step.layer.partition(".")[0], step.place)
    return found


def _head(place: Place) -> Place:
    """The first line of a declaration."""
    return Place(place.source, Span(place.span.start, place.span.start + len(place.text.split("\n")[0])))
