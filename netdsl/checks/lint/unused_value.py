"""A named value, or a shared layer, that nothing uses."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import cache

from netdsl.analysis.count import Memo, totals
from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.ir.model import Definition, Step
from netdsl.source import Span


def check(file: File) -> Iterator[Diagnostic]:
    weighted = cache(lambda: sorted((s.start, s.end) for s in _weighted(file)))
    for _, names in file.blocks:
        statements = {id(a.targets): a.at for a in names.assigned}
        for targets in names.values:
            if any(t.id in names.used or t.id.startswith("_") for t in targets):
                continue
            name, at = targets[0].id, file.module.place(targets[0].at)
            message = f"nothing uses `{name}`"
            if (statement := statements.get(id(targets))) is not None and _holds(statement, weighted()):
                message += ": its layers are counted and stored, and never trained"
            hint = f"`{name} = ...` names a value beside the one that flows; `... as {name}` names the one that flows"
            if name in ("output", "out", "result", "logits"):
                hint = f"an output of the net is declared as `output {name} = ...`"
            yield warning("unused-value", message, at, hint)


def _weighted(file: File) -> Iterator[Span]:
    """Where in the file layers with parameters are called."""
    memo: Memo = {}
    for definition in file.flow.definitions:
        yield from (s.place.span for s in definition.steps if file.owns(s.place) and _has_parameters(s, memo))


def _has_parameters(step: Step, memo: Memo) -> bool:
    if step.layer is None:
        return False
    if isinstance(step.callee, Definition):
        return totals(step.callee, memo).params > 0
    return bool(step.callee.params(*(v.type for v in step.inputs)))


def _holds(statement: Span, inner: list[tuple[int, int]]) -> bool:
    """Whether some of the spans, in order, lie inside of a statement."""
    for start, end in inner[bisect_left(inner, (statement.start, 0)) :][:1]:
        return start <= statement.end and end <= statement.end
    return False
