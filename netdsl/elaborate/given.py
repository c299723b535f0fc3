"""Arguments that come from outside a file: plain values, and expressions in the names of the file."""

from __future__ import annotations

from typing import Any

from netdsl.diagnostics.diagnostic import Fault
from netdsl.elaborate.expressions import Evaluator
from netdsl.elaborate.modules import Module, resolve
from netdsl.elaborate.names import Env
from netdsl.source import Source
from netdsl.syntax import ast


def value_of(given: Any, module: Module, evaluator: Evaluator) -> Any:
    """An argument from outside the file: a plain value, or the text of an expression in the file's names."""
    if isinstance(given, list | tuple):
        return tuple(value_of(v, module, evaluator) for v in given)
    if not isinstance(given, Expression):
        return given
    source = Source(f"argument = {given.text}", f"-p {given.text}", option=True)
    other, mistakes = resolve(source, lambda name, importer: None)
    if mistakes:
        raise Fault(mistakes[0])
    declaration = other.file.declarations[0]
    assert isinstance(declaration, ast.Constant)
    other.names = {**module.names}
    env = Env(_Argument(source, module), {})
    return evaluator.evaluate(declaration.value, env)


class Expression:
    """The text of an expression, given as an argument."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text


class _Argument(Module):
    """The names of a module, seen from an expression that stands outside it."""

    def __init__(self, source: Source, module: Module) -> None:
        super().__init__(source, module.file)
        self.names = module.names
