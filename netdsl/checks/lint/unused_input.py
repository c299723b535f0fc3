"""An input that no layer reads, and whose length no other value has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.ir.model import Definition
from netdsl.syntax import ast


def check(file: File) -> Iterator[Diagnostic]:
    """Each input of the file that is read in no net that declares it."""
    read = _read(file)
    for block, _ in file.blocks:
        if isinstance(block.body, ast.Body):
            for node in block.body.statements:
                if isinstance(node, ast.Input) and not read.get((block.at.start, node.name.id), True):
                    message = f"nothing reads the input `{node.name.id}`"
                    yield warning("unused-input", message, file.module.place(node.name.at))


def _read(file: File) -> dict[tuple[int, str], bool]:
    """Whether some net reads an input, by where its block begins and its name."""
    read: dict[tuple[int, str], bool] = {}
    for main in (main for mains in file.mains.values() for main in mains):
        ends = file.flow.definitions[main]
        used = [bool(readers or same) for readers, same in zip(ends.readers, ends.same, strict=True)]
        lengths = frozenset[str]() if all(used) else _lengths(main)
        for value, reads in zip(main.inputs, used, strict=True):
            known = main.place.span.start, value.name
            read[known] = read.get(known, False) or reads or not lengths.isdisjoint(value.type.names)
    return read


def _lengths(main: Definition) -> frozenset[str]:
    """The named sizes that a single input has, and values inside of the net: it says how long those are."""
    inputs = Counter(name for value in main.inputs for name in value.type.names)
    inside = frozenset[str]().union(*(out.type.names for step in main.steps for out in step.outs))
    return frozenset(name for name in inside if inputs[name] == 1)
