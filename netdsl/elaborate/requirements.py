"""`require`: what is decided at once, and what becomes a constraint on the named sizes of the net."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from netdsl.budget import spend
from netdsl.diagnostics.diagnostic import fault
from netdsl.elaborate.arithmetic import compare, truth
from netdsl.elaborate.expressions import Evaluator
from netdsl.elaborate.names import Env
from netdsl.sizes.constraints import Assumptions, Required
from netdsl.sizes.dims import Dim, Size
from netdsl.syntax import ast

Options = list[list[Required]]
"""One of these lists of facts has to hold, all of it: none of none says false, one without facts true."""

FALSE: Options = []
TRUE: Options = [[]]

MOST_OPTIONS = 64
"""How many lists of facts a condition may have."""


class Requirements:
    """Assumes a condition: comparisons of sizes, joined by `and`, `or` and `not`; the rest of it must be decided."""

    def __init__(self, evaluator: Evaluator, assume: Assumptions, env: Env, message: str) -> None:
        self.evaluator = evaluator
        self.assume = assume
        self.env = env
        self.message = message

    def meet(self, condition: ast.Node) -> str:
        """Whether a condition is proved, assumed from here on, or impossible. Raises Fault where it is undecided."""
        return self.assume.require_one(self._options(condition, True), self.message)

    def _options(self, node: ast.Node, wanted: bool) -> Options:
        """The facts that make a condition true where that is `wanted`, else false."""
        if isinstance(node, ast.Unary) and node.op == "not":
            return self._options(node.operand, not wanted)
        if isinstance(node, ast.Binary) and node.ops[0] in ("and", "or"):
            return self._joined(node, wanted)
        if isinstance(node, ast.Compare):
            return self._compared(node, wanted)
        value = self.evaluator.evaluate(node, self.env)
        if isinstance(value, Size):
            return [[self._fact((node, value), "!=" if wanted else "==", (node, 0))]]
        return TRUE if truth(value, self.env.place(node)) == wanted else FALSE

    def _joined(self, node: ast.Binary, wanted: bool) -> Options:
        """The facts that `a and b and c` or `a or b or c` needs; nothing is evaluated behind what decides it."""
        both = (node.ops[0] == "and") == wanted
        found = self._options(node.first, wanted)
        for part in node.rest:
            if found == (FALSE if both else TRUE):
                return found
            options = self._options(part, wanted)
            found = self._all((found, options), node) if both else _any(found, options)
        return found

    def _all(self, parts: Iterable[Options], node: ast.Node) -> Options:
        found = TRUE
        for part in parts:
            spend(len(found) * len(part))
            found = [[*a, *b] for a in found for b in part]
            if len(found) > MOST_OPTIONS:
                hint = "write several `require`, one for each part"
                raise fault("undecided", f"more than {MOST_OPTIONS} cases to distinguish", self.env.place(node), hint)
        return found

    def _compared(self, node: ast.Compare, wanted: bool) -> Options:
        nodes = (node.first, *node.rest)
        values = [self.evaluator.evaluate(n, self.env) for n in nodes]
        links = [
            self._link((nodes[i], values[i]), op if wanted else _NEGATED[op], (nodes[i + 1], values[i + 1]), node)
            for i, op in enumerate(node.ops)
        ]
        return self._all(links, node) if wanted else _any(*links)

    def _link(self, left: tuple[ast.Node, Any], op: str, right: tuple[ast.Node, Any], node: ast.Compare) -> Options:
        """The facts that one comparison of a chain needs."""
        if op in ("in", "not in") and _among_sizes(left[1], right[1]):
            each = [self._fact(left, "==" if op == "in" else "!=", (right[0], item)) for item in right[1]]
            return [[fact] for fact in each] if op == "in" else [each]
        if op in _FACTS and _are_sizes(left[1], right[1]):
            return [[self._fact(left, op, right)]]
        return TRUE if compare(op, left[1], right[1], self.env.place(node)) else FALSE

    def _fact(self, left: tuple[ast.Node, Any], op: str, right: tuple[ast.Node, Any]) -> Required:
        if isinstance(left[1], int):  # `H >= 3` for `3 <= H`
            left, op, right = right, op.translate(_TURNED), left
        text = f"{self._text(*left)} {op} {self._text(*right)}"
        return Required(left[1], op, right[1], self.message, text)

    def _text(self, node: ast.Node, value: Any) -> str:
        """A side as it reads over the named sizes: `H % 4`, not its normal form."""
        if isinstance(node, ast.Binary) and node.ops[-1] == "%" and isinstance(value, Size):
            divided, divisor = (self.evaluator.evaluate(side, self.env) for side in (_divided(node), node.rest[-1]))
            return f"{_bracketed(divided)} % {_bracketed(divisor)}"
        return str(value)


_TURNED = str.maketrans("<>", "><")
_NEGATED = {"==": "!=", "<=": ">", ">=": "<", "in": "not in"}
_NEGATED |= {negated: op for op, negated in _NEGATED.items()}
_FACTS = ("==", "!=", "<=", ">=", "<", ">")


def _divided(node: ast.Binary) -> ast.Expr:
    """The operand before the last operator."""
    if len(node.ops) == 1:
        return node.first
    return ast.Binary(node.first.at.to(node.rest[-2].at), node.first, node.ops[:-1], node.rest[:-1])


def _any(*parts: Options) -> Options:
    return [option for part in parts for option in part]


def _are_sizes(left: Any, right: Any) -> bool:
    return all(map(_is_size, (left, right))) and (isinstance(left, Size) or isinstance(right, Size))


def _among_sizes(left: Any, right: Any) -> bool:
    return isinstance(right, tuple) and all(map(_is_size, right)) and any(_are_sizes(left, item) for item in right)


def _is_size(value: Any) -> bool:
    return isinstance(value, int | Size) and not isinstance(value, bool)


def _bracketed(size: Dim) -> str:
    return str(size) if str(size).isalnum() else f"({size})"
