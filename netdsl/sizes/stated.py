"""Constraints as files hold them: text, such as `H % 16 == 0`, asked about sizes that are known."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterable, Mapping
from typing import Any

OPERATORS: dict[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.GtE: operator.ge,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.Lt: operator.lt,
    ast.In: lambda a, b: a in b,
}
EXTREMES: dict[str, Callable[..., Any]] = {"max": max, "min": min}


def broken(constraints: Iterable[str], sizes: Mapping[str, int]) -> list[str]:
    """The constraints that these sizes break. One that cannot be read, or refers to other sizes, is left out."""
    return [text for text in constraints if _value_of(text, sizes) is False]


def _value_of(text: str, sizes: Mapping[str, int]) -> Any:
    try:
        return _value(ast.parse(text, mode="eval").body, sizes)
    except (SyntaxError, KeyError, ArithmeticError):
        return None


def _value(node: ast.expr, sizes: Mapping[str, int]) -> Any:
    """The value of an expression. Raises KeyError for what constraints don't hold, and for an unknown size."""
    match node:
        case ast.Constant(int(value)):
            return value
        case ast.Name(name):
            return sizes[name]
        case ast.Tuple(items):
            return tuple(_value(i, sizes) for i in items)
        case ast.UnaryOp(ast.USub(), inner):
            return -_value(inner, sizes)
        case ast.BinOp(left, op, right) | ast.Compare(left, [op], [right]):
            return OPERATORS[type(op)](_value(left, sizes), _value(right, sizes))
        case ast.BoolOp(op, items):
            return (any if isinstance(op, ast.Or) else all)([_value(i, sizes) for i in items])
        case ast.Call(ast.Name(name), items, []):
            return EXTREMES[name](*(_value(i, sizes) for i in items))
    raise KeyError(type(node).__name__)
