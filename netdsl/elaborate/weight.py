"""The size of a value written out in full: lists and arrows share their parts, so few steps can make a huge one.

`X1 = [X0, X0]`, `X2 = [X1, X1]`, ... is a list of 2**60 numbers after sixty lines. Comparing, printing, converting or
applying one walks through all of it; so a value that holds too much is refused when it is made, and whoever walks
through a value pays by its weight.
"""

from __future__ import annotations

from typing import Any

from msgspec.structs import astuple

from netdsl.budget import Exhausted, spend
from netdsl.diagnostics.diagnostic import Diagnostic, diagnostic
from netdsl.elaborate.values import ARROWS, Shared, Tensor
from netdsl.syntax import ast

HEAVIEST = 250_000
"""The most items, at any depth, that one value may hold."""

SHORT = 16
"""Lists of no more plain items are counted again each time."""

HOLDERS = frozenset((tuple, str, *ARROWS)) - {Tensor, Shared}
"""Types of values that hold others."""

CONSTRUCTS: dict[type, str] = {
    ast.ListExpr: "list", ast.TupleExpr: "tuple", ast.Comprehension: "comprehension", ast.Call: "call",
    ast.Index: "list", ast.Binary: "arithmetic", ast.Compare: "comparison", ast.Pipeline: "pipeline",
    ast.Residual: "residual link", ast.For: "loop", ast.Repeat: "loop", ast.If: "`if`", ast.Assign: "assignment",
    ast.Share: "shared layer", ast.Label: "labelled statement", ast.ExprStatement: "statement",
    ast.Output: "output", ast.Input: "input", ast.Require: "`require`",
}  # fmt: skip
"""What the end of a budget is blamed on, in words."""


def too_much_work(end: Exhausted) -> Diagnostic:
    """The diagnostic of a budget that is spent."""
    message = f"this spec takes too much work: the budget of one check ends in this {end.construct or 'expression'}"
    hint = "make its lists, loops or sizes smaller, or say it with fewer layers"
    return diagnostic("too-much-work", message, end.at, hint)


class Weights:
    """Weights of values, each computed once; a known value is kept alive, so that its identity stays its own."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, int]] = {}

    def of(self, value: Any) -> int:
        """How many items a value holds, itself included. What it costs to find that out is paid for."""
        kind = type(value)
        if kind not in HOLDERS:
            return 1
        if kind is str:
            if len(value) < 16:
                return 1
            spend(len(value) // 16)
            return 1 + len(value) // 16
        known = self._known.get(id(value))
        if known is not None:
            return known[1]
        parts = value if kind is tuple else astuple(value)
        spend(1 + len(parts))
        holders = [p for p in parts if type(p) in HOLDERS]
        weight = 1 + len(parts) + sum(map(self.of, holders))
        if holders or len(parts) > SHORT:
            self._known[id(value)] = (value, weight)
        return weight
