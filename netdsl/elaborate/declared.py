"""The values of a file's names: blocks, constants and variants, each evaluated once, when it is first read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netdsl.diagnostics.diagnostic import fault
from netdsl.elaborate.modules import Module
from netdsl.elaborate.names import Env
from netdsl.elaborate.values import BROKEN, BlockArrow, BlockValue
from netdsl.source import Place
from netdsl.syntax import ast

OPEN = object()
"""Marks a constant whose value is being computed."""


class Declared:
    """The values of declarations. `evaluate` gives that of an expression."""

    def __init__(self, evaluate: Callable[[ast.Node, Env], Any]) -> None:
        self.evaluate = evaluate
        self._constants: dict[tuple[Module, str], Any] = {}
        self._blocks: dict[int, BlockValue] = {}

    def value(self, module: Module, declaration: ast.Node, at: Place) -> Any:
        """The value of a declaration. Raises Fault for a recipe or an experiment."""
        if isinstance(declaration, ast.Block):
            return BlockArrow(self._block(module, declaration), (), at)
        if isinstance(declaration, ast.Constant | ast.Variant):
            return self.constant(module, declaration)
        assert isinstance(declaration, ast.Recipe | ast.Experiment)
        kind = "a recipe" if isinstance(declaration, ast.Recipe) else "an experiment"
        raise fault("misplaced", f"`{declaration.name.id}` is {kind}, not a value", at)

    def _block(self, module: Module, declaration: ast.Block) -> BlockValue:
        """The one value of a declared block."""
        key = id(declaration)
        if key not in self._blocks:
            self._blocks[key] = BlockValue(declaration, module)
        return self._blocks[key]

    def constant(self, module: Module, declaration: ast.Constant | ast.Variant) -> Any:
        """The value of a constant or a variant. Raises Fault where it is defined by itself."""
        key = (module, declaration.name.id)
        if key not in self._constants:
            self._constants[key] = OPEN
            try:
                self._constants[key] = self.evaluate(declaration.value, Env(module, {}))
            except BaseException:
                self._constants[key] = BROKEN
                raise
        value = self._constants[key]
        if value is OPEN:
            at = module.place(declaration.at)
            raise fault("endless-recursion", f"`{declaration.name.id}` is defined by itself", at)
        return value
