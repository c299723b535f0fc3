"""A named value, or a shared layer, that nothing uses."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.syntax import ast

NO_TENSOR = (ast.Number, ast.String, ast.Template, ast.Literal, ast.ListExpr, ast.TupleExpr, ast.Comprehension)
"""What is never a tensor, whatever stands in it."""


def check(file: File) -> Iterator[Diagnostic]:
    for _, names in file.blocks:
        statements = {id(a.targets): a for a in names.assigned}
        for targets in names.values:
            if any(t.id in names.used or t.id.startswith("_") for t in targets):
                continue
            name, at = targets[0].id, file.module.place(targets[0].at)
            message = f"nothing uses `{name}`"
            statement = statements.get(id(targets))
            if statement and file.holds_weights(statement.at):
                message += ": its layers are counted and stored, and never trained"
            hint = f"`{name} = ...` names a value beside the one that flows; `... as {name}` names the one that flows"
            if name in ("output", "out", "result", "logits"):
                hint = f"an output of the net is declared as `output {name} = ...`"
            elif statement and isinstance(statement.value, NO_TENSOR):
                hint = f"read `{name}` below, or leave this line out"
            yield warning("unused-value", message, at, hint)
