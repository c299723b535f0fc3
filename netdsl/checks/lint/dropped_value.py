"""A statement whose value is dropped, because the next one starts elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.flow import At, key
from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.ir.model import Definition, Step
from netdsl.source import Place
from netdsl.syntax import ast


def check(file: File) -> Iterator[Diagnostic]:
    """A statement is reported where its value is dropped for all arguments and input types that its block is used
    with, though it may be read in some rounds of a loop."""
    dropped: dict[At, Place] = {}
    kept: set[At] = set()
    for definition in file.flow.definitions:
        own = {key(s.place): s.place for s in _dropped(definition) if file.owns(s.place)}
        kept |= {key(s.place) for s in definition.steps} - own.keys()
        dropped |= own
    for at, place in dropped.items():
        if at not in kept:
            statement = _statement(file, place)
            if statement is not None:
                message = "the value of this statement is dropped: what follows starts elsewhere"
                hint = "name it to use it later: `... as name`"
                yield warning("dropped-value", message, file.module.place(statement.at), hint)


def _dropped(definition: Definition) -> Iterator[Step]:
    """The steps that give something which nothing reads."""
    read = {v.name for s in definition.steps for v in s.inputs} | {o.value.name for o in definition.outputs}
    return (s for s in definition.steps if s.outs and not any(v.name in read for v in s.outs))


def _statement(file: File, place: Place) -> ast.Node | None:
    """The statement that a dropped value flows out of; None where it is named, which has its own lint."""
    found: ast.Node | None = None
    for node in file.statements(place):
        if isinstance(node, ast.Assign | ast.Output | ast.Share):
            return None
        if isinstance(node, ast.ExprStatement):
            found = None if node.name is not None else node
    return found
