"""A constant that no declaration of its file uses."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.subject import File, delete_lines, warning
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.syntax import ast

READ_BY_NAME = "weights"
"""The constant that maps a checkpoint's names: whoever loads weights asks for it."""


def check(file: File) -> Iterator[Diagnostic]:
    """A file without nets and recipes is read by others, which may use its constants."""
    if not (file.module.nets or file.module.recipes):
        return
    for node in file.declared(ast.Constant):
        assert isinstance(node, ast.Constant)
        if node.name.id not in file.used and node.name.id != READ_BY_NAME:
            hint = delete_lines("delete it", file.module.place(node.at))
            yield warning("unused-constant", f"nothing uses `{node.name.id}`", file.module.place(node.name.at), hint)
