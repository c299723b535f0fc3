"""The ways to write calls of elsewhere here: one call, or all that stand on a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from netdsl.fixes.calls import NEAR, Call, arguments, calls
from netdsl.fixes.nearby import applied_to
from netdsl.fixes.operators import among
from netdsl.fixes.places import methods
from netdsl.fixes.quoted import Change
from netdsl.fixes.rewrite import applied, rewritten
from netdsl.fixes.slips import line_of
from netdsl.ops import REGISTRY

_MEMBER = re.compile(r"\s*(self\.([A-Za-z_]\w*)\s*=\s*)")


def ways(text: str, call: Call) -> Iterator[Change]:
    """The ways to write a call here, with the tensors that it is applied to, which would be lost without it."""
    then = applied_to(text, call)
    if then is None:
        yield from (_change(text, call.start, call.end, code) for code in rewritten(text, call))
        return
    ways = applied(call.name.rpartition(".")[2], list(call.given), list(arguments(text, call.end + 1, then)))
    yield from (_change(text, call.start, then + 1, code) for code in islice(ways, 4))


def _change(text: str, start: int, end: int, code: str) -> Change:
    return start, end, among(text, start, end, code)


def whole_line(text: str, at: int) -> list[Change]:
    """All calls of elsewhere on a line, the likeliest way each; a member that is set is a label."""
    first, last = line_of(text, at)
    changes: list[Change] = []
    member = _MEMBER.match(text, first, last)
    reached = first
    if member:
        changes.append((member.start(1), member.end(), f"{member[2]}: "))
        reached = member.end()
    for call in calls(text, reached, min(last, at + NEAR)):
        way = next(ways(text, call), None)
        foreign = "." in call.name or (call.arguments is not None and call.name not in REGISTRY)
        if call.start >= reached and way is not None and foreign:
            changes.append(way)
            reached = way[1]
    inside = [(a, b) for a, b, _ in changes]
    changes += [c for c in methods(text, first, last) if not any(a <= c[0] < b for a, b in inside)]
    return changes
