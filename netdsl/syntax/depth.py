"""The depth to which nodes lie within each other, and its limit."""

from __future__ import annotations

from typing import Any

from netdsl.source import Span
from netdsl.syntax import ast

DEEPEST = 100
"""How many nodes may lie within each other; people write a dozen. It keeps every pass that descends safe."""

CASE = 4
"""How many cases of one `else if` count as one node."""


def too_deep(declarations: tuple[Any, ...]) -> Span | None:
    """The first node that lies too deep, if one does."""
    waiting = [(node, 0) for node in reversed(declarations)]
    while waiting:
        node, depth = waiting.pop()
        if depth >= DEEPEST * CASE:
            at: Span = node.at
            return at
        beside = _continuation(node)
        waiting += [(child, depth + (1 if child is beside else CASE)) for child in reversed(ast.children(node))]
    return None


def _continuation(node: Any) -> Any:
    """The child that a node continues with: the cases of `else if` stand beside each other."""
    return node.otherwise if isinstance(node, ast.Conditional | ast.If) and type(node.otherwise) is type(node) else None
