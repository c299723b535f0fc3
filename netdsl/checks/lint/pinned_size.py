"""A named size of an input for which one number alone fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic, Label
from netdsl.elaborate.builder import Options
from netdsl.elaborate.requested import Request, elaborate
from netdsl.ir.model import Program
from netdsl.sizes.constraints import OneOf
from netdsl.source import Place
from netdsl.syntax import ast


def check(file: File) -> Iterator[Diagnostic]:
    """Silent where the net says so itself (`require L == 32`), and where its arguments decide the number."""
    for block, _ in file.blocks:
        programs = [p for p in file.programs if file.owns(p.main.place) and p.main.place.span.start == block.at.start]
        for name, number in _pinned(programs).items():
            at = _declared(block, name)
            if at is not None and not _says(block, name):
                yield _told(file, programs[0], name, number, file.module.place(at.at))


def _pinned(programs: Sequence[Program]) -> dict[str, int]:
    """The named sizes that are one number, the same in all of these nets."""
    found = [{c.symbol: c.values for c in p.constraints if isinstance(c, OneOf)} for p in programs]
    return {n: v[0] for n, v in (found or [{}])[0].items() if len(v) == 1 and all(f.get(n) == v for f in found)}


def _declared(block: ast.Block, name: str) -> ast.Name | None:
    """Where an input is as long as a named size."""
    inputs = [n for n in block.body.statements if isinstance(n, ast.Input)] if isinstance(block.body, ast.Body) else []
    return next((s for i in inputs for s in i.shape if isinstance(s, ast.Name) and s.id == name), None)


def _says(block: ast.Block, name: str) -> bool:
    """Whether a block requires something of a named size."""
    return any(name in ast.names(node.condition) for node in ast.walk(block) if isinstance(node, ast.Require))


def _told(file: File, program: Program, name: str, number: int, at: Place) -> Diagnostic:
    """The warning, where another number would be a mistake, else at the input."""
    message = f"`{name}` is a name, and {number} is the only size that fits"
    hint = f"write {number} in the input where that is meant"
    other = elaborate(Request(file.module, program.main.name, {}, {name: number + 1}, Options()))
    cause = next((d.at for d in other.diagnostics if d.at is not None and file.owns(d.at)), None)
    if cause is None:
        return warning("pinned-size", message, at, hint)
    if "@" in cause.text:
        hint += "; scores of attention take `k` with its last axes exchanged: `q @ (k -> permute((1, 0)))`"
    return warning("pinned-size", message, cause, hint, Label("this is the input", at))
