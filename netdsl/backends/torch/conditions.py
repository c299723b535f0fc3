"""The author's own condition for what a block has only in some of its uses, as Python over constructor arguments."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from netdsl.backends.torch.tree import Apply, Node, Num, Text
from netdsl.ir.model import Definition
from netdsl.syntax import ast
from netdsl.syntax.parse import parse

Row = Mapping[str, Any]
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">", "and": "or", "or": "and"}


class Unknown(Exception):  # noqa: N818 - an answer, not an error
    """A condition is not about the arguments of the block alone."""


def condition(definitions: Sequence[Definition], truths: Sequence[bool], names: Mapping[str, str]) -> Node | None:
    """The first condition in the block's text that holds for just these of its uses, or its opposite.

    `names`: the arguments that a constructor may have, as the author calls them, with what they are called there. What
    is the same in all uses is a number.
    """
    rows = [dict(d.sizes) | dict(d.arguments) for d in definitions]
    for written in _written(definitions[0]):
        reader = _Reader(rows, names)
        try:
            tree, values = reader.read(written)
            held = [bool(v) for v in values]
            if not reader.used:
                continue
            if held == list(truths):
                return tree
            if [not h for h in held] == list(truths):
                return _opposite(tree)
        except (Unknown, ArithmeticError, TypeError):
            continue
    return None


def _written(definition: Definition) -> Iterator[ast.Expr]:
    """The conditions in the text of a block."""
    file, _ = parse(definition.place.source)
    span = definition.place.span
    blocks = [d for d in file.declarations if isinstance(d, ast.Block) and d.at == span]
    stack: list[ast.Node] = list(blocks[:1])
    while stack:
        node = stack.pop()
        if isinstance(node, ast.If | ast.Conditional):
            yield node.condition
        if isinstance(node, ast.Argument) and node.name is not None and node.name.id == "when":
            yield node.value  # type: ignore[misc]
        stack += reversed(ast.children(node))


class _Reader:
    """Reads an expression of the language as a tree, and what it is for each use of the block."""

    def __init__(self, rows: Sequence[Row], names: Mapping[str, str]) -> None:
        self.rows = rows
        self.names = names
        self.used = False

    def read(self, node: Any) -> tuple[Node, list[Any]]:
        tree, values = self._read(node)
        if isinstance(tree, Text):
            return tree, values
        plain = all(type(v) is type(values[0]) and v == values[0] for v in values)
        return (Num(values[0]), values) if plain and isinstance(values[0], bool | int | float) else (tree, values)

    def _read(self, node: Any) -> tuple[Node, list[Any]]:
        match node:
            case ast.Number() | ast.Literal():
                return Num(node.value), [node.value] * len(self.rows)
            case ast.Name():
                return self._name(node.id)
            case ast.Unary():
                tree, values = self.read(node.operand)
                if node.op == "not":
                    return _opposite(tree), [not v for v in values]
                raise Unknown
            case ast.Binary() if node.op in ("and", "or"):
                return self._logic(node)
            case ast.Binary() if node.op in OPERATORS:
                return self._apply(node.op, node.left, node.right)
            case ast.Compare() if len(node.ops) == 1 and node.ops[0] in OPERATORS:
                return self._apply(node.ops[0], node.first, node.rest[0])
        raise Unknown

    def _name(self, name: str) -> tuple[Node, list[Any]]:
        if not all(name in row for row in self.rows):
            raise Unknown
        values = [row[name] for row in self.rows]
        if not all(isinstance(v, int | float | bool) for v in values):
            raise Unknown
        if name in self.names:
            self.used = True
            return Text(self.names[name]), values
        if any(v != values[0] for v in values):
            raise Unknown
        return Num(values[0]), values

    def _apply(self, op: str, left: Any, right: Any) -> tuple[Node, list[Any]]:
        (a, x), (b, y) = self.read(left), self.read(right)
        return Apply(op, (a, b)), [OPERATORS[op](m, n) for m, n in zip(x, y, strict=True)]

    def _logic(self, node: ast.Binary) -> tuple[Node, list[Any]]:
        """`a and b`, without what always holds."""
        (a, x), (b, y) = self.read(node.left), self.read(node.right)
        both = node.op == "and"
        values = [(m and n) if both else (m or n) for m, n in zip(x, y, strict=True)]
        if isinstance(a, Num):
            return b, values
        if isinstance(b, Num):
            return a, values
        return Apply(node.op, (a, b)), values


def _opposite(tree: Node) -> Node:
    if isinstance(tree, Apply) and tree.function in OPPOSITE:
        inner = tree.args if tree.function in OPERATORS else tuple(map(_opposite, tree.args))
        return Apply(OPPOSITE[tree.function], inner)
    raise Unknown
