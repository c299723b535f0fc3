"""Proof of printing: everything that a layout prints is parsed by Python and compared with the tree that was meant.

The tree is turned into `ast` nodes by rules written here, not by the printer's, so that a bracket that the printer
forgets, or a line that ends too early, shows as another tree.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

from netdsl.backends.torch.layout import Layout
from netdsl.backends.torch.signatures import Signature
from netdsl.backends.torch.source import emit
from netdsl.backends.torch.tree import Apply, Cycle, Group, Members, Node, Num, Power, Progress, Run, Text, walk
from netdsl.ir.model import Program

BINARY = {
    "+": ast.Add, "-": ast.Sub, "*": ast.Mult, "/": ast.Div, "//": ast.FloorDiv, "%": ast.Mod, "@": ast.MatMult,
    "**": ast.Pow, "|": ast.BitOr, "&": ast.BitAnd,
}  # fmt: skip
COMPARE = {
    "<": ast.Lt, "<=": ast.LtE, ">": ast.Gt, ">=": ast.GtE, "==": ast.Eq, "!=": ast.NotEq, "is": ast.Is,
    "is not": ast.IsNot,
}  # fmt: skip
LOGIC = {"or": ast.Or, "and": ast.And}
UNARY = {"-": ast.USub, "~": ast.Invert}


def proven_emit(program: Program, class_name: str, header: str = "") -> str:
    """The emitted source of a program. Raises AssertionError where a line does not mean the tree it was printed of."""
    with proven():
        source = emit(program, class_name=class_name, header=header)
    ast.parse(source)
    return source


@contextmanager
def proven() -> Iterator[None]:
    """Inside, every layout proves what it prints."""
    names = ("source", "guards")
    patches = [mock.patch(f"netdsl.backends.torch.{name}.Layout", ProvenLayout) for name in names]
    with patches[0], patches[1]:
        yield


class ProvenLayout(Layout):
    """A layout that parses what it has printed. Inner calls are covered by the outermost one."""

    depth = 0

    def lines(self, before: str, node: Node, after: str = "", *rest: Any, **named: Any) -> list[str]:
        with self._inside() as outermost:
            lines = super().lines(before, node, after, *rest, **named)
        if outermost:
            prove(_value("\n".join(lines), before), node, self.signatures)
        return lines

    def flat(self, node: Node, *strength: int) -> str:
        with self._inside() as outermost:
            text = super().flat(node, *strength)
        if outermost and not isinstance(node, Run):
            prove(_expression(text), node, self.signatures)
        return text

    @contextmanager
    def _inside(self) -> Iterator[bool]:
        self.depth += 1
        try:
            yield self.depth == 1
        finally:
            self.depth -= 1


def prove(found: ast.expr, node: Node, signatures: Mapping[str, Signature]) -> None:
    """Assert that parsed text is the tree that was meant."""
    canonical = _Canonical(signatures)
    printed, meant = (ast.dump(canonical.visit(tree)) for tree in (found, meaning(node, signatures)))
    assert printed == meant, f"printed: {ast.unparse(found)}\nmeant:   {ast.unparse(meaning(node, signatures))}"


def _value(text: str, before: str) -> ast.expr:
    """The expression of a printed statement: what is assigned, returned, or given to `add_module`."""
    (function,) = ast.parse(f"def f():\n{textwrap.indent(textwrap.dedent(text), '    ')}").body
    assert isinstance(function, ast.FunctionDef)
    (statement,) = function.body
    assert isinstance(statement, ast.Assign | ast.Return | ast.Expr)
    value = statement.value
    assert value is not None
    if not before.startswith("self.add_module("):
        return value
    assert isinstance(value, ast.Call)
    return value.args[-1]


def _expression(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def meaning(node: Any, signatures: Mapping[str, Signature]) -> ast.expr:
    """The Python expression that a tree stands for."""

    def of(inner: Any) -> ast.expr:
        return meaning(inner, signatures)

    match node:
        case Num(value):
            return _literal(value)
        case Text(code):
            return _expression(code)
        case Group((Run(count) as run,), "[") if count != Num(1):
            return _comprehension(run, signatures)
        case Group(items, bracket):
            made = [of(i) for i in items]
            return ast.List(made, ast.Load()) if bracket == "[" else ast.Tuple(made, ast.Load())
        case Members(names, items):
            return ast.Dict([ast.Constant(n) for n in names], [of(i) for i in items])
        case Run(count, child):
            return of(child) if count == Num(1) else ast.Starred(_comprehension(node, signatures), ast.Load())
        case Progress(start, step):
            grown = _expression("i") if step == Num(1) else ast.BinOp(of(step), ast.Mult(), _expression("i"))
            return grown if start == Num(0) else ast.BinOp(of(start), ast.Add(), grown)
        case Power(start, factor, period):
            index = _expression(f"i % {period.value}" if period.value else "i")
            power = ast.BinOp(of(factor), ast.Pow(), index)
            return power if start == Num(1) else ast.BinOp(of(start), ast.Mult(), power)
        case Cycle(Num(True), Num(False)):
            return _expression("i % 2 == 0")
        case Cycle(Num(False), Num(True)):
            return _expression("i % 2 == 1")
        case Cycle(even, odd):
            return ast.IfExp(_expression("i % 2 == 0"), of(even), of(odd))
        case Apply():
            return _application(node, signatures)
    raise AssertionError(node)


def _literal(value: Any) -> ast.expr:
    if isinstance(value, float) and (value != value or abs(value) == float("inf")):
        return ast.Call(ast.Name("float", ast.Load()), [ast.Constant(str(value))], [])
    if type(value) in (int, float) and (value < 0 or str(value).startswith("-")):
        return ast.UnaryOp(ast.USub(), ast.Constant(-value))
    return ast.Constant(value)


def _comprehension(run: Run, signatures: Mapping[str, Signature]) -> ast.ListComp:
    variable = "i" if any(isinstance(n, Progress | Power | Cycle) for n in walk(run.child)) else "_"
    count = ast.Call(ast.Name("range", ast.Load()), [meaning(run.count, signatures)], [])
    loop = ast.comprehension(ast.Name(variable, ast.Store()), count, [], 0)
    return ast.ListComp(meaning(run.child, signatures), [loop])


def _application(call: Apply, signatures: Mapping[str, Signature]) -> ast.expr:
    name, args = call.function, [] if call.function in ("[]", ":") else [meaning(a, signatures) for a in call.args]
    if name == "if":
        return ast.IfExp(args[1], args[0], args[2])
    if name in LOGIC:
        first = args[0].values if isinstance(args[0], ast.BoolOp) and isinstance(args[0].op, LOGIC[name]) else args[:1]
        return ast.BoolOp(LOGIC[name](), [*first, *args[1:]])  # Python reads `a or b or c` as one
    if name in COMPARE:
        return ast.Compare(args[0], [COMPARE[name]()], [args[1]])
    if name in BINARY and len(args) == 2:
        return ast.BinOp(args[0], BINARY[name](), args[1])
    if name in UNARY:
        return ast.UnaryOp(UNARY[name](), args[0])
    if name == ":":
        return _slice(call, signatures)
    if name == "[]":
        return _index(call, signatures)
    kwargs = [ast.keyword(n, meaning(v, signatures)) for n, v in call.kwargs]
    code = name.code if isinstance(name, Text) else name
    if code.startswith("."):
        return ast.Call(ast.Attribute(args[0], code[1:], ast.Load()), args[1:], kwargs)
    if code in signatures and not kwargs:
        kwargs = [ast.keyword(n, v) for n, v in zip(signatures[code].names, args, strict=True)]
        args = []
    return ast.Call(_expression(code), args, kwargs)


def _slice(call: Apply, signatures: Mapping[str, Signature]) -> Any:
    """A slice; a bound that is None is left out."""
    return ast.Slice(*(None if a == Num(None) else meaning(a, signatures) for a in call.args))


def _index(call: Apply, signatures: Mapping[str, Signature]) -> ast.expr:
    """An index; text may be a slice, or several."""
    axes: list[ast.expr] = []
    for axis in call.args[1:]:
        if isinstance(axis, Text):
            subscript = _expression(f"_[{axis.code}]")
            assert isinstance(subscript, ast.Subscript)
            inner = subscript.slice
            axes += inner.elts if isinstance(inner, ast.Tuple) else [inner]
        else:
            axes.append(meaning(axis, signatures))
    whole = axes[0] if len(axes) == 1 else ast.Tuple(axes, ast.Load())
    return ast.Subscript(meaning(call.args[0], signatures), whole, ast.Load())


class _Canonical(ast.NodeTransformer):
    """Calls of known signatures with all their arguments by name, those left out included."""

    def __init__(self, signatures: Mapping[str, Signature]) -> None:
        self.signatures = signatures

    def visit_Call(self, call: ast.Call) -> ast.Call:
        self.generic_visit(call)
        signature = self.signatures.get(ast.unparse(call.func))
        if signature is None or any(isinstance(a, ast.Starred) for a in call.args):
            return call
        given = dict(zip(signature.names, call.args, strict=False)) | {str(k.arg): k.value for k in call.keywords}
        usual = {n: meaning(v, self.signatures) for n, v in signature.defaults}
        if len(call.args) > len(signature.names) or (usual | given).keys() != set(signature.names):
            return call
        return ast.Call(call.func, [], [ast.keyword(n, (usual | given)[n]) for n in signature.names])
