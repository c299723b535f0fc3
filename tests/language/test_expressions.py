"""Expressions are Python's: the parser and the formatter against CPython's own parser."""

from __future__ import annotations

import ast as python
import re
from collections.abc import Callable
from functools import reduce
from typing import Any

import pytest
from generated_syntax import Writer
from hypothesis import given, settings
from hypothesis import strategies as st

from netdsl.source import Source, Span
from netdsl.syntax import ast
from netdsl.syntax.format import format_file
from netdsl.syntax.parse import read

MANY = settings(max_examples=100)


def value(text: str) -> Any:
    """The tree of an expression."""
    file, diagnostics = read(Source(f"A = {text}\n"))
    assert not diagnostics, diagnostics[0]
    return file.declarations[0].value  # type: ignore[union-attr]


OPERATORS = {
    python.Add: "+", python.Sub: "-", python.Mult: "*", python.Div: "/", python.FloorDiv: "//", python.Mod: "%",
    python.MatMult: "@", python.Pow: "**", python.And: "and", python.Or: "or", python.Not: "not", python.USub: "-",
    python.UAdd: "+", python.Eq: "==", python.NotEq: "!=", python.Lt: "<", python.LtE: "<=", python.Gt: ">",
    python.GtE: ">=", python.In: "in", python.NotIn: "not in",
}  # fmt: skip


def shape_of_python(node: Any) -> Any:
    """An expression of CPython's parser as nested tuples."""
    match node:
        case python.Constant(value=v):
            return ("constant", v)
        case python.JoinedStr(values=parts):
            return ("text", *map(shape_of_python, parts))
        case python.FormattedValue(value=v):
            return shape_of_python(v)
        case python.Name(id=name):
            return ("name", name)
        case python.BinOp(left=a, op=op, right=b):
            return (OPERATORS[type(op)], shape_of_python(a), shape_of_python(b))
        case python.BoolOp(op=op, values=values):
            first, *rest = map(shape_of_python, values)
            for other in rest:
                first = (OPERATORS[type(op)], first, other)
            return first
        case python.UnaryOp(op=op, operand=a):
            return (OPERATORS[type(op)], shape_of_python(a))
        case python.Compare(left=a, ops=ops, comparators=rest):
            return ("compare", shape_of_python(a), [OPERATORS[type(o)] for o in ops], [*map(shape_of_python, rest)])
        case python.IfExp(test=c, body=a, orelse=b):
            return ("if", shape_of_python(a), shape_of_python(c), shape_of_python(b))
        case python.List(elts=items) | python.Tuple(elts=items):
            return (type(node).__name__, [*map(shape_of_python, items)])
        case python.Starred(value=a):
            return ("splat", shape_of_python(a))
        case python.Call(func=f, args=args, keywords=named):
            named_shapes = [(k.arg, shape_of_python(k.value)) for k in named]
            return ("call", shape_of_python(f), [*map(shape_of_python, args)], named_shapes)
        case python.Subscript(value=a, slice=python.Slice(lower=x, upper=y, step=z)):
            return ("slice", shape_of_python(a), *(None if e is None else shape_of_python(e) for e in (x, y, z)))
        case python.Subscript(value=a, slice=i):
            return ("index", shape_of_python(a), shape_of_python(i))
        case python.ListComp(elt=a, generators=parts):
            loops = [(python.unparse(p.target), shape_of_python(p.iter), [*map(shape_of_python, p.ifs)]) for p in parts]
            return ("each", shape_of_python(a), loops)
    raise AssertionError(python.dump(node))


def shape_of_ours(node: Any) -> Any:
    """An expression of ours as the same tuples."""
    s = shape_of_ours
    match node:
        case ast.Number(value=v) | ast.String(value=v) | ast.Literal(value=v):
            return ("constant", v)
        case ast.Template(parts=parts):
            return ("text", *map(s, parts))
        case ast.Name(id=name):
            return ("name", name)
        case ast.Binary(first=a, ops=ops, rest=rest):
            return reduce(lambda shape, term: (term[0], shape, s(term[1])), zip(ops, rest, strict=True), s(a))
        case ast.Unary(op=op, operand=a):
            return (op, s(a))
        case ast.Compare(first=a, ops=ops, rest=rest):
            return ("compare", s(a), [*ops], [*map(s, rest)])
        case ast.Conditional(then=a, condition=c, otherwise=b):
            return ("if", s(a), s(c), s(b))
        case ast.ListExpr(items=items):
            return ("List", [*map(s, items)])
        case ast.TupleExpr(items=items):
            return ("Tuple", [*map(s, items)])
        case ast.Splat(value=a):
            return ("splat", s(a))
        case ast.Call(function=f, arguments=arguments):
            args = [s(a.value) for a in arguments if a.name is None]
            return ("call", s(f), args, [(a.name.id, s(a.value)) for a in arguments if a.name is not None])
        case ast.Index(value=a, index=ast.Slice(start=x, stop=y, step=z)):
            return ("slice", s(a), *(None if e is None else s(e) for e in (x, y, z)))
        case ast.Index(value=a, index=i):
            return ("index", s(a), s(i))
        case ast.Comprehension(item=a, clauses=clauses):
            return ("each", s(a), [(_targets(c), s(c.iterable), [*map(s, c.conditions)]) for c in clauses])
    raise AssertionError(node)


def _targets(clause: ast.Clause) -> str:
    names = ", ".join(t.id for t in clause.targets if isinstance(t, ast.Name))
    return f"({names})" if len(clause.targets) > 1 else names


class Pythonic(Writer):
    """Draws only what Python can say too."""

    def expression(self, depth: int = 4) -> Any:
        node = super().expression(depth)
        ours = (ast.Choice, ast.Pipeline, ast.Residual, ast.Body, ast.Quantity)
        return self.name(("x", "y")) if isinstance(node, ours) else node

    def name(self, words: Any = ("x", "y", "input", "group")) -> ast.Name:
        return super().name(words)

    def splat(self, depth: int) -> ast.Splat:
        return ast.Splat(Span(0, 0), self.name())

    def targets(self, depth: int = 2) -> tuple[Any, ...]:
        return (self.name(),)

    def arguments(self, depth: int) -> tuple[ast.Argument, ...]:
        seen: set[str | None] = set()
        found = [a for a in super().arguments(depth) if not isinstance(a.value, ast.Labelled)]
        return tuple(a for a in found if a.name is None or not (a.name.id in seen or seen.add(a.name.id)))  # type: ignore[func-returns-value]


@st.composite
def pythonic(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Any:
    return Pythonic(draw).expression()


@MANY
@given(pythonic())
def test_expressions_are_read_as_python_reads_them(node: Any) -> None:
    text = format_file(ast.File(Span(0, 0), (ast.Constant(Span(0, 0), ast.Name(Span(0, 0), "A"), node, ""),), (), ""))
    capitals = {"true": "True", "false": "False", "none": "None"}
    spoken = re.sub(r'("(?:[^"\\]|\\.)*")|\b(true|false|none)\b', lambda m: m[1] or capitals[m[2]], text)
    (theirs,) = python.parse(spoken).body
    assert isinstance(theirs, python.Assign)
    assert shape_of_ours(value(text.partition("=")[2])) == shape_of_python(theirs.value)


SPELLINGS = """
1 if a else 2 if b else 3 ~ -x ** -2 ~ not a == b ~ a < b < c ~ a or b and not c ~ 2 ** 3 ** 4 ~ a - b - c ~ x[1:]
x[::2] ~ x[-1]
f(*a, b=c) ~ [*a, 1] ~ (1,) ~ () ~ [] ~ a not in b ~ 'it\\'s' ~ "\\x41\\n\\\\" ~ 1_000 ~ 0xFF ~ 1e-6 ~ 1. ~ .5
[x for x in y if x] ~ [a for x in y for a in x] ~ [a for x in y if x if z for a, b in x if b]
f"{a} b {c + 1}" ~ f'{{x}} \\n"{ y[0] }{f(z, k=2)}' ~ f""
a @ b // c % d ~ f()()[0](1,) ~ (a) ~ ((a, b), c) ~ x[(1, 2)] ~ -1 ** 2 ~ not not a
"""


@pytest.mark.parametrize("text", re.split(r" ~ |\n", SPELLINGS.strip()))
def test_spellings_of_python(text: str) -> None:
    (theirs,) = python.parse(text).body
    assert isinstance(theirs, python.Expr)
    assert shape_of_ours(value(text)) == shape_of_python(theirs.value)
