"""A block that no net of its file uses."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.syntax import ast


def check(file: File) -> Iterator[Diagnostic]:
    """A file without nets is a library, whose blocks other files use."""
    if not file.module.nets:
        return
    for node in file.declared(ast.Block, "block"):
        assert isinstance(node, ast.Block)
        if node.name.id not in file.used:
            message = f"no net of this file uses the block `{node.name.id}`"
            yield warning("unused-block", message, file.module.place(node.name.at))
