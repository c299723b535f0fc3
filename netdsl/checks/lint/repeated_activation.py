"""The same activation twice in a row."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.activations import ACTIVATIONS, IDEMPOTENT
from netdsl.checks.lint.flow import kind_of
from netdsl.checks.lint.pairs import pairs
from netdsl.checks.lint.subject import File, delete_stage, warning
from netdsl.diagnostics.diagnostic import Diagnostic


def check(file: File) -> Iterator[Diagnostic]:
    for first, second in pairs(file, ACTIVATIONS, ACTIVATIONS):
        kind = kind_of(second)
        if first.callee != second.callee:
            continue
        message = f"`{kind}` follows `{kind}`: " + (
            "the second changes nothing" if kind in IDEMPOTENT else "the same activation twice in a row"
        )
        yield warning(
            "repeated-activation",
            message,
            second.place,
            delete_stage("delete it", first.place, second.place, safe=kind in IDEMPOTENT),
        )
