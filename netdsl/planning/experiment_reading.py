"""Code shared by the readers of an experiment's entries: mistakes at their places, values as text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from netdsl.diagnostics.diagnostic import Diagnostic, Fault, fault
from netdsl.elaborate.expressions import Evaluator
from netdsl.elaborate.modules import Module
from netdsl.elaborate.names import Env, Silent
from netdsl.planning.experiments import Factor, text_of
from netdsl.source import Place
from netdsl.syntax import ast

FORMS = {
    "vary": "what varies is written `vary blocks = [1, 2, 3]` or `vary optimizer.lr = log(1e-4, 1e-1)`",
    "against": "a comparison is written `compare test.top1 against blocks = 1`",
    "compare": "a comparison is written `compare test.top1 against blocks = 1`",
    "plot": "a plot is written `plot line(x=blocks, y=test.top1, color=convs)`",
    "measure": "measures are written `measure = [test.top1, params]`",
    "metrics": "it is called `measure`",
    "net": "the net stands in the head: `experiment Name for Net { ... }`",
    "model": "the net stands in the head: `experiment Name for Net { ... }`",
    "seed": "it is called `seeds`: how many runs each cell has",
    "repeat": "it is called `seeds`",
    "repeats": "it is called `seeds`",
    "runs": "it is called `seeds`",
    "trials": "it is called `seeds`: how many runs each cell has; a search has its own, `search = random(20)`",
    "group": "a group is an entry of a recipe",
    "freeze": "`freeze` is an entry of a recipe",
}  # fmt: skip
"""What an entry was meant to be, by the name it was given."""


class Reading:
    """One experiment of a file while it is read; `found` collects the mistakes, `silent`: one is told elsewhere."""

    def __init__(self, module: Module, node: ast.Experiment, evaluator: Evaluator) -> None:
        self.module = module
        self.node = node
        self.evaluator = evaluator
        self.found: list[Diagnostic] = []
        self.entries: dict[str, ast.Field | ast.Measure] = {}
        self.factors: dict[str, Factor] = {}
        self.silent = False

    def _of(self, kind: type[Any]) -> list[Any]:
        return [e for e in self.node.entries if isinstance(e, kind)]

    def _each(self, kind: type[Any], read: Callable[[Any], Any]) -> tuple[Any, ...]:
        made = (self._attempt(read, n) for n in self._of(kind))
        return tuple(m for m in made if m is not None)

    def _attempt(self, read: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return read(*arguments)
        except Fault as mistake:
            self._report(mistake)
        except Silent:
            self.silent = True
        return None

    def _report(self, mistake: Fault) -> None:
        self.found.append(mistake.diagnostic)

    def _place(self, node: ast.Node) -> Place:
        return self.module.place(node.at)

    def _value(self, node: ast.Node) -> Any:
        return self.evaluator.evaluate(node, Env(self.module, {}))

    def _text(self, node: Any) -> str:
        """A value as text that means the same outside this file: a number for a constant, else what is written."""
        written = " ".join(self._place(node).text.split())
        number = node.operand if isinstance(node, ast.Unary) and node.op == "-" else node
        if isinstance(number, ast.Number | ast.String | ast.Quantity):
            return written
        try:
            return text_of(self._value(node)) or written
        except Fault:  # a component of a recipe is no value of the language: binding it tells what is wrong
            return written

    def _number(self, node: Any) -> float:
        value = self._value(node)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise fault("bad-value", "a range goes from a number to a number", self._place(node))
        return value
