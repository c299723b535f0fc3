"""The author's own expressions, as Python over constructor arguments: the condition of what a block has only in some of
its uses, and the arithmetic of its numbers.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from typing import Any

from msgspec.structs import replace

from netdsl.backends.torch.layout import COMPARISONS
from netdsl.backends.torch.tree import Apply, Node, Num, Text
from netdsl.ir.model import Definition
from netdsl.syntax import ast
from netdsl.syntax.parse import parse

Row = Mapping[str, Any]
Read = tuple[Node, list[Any]]
"""An expression as a tree, and its value for each use of a block."""

Asks = Callable[[Node, Sequence[Any], Sequence[bool]], Node | None]
"""Makes a condition that holds for some uses of an expression with its values, where there is one."""

LONGEST = 8
"""How many operators a condition may have: a longer one would not be read."""

MOST = 64
"""The largest power that is computed: a larger one takes long, and would not be read."""


def _power(base: Any, exponent: Any) -> Any:
    if abs(exponent) > MOST:
        raise Unknown
    return base**exponent


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.truediv, "//": operator.floordiv,
    "%": operator.mod, "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge, "**": _power,
}  # fmt: skip
FUNCTIONS: dict[str, Callable[[Any], Any]] = {"log": math.log, "sqrt": math.sqrt, "exp": math.exp}
"""Functions of numbers that Python's `math` has under the same name."""
OPPOSITE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">", "and": "or", "or": "and"}


class Unknown(Exception):  # noqa: N818 - an answer, not an error
    """A condition is not about the arguments of the block alone."""


NO_NUMBER = (Unknown, ArithmeticError, TypeError, ValueError)
"""How the reading of an expression ends that has no value."""


def condition(definitions: Sequence[Definition], truths: Sequence[bool], names: Mapping[str, str]) -> Node | None:
    """The first condition in the block's text that holds for just these of its uses, or its opposite.

    `names`: the arguments that a constructor may have, as the author calls them, with what they are called there. What
    is the same in all uses is a number.
    """
    rows = [dict(d.sizes) | dict(d.arguments) for d in definitions]
    for written, asks in _written(definitions[0]):
        reader = _Reader(rows, names)
        try:
            tree, values = reader.read(written)
            found = asks(tree, values, truths) if reader.used else None
        except NO_NUMBER:
            continue
        if found is not None:
            return found
    return None


def computed_fractions(definitions: Sequence[Definition]) -> dict[float, Node]:
    """The fractions that the text of a block computes from numbers alone (`log(10000)`), as it computes them."""
    rows = [dict(d.sizes) | dict(d.arguments) for d in definitions]
    found: dict[float, Node] = {}
    for node in chain.from_iterable(map(_beginnings, _nodes(definitions[0]))):
        with suppress(*NO_NUMBER):
            tree, values = _Reader(rows, {}, whole=True).read(node)
            found.setdefault(values[0], tree)
    return found


def _beginnings(node: ast.Node) -> Iterator[ast.Node]:
    """A computation, and of operators in a row those before each: `2 / 3` of `2 / 3 * it`."""
    if isinstance(node, ast.Binary):
        for count in range(len(node.ops), 0, -1):
            yield replace(node, ops=node.ops[:count], rest=node.rest[:count])
    elif isinstance(node, ast.Unary | ast.Call):
        yield node


def arithmetic(definitions: Sequence[Definition], names: Mapping[str, str]) -> list[Read]:
    """The arithmetic on arguments in the text of a block (`dim // 2`), in order; `names` as for `condition`."""
    rows = [dict(d.sizes) | dict(d.arguments) for d in definitions]
    found = []
    for node in _nodes(definitions[0]):
        if isinstance(node, ast.Binary):
            reader = _Reader(rows, names, whole=True)
            with suppress(*NO_NUMBER):
                tree, values = reader.read(node)
                found += [(tree, values)] if reader.used else []
    return found


def _holds(tree: Node, values: Sequence[Any], truths: Sequence[bool]) -> Node | None:
    """A condition, or its opposite, where it holds for just these uses."""
    held = [bool(v) for v in values]
    if held == list(truths):
        return tree
    return _opposite(tree) if held == [not t for t in truths] else None


def _is_more(tree: Node, values: Sequence[Any], truths: Sequence[bool]) -> Node | None:
    """A condition for the uses that repeat something more often, or less often, than all others."""
    these = [v for v, true in zip(values, truths, strict=True) if true]
    others = [v for v, true in zip(values, truths, strict=True) if not true]
    if min(these) > max(others):
        return _above(tree, max(others))
    return _opposite(_above(tree, max(these))) if max(these) < min(others) else None


def _above(tree: Node, number: int) -> Node:
    """`steps > 2` of `steps - 1` and 1."""
    match tree:
        case Apply("-", (left, Num(int(less)))):
            return Apply(">", (left, Num(number + less)))
    return Apply(">", (tree, Num(number)))


def _nodes(definition: Definition) -> Iterator[ast.Node]:
    """Every node in the text of a block, a node before those inside; none for a part of a body."""
    file, _ = parse(definition.place.source)
    span = definition.place.span
    return chain.from_iterable(ast.walk(d) for d in file.declarations if isinstance(d, ast.Block) and d.at == span)


def _written(definition: Definition) -> Iterator[tuple[ast.Expr, Asks]]:
    """The conditions in the text of a block and its counts of rounds, with what makes a condition of each."""
    for node in _nodes(definition):
        if isinstance(node, ast.If | ast.Conditional):
            yield node.condition, _holds
        if isinstance(node, ast.Repeat):
            yield node.count, _is_more
        if isinstance(node, ast.Argument) and node.name is not None and node.name.id == "when":
            yield node.value, _holds  # type: ignore[misc]


class _Reader:
    """Reads an expression of the language as a tree, and what it is for each use of the block. `whole`: also where that
    is the same for every use, which is a number otherwise."""

    def __init__(self, rows: Sequence[Row], names: Mapping[str, str], whole: bool = False) -> None:
        self.whole = whole
        self.rows = rows
        self.names = names
        self.used = False

    def read(self, node: Any) -> Read:
        return self._plain(*self._read(node))

    def _plain(self, tree: Node, values: list[Any]) -> Read:
        """A number instead of what is the same for every use, but for a name alone."""
        if self.whole or isinstance(tree, Text):
            return tree, values
        plain = all(type(v) is type(values[0]) and v == values[0] for v in values)
        return (Num(values[0]), values) if plain and isinstance(values[0], bool | int | float) else (tree, values)

    def _read(self, node: Any) -> Read:
        match node:
            case ast.Number() | ast.Literal():
                return Num(node.value), [node.value] * len(self.rows)
            case ast.Name():
                return self._name(node.id)
            case ast.Unary(op=op, operand=operand):
                return self._signed(op, *self.read(operand))
            case ast.Call(function=ast.Name(id=name), arguments=[ast.Argument(value=value)]) if name in FUNCTIONS:
                tree, values = self.read(value)
                return Apply(f"math.{name}", (tree,)), [FUNCTIONS[name](v) for v in values]
            case ast.Compare() if len(node.ops) > 1:
                raise Unknown
            case ast.Binary() | ast.Compare() if len(node.ops) <= LONGEST:
                found = self.read(node.first)
                for op, operand in zip(node.ops, node.rest, strict=True):
                    found = self._joined(op, found, self.read(operand))
                return found
        raise Unknown

    def _signed(self, op: str, tree: Node, values: list[Any]) -> Read:
        """`not x` or `-x`."""
        if op == "not":
            return _opposite(tree), [not v for v in values]
        if op == "-":
            return Num(-tree.value) if isinstance(tree, Num) else Apply("-", (tree,)), [-v for v in values]
        raise Unknown

    def _name(self, name: str) -> Read:
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

    def _joined(self, op: str, left: Read, right: Read) -> Read:
        """`left op right`; of `and` and `or` without what always holds."""
        (a, x), (b, y) = left, right
        if op in OPERATORS:
            return self._plain(Apply(op, (a, b)), [OPERATORS[op](m, n) for m, n in zip(x, y, strict=True)])
        if op not in ("and", "or"):
            raise Unknown
        values = [(m and n) if op == "and" else (m or n) for m, n in zip(x, y, strict=True)]
        return self._plain(b if isinstance(a, Num) else a if isinstance(b, Num) else Apply(op, (a, b)), values)


def _opposite(tree: Node) -> Node:
    if isinstance(tree, Apply) and tree.function in OPPOSITE:
        inner = tree.args if tree.function in OPERATORS else tuple(map(_opposite, tree.args))
        return Apply(OPPOSITE[tree.function], inner)
    raise Unknown


def is_test(tree: Node) -> bool:
    """Whether an expression compares one argument with a number: the forward method asks so itself."""
    if not isinstance(tree, Apply) or tree.function not in COMPARISONS:
        return False
    return isinstance(tree.args[0], Text) and isinstance(tree.args[1], Num)
