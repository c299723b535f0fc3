"""An input that no layer reads, and whose length no other value has."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.ir.model import Definition, Value
from netdsl.syntax import ast


def check(file: File) -> Iterator[Diagnostic]:
    """Each input of the file that is read in no net that declares it."""
    read: dict[tuple[int, str], bool] = {}
    for main in file.flow.mains:
        if file.owns(main.place):
            ends = file.flow.definitions[main]
            for value, readers, same in zip(main.inputs, ends.readers, ends.same, strict=True):
                known = main.place.span.start, value.name
                read[known] = read.get(known, False) or bool(readers or same) or _sizes_others(main, value)
    for block, _ in file.blocks:
        if isinstance(block.body, ast.Body):
            for node in block.body.statements:
                if isinstance(node, ast.Input) and not read.get((block.at.start, node.name.id), True):
                    message = f"nothing reads the input `{node.name.id}`"
                    yield warning("unused-input", message, file.module.place(node.name.at))


def _sizes_others(main: Definition, value: Value) -> bool:
    """Whether the input says how long other values are, by a size that no other input has."""
    others = frozenset[str]().union(*(v.type.names for v in main.inputs if v is not value))
    own = value.type.names - others
    return any(own & out.type.names for step in main.steps for out in step.outs)
