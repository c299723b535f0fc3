"""`require`: what is decided at once, and what becomes a constraint on the named sizes of the net."""

from __future__ import annotations

from typing import Any

from netdsl.elaborate.arithmetic import compare
from netdsl.elaborate.expressions import Evaluator
from netdsl.elaborate.names import Env
from netdsl.sizes.constraints import ASSUMED, IMPOSSIBLE, PROVED, Assumptions
from netdsl.sizes.dims import Dim, Size
from netdsl.syntax import ast


class Requirements:
    """Assumes conditions of one kind: comparisons joined by `and`. Others must be decided."""

    def __init__(self, evaluator: Evaluator, assume: Assumptions, env: Env, message: str) -> None:
        self.evaluator = evaluator
        self.assume = assume
        self.env = env
        self.message = message

    def meet(self, condition: ast.Node) -> str:
        """Whether a condition is proved, assumed from here on, or impossible. Raises Fault where it is undecided."""
        if isinstance(condition, ast.Binary) and condition.op == "and":
            found = self.meet(condition.left)
            return found if found == IMPOSSIBLE else _both(found, self.meet(condition.right))
        if isinstance(condition, ast.Compare):
            return self._compared(condition)
        return PROVED if self.evaluator.truth(condition, self.env) else IMPOSSIBLE

    def _compared(self, node: ast.Compare) -> str:
        verdict, nodes = PROVED, (node.first, *node.rest)
        values = [self.evaluator.evaluate(n, self.env) for n in nodes]
        for i, op in enumerate(node.ops):
            left, right = values[i], values[i + 1]
            if op in _FACTS and _are_sizes(left, right):
                found = self._assumed((nodes[i], left), op, (nodes[i + 1], right))
            else:
                found = PROVED if compare(op, left, right, self.env.place(node)) else IMPOSSIBLE
            if found == IMPOSSIBLE:
                return found
            verdict = _both(verdict, found)
        return verdict

    def _assumed(self, left: tuple[ast.Node, Any], op: str, right: tuple[ast.Node, Any]) -> str:
        if isinstance(left[1], int):  # `H >= 3` for `3 <= H`
            left, op, right = right, op.translate(_TURNED), left
        text = f"{self._text(*left)} {op} {self._text(*right)}"
        return self.assume.require(left[1], op, right[1], self.message, text)

    def _text(self, node: ast.Node, value: Any) -> str:
        """A side as it reads over the named sizes: `H % 4`, not its normal form."""
        if isinstance(node, ast.Binary) and node.op == "%" and isinstance(value, Size):
            left, right = (self.evaluator.evaluate(side, self.env) for side in (node.left, node.right))
            return f"{_bracketed(left)} % {_bracketed(right)}"
        return str(value)


_TURNED = str.maketrans("<>", "><")
_FACTS = ("==", "<=", ">=", "<", ">")


def _are_sizes(left: Any, right: Any) -> bool:
    plain = all(isinstance(v, int | Size) and not isinstance(v, bool) for v in (left, right))
    return plain and (isinstance(left, Size) or isinstance(right, Size))


def _both(a: str, b: str) -> str:
    return IMPOSSIBLE if IMPOSSIBLE in (a, b) else ASSUMED if ASSUMED in (a, b) else PROVED


def _bracketed(size: Dim) -> str:
    return str(size) if str(size).isalnum() else f"({size})"
