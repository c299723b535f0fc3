"""Generated syntax trees: anything that the grammar can say, whether it means something or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from netdsl.source import Span
from netdsl.syntax import ast

AT = Span(0, 0)
WORDS = ("x", "conv", "W", "_", "input", "output", "group", "when", "training", "steps", "share", "repeat")
LONG = ("a_rather_long_name_for_a_layer", "another_name_that_is_long_enough_to_break_lines")
NUMBERS = ("0", "3", "1_000", "2.5", "1e-6", "0x1F", ".5", "4.")
OPERATORS = (("+", "-"), ("*", "/", "//", "%", "@"), ("and",), ("or",), ("**",))
COMPARISONS = ("==", "!=", "<", "<=", ">", ">=", "in", "not in")
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)


class Writer:
    """Draws trees of a limited depth."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.draw = draw

    def pick(self, options: Sequence[Any]) -> Any:
        return self.draw(st.sampled_from(options))

    def some(self, make: Callable[[], Any], least: int = 0, most: int = 3) -> tuple[Any, ...]:
        return tuple(make() for _ in range(self.draw(st.integers(least, most))))

    def maybe(self, make: Callable[[], Any]) -> Any:
        return make() if self.draw(st.booleans()) else None

    def name(self, words: Sequence[str] = WORDS + LONG) -> ast.Name:
        return ast.Name(AT, self.pick(words))

    def number(self) -> ast.Number:
        text = self.pick(NUMBERS)
        value = int(text, 16) if "x" in text else float(text) if set(text) & set(".e") else int(text)
        return ast.Number(AT, value, text)

    # Expressions

    def template(self) -> ast.Template:
        def pair() -> tuple[Any, ...]:
            text = self.draw(TEXTS)
            value = self.pick((self.name(), ast.Binary(AT, self.name(), ("*",), (self.number(),))))
            return (ast.String(AT, text), value) if text else (value,)

        return ast.Template(AT, tuple(part for some in self.some(pair) for part in some))

    def atom(self) -> Any:
        makers = (
            self.name,
            self.number,
            lambda: ast.String(AT, self.draw(TEXTS)),
            self.template,
            lambda: ast.Literal(AT, self.pick((True, False, None))),
            lambda: ast.Quantity(AT, self.number(), self.pick(("epochs", "epoch", "steps", "step"))),
        )
        return self.pick(makers)()

    def expression(self, depth: int = 4) -> Any:
        if depth == 0 or not self.draw(st.integers(0, 3)):
            return self.atom()

        def inner() -> Any:
            return self.expression(depth - 1)

        def operands(least: int) -> tuple[Any, ...]:
            return self.some(inner, least)

        makers = (
            lambda: ast.ListExpr(AT, self.items(depth)),
            lambda: ast.TupleExpr(AT, self.items(depth)),
            lambda: ast.Comprehension(AT, inner(), self.some(lambda: self.clause(inner), 1, 2)),
            lambda: ast.Call(AT, inner(), self.arguments(depth)),
            lambda: ast.Index(AT, inner(), inner()),
            lambda: ast.Index(AT, inner(), ast.Slice(AT, self.maybe(inner), self.maybe(inner), self.maybe(inner))),
            lambda: ast.Unary(AT, self.pick(("-", "+", "not")), inner()),
            lambda: self.binary(inner),
            lambda: self.comparison(inner),
            lambda: ast.Conditional(AT, inner(), inner(), inner()),
            lambda: ast.Choice(AT, operands(2)),
            lambda: ast.Pipeline(AT, operands(2)),
            lambda: ast.Residual(AT, self.arguments(depth), self.body(depth - 1)),
            lambda: self.body(depth - 1),
        )
        return self.pick(makers)()

    def items(self, depth: int) -> tuple[Any, ...]:
        return self.some(lambda: self.pick((self.splat, self.expression))(depth - 1))

    def splat(self, depth: int) -> ast.Splat:
        return ast.Splat(AT, self.expression(depth))

    def arguments(self, depth: int) -> tuple[ast.Argument, ...]:
        by_position = tuple(ast.Argument(AT, None, item) for item in self.items(depth))
        labelled = self.some(lambda: ast.Labelled(AT, self.name(), self.expression(depth - 1)), most=1)
        by_position += tuple(ast.Argument(AT, None, item) for item in labelled)
        return by_position + self.some(lambda: ast.Argument(AT, self.name(), self.expression(depth - 1)))

    def binary(self, inner: Callable[[], Any]) -> ast.Binary:
        level = self.pick(OPERATORS)
        ops = self.some(lambda: self.pick(level), 1, 1 if level == ("**",) else 3)
        return ast.Binary(AT, inner(), ops, tuple(inner() for _ in ops))

    def comparison(self, inner: Callable[[], Any]) -> ast.Compare:
        ops = self.some(lambda: self.pick(COMPARISONS), 1, 2)
        return ast.Compare(AT, inner(), ops, tuple(inner() for _ in ops))

    def targets(self, depth: int = 2) -> tuple[Any, ...]:
        nested = lambda: ast.Targets(AT, self.targets(depth - 1))  # noqa: E731
        return self.some(lambda: self.pick((self.name, nested if depth else self.name))(), 1)

    def clause(self, inner: Callable[[], Any]) -> ast.Clause:
        return ast.Clause(AT, self.targets(), inner(), self.some(inner, 0, 2))

    # Statements

    def body(self, depth: int = 2) -> ast.Body:
        return ast.Body(AT, self.some(lambda: self.statement(depth)))

    def statement(self, depth: int) -> Any:
        def inner() -> Any:
            return self.expression(max(depth, 0))

        if depth <= 0:
            return ast.ExprStatement(AT, inner())
        makers = (
            lambda: self.named(inner()),
            lambda: ast.Assign(AT, self.some(self.name, 1), inner()),
            lambda: ast.Share(AT, self.name(), inner()),
            lambda: ast.Label(AT, self.name(), self.statement(depth - 1)),
            lambda: ast.For(AT, self.targets(), inner(), self.body(depth - 1)),
            lambda: ast.Repeat(AT, inner(), self.body(depth - 1)),
            lambda: self.branches(depth),
            lambda: ast.Require(AT, inner(), self.maybe(inner)),
            lambda: self.input(self.some(inner)),
            lambda: ast.Output(AT, self.name(), self.maybe(inner), self.draw(st.booleans())),
        )
        return self.pick(makers)()

    def named(self, value: Any) -> ast.ExprStatement:
        """A statement with a name for its value; a bare `input as x` would begin a declaration."""
        name = None if isinstance(value, ast.Name) else self.maybe(self.name)
        return ast.ExprStatement(AT, value, name)

    def input(self, shape: tuple[Any, ...]) -> ast.Input:
        return ast.Input(AT, self.name(), shape, self.maybe(self.name), self.marked(shape))

    def marked(self, shape: Sequence[Any]) -> int | None:
        """An axis of a shape, whose size is marked."""
        return self.pick((None, *range(len(shape))))

    def branches(self, depth: int) -> ast.If:
        other = self.pick((lambda: None, lambda: self.body(depth - 1), lambda: self.branches(depth)))()
        return ast.If(AT, self.expression(depth - 1), self.body(depth - 1), other)

    # Declarations

    def declaration(self) -> Any:
        name = self.name(("Net", "W", "x", "a_long_name"))
        makers = (
            lambda: ast.Import(AT, self.pick(("resnet", "a.b")), AT, self.some(self.imported, 1)),
            lambda: ast.Constant(AT, name, self.expression(), ""),
            lambda: self.block(name, "block", self.pick((self.body, self.expression))()),
            lambda: self.block(name, "net", self.body()),
            lambda: ast.Variant(AT, name, self.expression(), ""),
            lambda: ast.Expect(AT, name, self.some(self.expression, 1)),
            lambda: ast.Recipe(AT, name, self.maybe(self.name), self.maybe(self.name), self.some(self.entry), ""),
        )
        return self.pick(makers)()

    def imported(self) -> ast.ImportName:
        return ast.ImportName(AT, self.name(), self.maybe(self.name))

    def block(self, name: ast.Name, keyword: str, body: Any) -> ast.Block:
        signature = self.maybe(self.signature)
        parameters = self.some(lambda: ast.Parameter(AT, self.name(), self.maybe(lambda: self.expression(1))))
        return ast.Block(AT, keyword, name, parameters, signature, body, "")

    def signature(self) -> ast.Signature:
        given, result = (self.some(lambda: self.expression(1)) for _ in range(2))
        return ast.Signature(AT, given, result, (self.marked(given), self.marked(result)))

    def entry(self) -> Any:
        selectors = lambda: self.some(lambda: self.name(("norm", "stages.0.1", "head")), 1)  # noqa: E731
        makers = (
            self.field,
            lambda: ast.Group(AT, selectors(), self.some(self.field)),
            lambda: ast.Freeze(AT, selectors()),
        )
        return self.pick(makers)()

    def field(self) -> ast.Field:
        return ast.Field(AT, self.name(), self.expression(3))


@st.composite
def files(draw: Callable[[st.SearchStrategy[Any]], Any]) -> ast.File:
    """Files without comments."""
    writer = Writer(draw)
    return ast.File(AT, writer.some(writer.declaration), (), "")
