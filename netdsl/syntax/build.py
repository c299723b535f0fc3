"""Makes the nodes of the syntax tree: a method per rule and terminal of the grammar, called as the parser reduces.

A method gets the children of its rule: nodes, tokens (with `start_pos` and `end_pos`) and None for what is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

from netdsl.source import Span
from netdsl.syntax import ast
from netdsl.syntax.limits import BITS, LONGEST_NAME
from netdsl.syntax.node import moved

_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0", "\\": "\\", '"': '"', "'": "'"}
_ESCAPE = re.compile(r"\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)")
_PARTS = re.compile(r"(?P<text>(?:[^{}]|\{\{|\}\})+)|\{(?P<value>[^{}#]*)\}|[{}]")
"""The parts of a template. A lone brace has neither name."""

_LITERALS = {"true": True, "false": False, "none": None}

Children = list[Any]


class Misread(Exception):  # noqa: N818 - it carries a mistake up to the parser
    """A token or a nesting that the grammar allows but the language does not."""

    def __init__(self, message: str, start: int, end: int, hint: str | None = None) -> None:
        super().__init__(message)
        self.message, self.start, self.end, self.hint = message, start, end, hint


def _start(child: Any) -> int:
    return child.at.start if isinstance(child, ast.Node) else child.start_pos


def _end(child: Any) -> int:
    return child.at.end if isinstance(child, ast.Node) else child.end_pos


def _span(children: Children) -> Span:
    last = next(c for c in reversed(children) if c is not None)
    return Span(_start(children[0]), _end(last))


def _nodes(children: Children) -> tuple[Any, ...]:
    return tuple([c for c in children if isinstance(c, ast.Node)])


def _sizes(shape: ast.ListExpr) -> tuple[tuple[Any, ...], int | None]:
    """The sizes of a shape, and the axis of the one that is marked."""
    marked = [i for i, size in enumerate(shape.items) if isinstance(size, ast.Splat)]
    if len(marked) > 1:
        at, hint = shape.items[marked[1]].at, "`*` marks the axis that layers work along"
        raise Misread("a shape has its features on one axis", at.start, at.end, hint)
    return tuple([size.value if isinstance(size, ast.Splat) else size for size in shape.items]), next(
        iter(marked), None
    )


def _arguments(children: Children) -> tuple[ast.Argument, ...]:
    nodes: tuple[Any, ...] = _nodes(children)
    return tuple([n if isinstance(n, ast.Argument) else ast.Argument(n.at, None, n) for n in nodes])


def _unescaped(text: str, start: int) -> str:
    """The characters that the inside of a string stands for; `start`: its offset."""

    def plain(match: re.Match[str]) -> str:
        escape = match[0]
        if escape[1] in "xu" and len(escape) > 2 and not 0xD800 <= int(escape[2:], 16) < 0xE000:
            return chr(int(escape[2:], 16))
        if escape[1] in _ESCAPES:
            return _ESCAPES[escape[1]]
        at = start + match.start()
        hint = "a backslash itself is written `\\\\`"
        raise Misread(f"`{escape}` is no escape that a string can hold", at, at + len(escape), hint)

    return _ESCAPE.sub(plain, text) if "\\" in text else text


class Builder:
    """The semantic actions of the grammar. `read`: the parser itself, for what stands in the braces of a text."""

    def __init__(self, read: Callable[[str], Any]) -> None:
        self._read = read

    # Terminals

    def NAME(self, t: Any) -> ast.Name:  # noqa: N802 - named after the terminal
        if len(t) > LONGEST_NAME:
            message = f"this name has {len(t):,} characters; a name has {LONGEST_NAME} at most"
            raise Misread(message, t.start_pos, t.end_pos)
        return ast.Name(Span(t.start_pos, t.end_pos), str(t))

    MODULE = SELECTOR = PATH = MEASURE = UNIT = NAME

    def WEIGHT(self, t: Any) -> ast.Weight:  # noqa: N802
        name = str(t).partition(".")[0]
        return ast.Weight(Span(t.start_pos, t.end_pos), ast.Name(Span(t.start_pos, t.start_pos + len(name)), name))

    def LITERAL(self, t: Any) -> ast.Literal:  # noqa: N802
        return ast.Literal(Span(t.start_pos, t.end_pos), _LITERALS[t.lower()])

    def NUMBER(self, t: Any) -> ast.Number:  # noqa: N802
        text = str(t)
        try:
            value: int | float = int(text, 16) if text[:2] in ("0x", "0X") else int(text)
        except ValueError:  # a float, or an integer with more digits than Python reads
            value = float(text)
        if math.isinf(value) if isinstance(value, float) else value.bit_length() > BITS:
            raise Misread("the number is too large", t.start_pos, t.end_pos)
        return ast.Number(Span(t.start_pos, t.end_pos), value, text)

    def STRING(self, t: Any) -> ast.String:  # noqa: N802
        return ast.String(Span(t.start_pos, t.end_pos), _unescaped(str(t)[1:-1], t.start_pos + 1))

    def TEMPLATE(self, t: Any) -> ast.Template:  # noqa: N802
        parts: list[ast.Expr] = []
        for found in _PARTS.finditer(str(t), 2, len(t) - 1):
            at = Span(t.start_pos + found.start(), t.start_pos + found.end())
            if found["text"] is not None:
                text = _unescaped(found["text"], at.start)
                parts.append(ast.String(at, text.replace("{{", "{").replace("}}", "}")))
            else:
                parts.append(self._in_braces(found["value"], at))
        return ast.Template(Span(t.start_pos, t.end_pos), tuple(parts))

    def _in_braces(self, text: str | None, at: Span) -> Any:
        """The expression in the braces of a text."""
        from lark.exceptions import UnexpectedInput

        moves = at.start + 1 - len("X=")
        try:
            (constant,) = self._read(f"X={text or ''}")
        except UnexpectedInput:
            hint = "it is written between them; a brace that is meant itself is written twice"
            raise Misread("braces in a text hold one expression", at.start, at.end, hint) from None
        except Misread as error:
            raise Misread(error.message, error.start + moves, error.end + moves, error.hint) from None
        if any(isinstance(node, ast.String | ast.Template) for node in ast.walk(constant.value)):
            hint = "give it a name before, and write the name here"
            raise Misread("braces in a text hold no strings", at.start, at.end, hint)
        return moved(constant.value, moves)

    # Declarations

    def start(self, c: Children) -> tuple[Any, ...]:
        return _nodes(c)

    def import_(self, c: Children) -> ast.Import:
        module, *names = _nodes(c)
        return ast.Import(_span(c), module.id, module.at, tuple(names))

    def import_name(self, c: Children) -> ast.ImportName:
        return ast.ImportName(_span(c), c[0], c[1])

    def constant(self, c: Children) -> ast.Constant:
        return ast.Constant(_span(c), c[0], c[1], "")

    def block(self, c: Children) -> ast.Block:
        keyword, name, parameters, signature, body = c
        return ast.Block(_span(c), str(keyword), name, parameters or (), signature, body, "")

    def variant(self, c: Children) -> ast.Variant:
        return ast.Variant(_span(c), c[1], c[2], "")

    def parameters(self, c: Children) -> tuple[ast.Parameter, ...]:
        return _nodes(c)

    def parameter(self, c: Children) -> ast.Parameter:
        return ast.Parameter(_span(c), c[0], c[1])

    def signature(self, c: Children) -> ast.Signature:
        _, inputs, _, outputs = c
        (given, of_given), (result, of_result) = _sizes(inputs), _sizes(outputs)
        return ast.Signature(_span(c), given, result, (of_given, of_result))

    def expect(self, c: Children) -> ast.Expect:
        return ast.Expect(_span(c), c[1], _nodes(c[2:]))

    def recipe(self, c: Children) -> ast.Recipe:
        _, name, _, target, _, base, *entries = c
        return ast.Recipe(_span(c), name, target, base, _nodes(entries), "")

    def field(self, c: Children) -> ast.Field:
        return ast.Field(_span(c), c[0], c[1])

    def group(self, c: Children) -> ast.Group:
        nodes = _nodes(c)
        selectors = tuple([n for n in nodes if isinstance(n, ast.Name)])
        return ast.Group(_span(c), selectors, nodes[len(selectors) :])

    def freeze(self, c: Children) -> ast.Freeze:
        return ast.Freeze(_span(c), _nodes(c))

    def experiment(self, c: Children) -> ast.Experiment:
        _, name, _, target, *entries = c
        return ast.Experiment(_span(c), name, target, _nodes(entries), "")

    def vary(self, c: Children) -> ast.Vary:
        return ast.Vary(_span(c), c[1], c[2])

    def measure(self, c: Children) -> ast.Measure:
        name, *paths = _nodes(c)
        return ast.Measure(_span(c), name, tuple(paths))

    def compare(self, c: Children) -> ast.Comparison:
        return ast.Comparison(_span(c), c[1], c[2], c[3])

    def plot(self, c: Children) -> ast.Plot:
        end = next(i for i, child in enumerate(c) if child == ")")
        return ast.Plot(_span(c), c[1], _nodes(c[2:end]), _nodes(c[end:]))

    def only(self, c: Children) -> ast.Argument:
        return ast.Argument(_span(c), c[0], c[1])

    def plot_argument(self, c: Children) -> ast.Argument:
        return ast.Argument(_span(c), c[0], c[1])

    # Statements

    def body(self, c: Children) -> ast.Body:
        return ast.Body(_span(c), _nodes(c))

    def expr_statement(self, c: Children) -> ast.ExprStatement:
        return ast.ExprStatement(_span(c), c[0], c[1])

    def assign(self, c: Children) -> ast.Assign:
        return ast.Assign(_span(c), _nodes(c[:-1]), c[-1])

    def share(self, c: Children) -> ast.Share:
        return ast.Share(_span(c), c[1], c[2])

    def label(self, c: Children) -> ast.Label:
        return ast.Label(_span(c), c[0], c[1])

    def for_(self, c: Children) -> ast.For:
        return ast.For(_span(c), c[1], c[2], c[3])

    def targets(self, c: Children) -> tuple[ast.Target, ...]:
        return _nodes(c)

    def target_tuple(self, c: Children) -> ast.Targets:
        return ast.Targets(_span(c), _nodes(c))

    def repeat(self, c: Children) -> ast.Repeat:
        return ast.Repeat(_span(c), c[1], c[2])

    def if_(self, c: Children) -> ast.If:
        return ast.If(_span(c), c[1], c[2], c[3])

    def require(self, c: Children) -> ast.Require:
        return ast.Require(_span(c), c[1], c[2])

    def input(self, c: Children) -> ast.Input:
        sizes, features = _sizes(c[2])
        return ast.Input(_span(c), c[1], sizes, c[3], features)

    def output(self, c: Children) -> ast.Output:
        return ast.Output(_span(c), c[1], c[2], c[4] is not None)

    def shape(self, c: Children) -> ast.ListExpr:
        return ast.ListExpr(_span(c), _nodes(c))

    def feature(self, c: Children) -> ast.Splat:
        return ast.Splat(_span(c), c[1])

    # Expressions

    def pipeline(self, c: Children) -> ast.Pipeline:
        return ast.Pipeline(_span(c), _nodes(c))

    def choice(self, c: Children) -> ast.Choice:
        return ast.Choice(_span(c), _nodes(c))

    def conditional(self, c: Children) -> ast.Conditional:
        return ast.Conditional(_span(c), c[0], c[2], c[3])

    def binary(self, c: Children) -> ast.Binary:
        return ast.Binary(_span(c), c[0], tuple(map(str, c[1::2])), tuple(c[2::2]))

    def unary(self, c: Children) -> ast.Unary:
        return ast.Unary(_span(c), str(c[0]), c[1])

    def comparison(self, c: Children) -> ast.Compare:
        ops = tuple([" ".join(op.split()) for op in c[1::2]])
        return ast.Compare(_span(c), c[0], ops, tuple(c[2::2]))

    def call(self, c: Children) -> ast.Call:
        return ast.Call(_span(c), c[0], _arguments(c[1:]))

    def named(self, c: Children) -> ast.Argument:
        return ast.Argument(_span(c), c[0], c[1])

    def labelled(self, c: Children) -> ast.Labelled:
        return ast.Labelled(_span(c), c[0], c[1])

    def generator(self, c: Children) -> ast.Comprehension:
        return ast.Comprehension(_span(c), c[0], tuple(c[1:]))

    def clause(self, c: Children) -> ast.Clause:
        return ast.Clause(_span(c), c[1], c[2], tuple(c[4::2]))

    def index(self, c: Children) -> ast.Index:
        return ast.Index(_span(c), c[0], c[2])

    def slice(self, c: Children) -> ast.Slice:
        start, _, stop, _, step = c
        return ast.Slice(_span([x for x in c if x is not None]), start, stop, step)

    def quantity(self, c: Children) -> ast.Quantity:
        return ast.Quantity(_span(c), c[0], c[1].id)

    def parenthesised(self, c: Children) -> Any:
        """The node itself, with the parentheses in its span; in a tuple's place it would be read as one more level."""
        return _widened(c[1], _span(c))

    def tuple(self, c: Children) -> ast.TupleExpr:
        return ast.TupleExpr(_span(c), _nodes(c))

    def list(self, c: Children) -> ast.ListExpr:
        return ast.ListExpr(_span(c), _nodes(c))

    def comprehension(self, c: Children) -> ast.Comprehension:
        return ast.Comprehension(_span(c), c[1], tuple(c[2:-1]))

    def residual(self, c: Children) -> ast.Residual:
        return ast.Residual(_span(c), _arguments(c[1:-1]), c[-1])

    def splat(self, c: Children) -> ast.Splat:
        return ast.Splat(_span(c), c[1])


def _widened(node: Any, at: Span) -> Any:
    return type(node)(at, *[getattr(node, f) for f in node.__struct_fields__[1:]])


setattr(Builder, "import", Builder.import_)
setattr(Builder, "for", Builder.for_)
setattr(Builder, "if", Builder.if_)
