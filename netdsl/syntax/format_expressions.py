"""The formatter's text of expressions: a method for each class of `netdsl.syntax.ast`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from netdsl.syntax import ast
from netdsl.syntax.document import Aside, Doc, Either, Hard, Line, fill, group, hard, joined, nest, render
from netdsl.syntax.placement import Placement

PIPELINE, CHOICE, CONDITIONAL, OR, AND, NOT, COMPARE, SUM, TERM, UNARY, POWER, POSTFIX, ATOM = range(13)
"""How tightly expressions bind, loosest first."""

_BINARY = {
    "or": OR,
    "and": AND,
    "+": SUM,
    "-": SUM,
    "*": TERM,
    "/": TERM,
    "//": TERM,
    "%": TERM,
    "@": TERM,
    "**": POWER,
}
_LEVELS: dict[type, int] = {
    ast.Pipeline: PIPELINE, ast.Choice: CHOICE, ast.Conditional: CONDITIONAL, ast.Compare: COMPARE,
    ast.Call: POSTFIX, ast.Index: POSTFIX,
}  # fmt: skip
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0"}
_UNPRINTABLE = re.compile(r'[\\"\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffd]')


def level(node: Any) -> int:
    """How tightly an expression binds."""
    if isinstance(node, ast.Binary):
        return _BINARY[node.ops[0]]
    if isinstance(node, ast.Unary):
        return NOT if node.op == "not" else UNARY
    return _LEVELS.get(type(node), ATOM)


def _escaped(text: str) -> str:
    def escape(match: re.Match[str]) -> str:
        code = ord(match[0])
        return _ESCAPES.get(match[0]) or (f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}")

    return _UNPRINTABLE.sub(escape, text)


class Expressions:
    """Documents of expressions. `free` says that newlines mean nothing there: inside ( ) and [ ]."""

    def __init__(self, text: str, placement: Placement) -> None:
        self.text = text
        self.placement = placement

    def expression(self, node: Any, least: int = PIPELINE, free: bool = False) -> Doc:
        """An expression, in parentheses where it binds less tightly than its place demands."""
        if level(node) < least:
            return group(["(", nest([Line(""), self.written(node, True)]), Line(""), ")"])
        return self.written(node, free)

    def written(self, node: Any, free: bool) -> Doc:
        return getattr(self, type(node).__name__)(node, free)

    # Atoms

    def Number(self, node: ast.Number, _: bool) -> Doc:  # noqa: N802 - named after the class, as all below
        return node.text

    def String(self, node: ast.String, _: bool) -> Doc:  # noqa: N802
        return f'"{_escaped(node.value)}"'

    def Template(self, node: ast.Template, _: bool) -> Doc:  # noqa: N802
        def written(part: Any) -> str:
            if isinstance(part, ast.String):
                return _escaped(part.value).replace("{", "{{").replace("}", "}}")
            return f"{{{' '.join(render(self.expression(part)).split())}}}"  # a string has one line

        return f'f"{"".join(map(written, node.parts))}"'

    def Literal(self, node: ast.Literal, _: bool) -> Doc:  # noqa: N802
        return str(node.value).lower()

    def Name(self, node: ast.Name, _: bool) -> Doc:  # noqa: N802
        return node.id

    def Weight(self, node: ast.Weight, _: bool) -> Doc:  # noqa: N802
        return f"{node.name.id}.weight"

    def Quantity(self, node: ast.Quantity, _: bool) -> Doc:  # noqa: N802
        return f"{node.number.text} {node.unit}"

    def Splat(self, node: ast.Splat, _: bool) -> Doc:  # noqa: N802
        return ["*", self.expression(node.value, OR, True)]

    # Brackets

    def ListExpr(self, node: ast.ListExpr, _: bool) -> Doc:  # noqa: N802
        return self.listed(node, node.items, "[", "]", filled=all(map(_is_number, node.items)))

    def TupleExpr(self, node: ast.TupleExpr, _: bool) -> Doc:  # noqa: N802
        only = len(node.items) == 1
        return self.listed(node, node.items, "(", ",)" if only else ")", comma="" if only else ",")

    def Comprehension(self, node: ast.Comprehension, _: bool) -> Doc:  # noqa: N802
        parts = [self.expression(node.item, free=True)]
        for clause in node.clauses:
            parts.append(["for ", self.targets(clause.targets), " in ", self.expression(clause.iterable, OR, True)])
            parts += [["if ", self.expression(c, OR, True)] for c in clause.conditions]
        return group(["[", nest([Line(""), joined(Line(), parts)]), Line(""), "]"])

    def targets(self, targets: Sequence[ast.Target]) -> str:
        return ", ".join(t.id if isinstance(t, ast.Name) else f"({self.targets(t.items)})" for t in targets)

    def listed(
        self,
        host: Any,
        items: Sequence[Any],
        opening: str,
        closing: str,
        comma: str = ",",
        end: int = 0,
        filled: bool = False,
    ) -> Doc:
        """Items between brackets: on one line, or in rows where they do not fit or end with a comma."""
        if not items and not self.placement.hosts(host):
            return opening + closing
        docs = [self.item(item, self.expression(item, free=True), ",") for item in items[:-1]]
        docs += [self.item(item, self.expression(item, free=True), Either(comma, "")) for item in items[-1:]]
        apart = self.placement.hosts(host) or (comma and self.ends_with_comma(host.at.start, end or host.at.end))
        inner = [self.opened(host), nest([Line(""), self.rows(items, docs, filled), self.below(host)]), Line("")]
        return group([opening, inner, closing], bool(apart) or hard(docs))

    def rows(self, items: Sequence[Any], docs: list[Doc], filled: bool) -> Doc:
        """Items on the lines that the author gave them; where all are on one, each on its own (not if `filled`)."""
        starts = {i for i in range(1, len(items)) if "\n" in self.text[items[i - 1].at.end : items[i].at.start]}
        spaced = joined(Line(), docs)
        commented = any(id(item) in store for item in items for store in (self.placement.above, self.placement.beside))
        if commented or not (starts or (filled and items)):
            return spaced
        return Either(fill(docs, starts, indent=0), spaced)

    def ends_with_comma(self, start: int, end: int) -> bool:
        """Whether the author ended a bracket with a comma."""
        inside = self.text[start:end].rstrip()[:-1].rstrip()
        return inside.endswith(",")

    # Comments around items

    def item(self, node: Any, doc: Doc, *ending: Doc) -> Doc:
        """An item with the comments above and beside it."""
        above = [[comment_text(c), Hard()] for c in self.placement.above.get(id(node), ())]
        return [above, doc, *ending, self.beside(node)]

    def beside(self, node: Any) -> Doc:
        comment = self.placement.beside.get(id(node))
        return Aside(comment_text(comment)) if comment else ""

    def opened(self, host: Any) -> Doc:
        comment = self.placement.opening.get(id(host))
        return Aside(comment_text(comment)) if comment else ""

    def below(self, host: Any) -> Doc:
        return [[Hard(), comment_text(c)] for c in self.placement.below.get(id(host), ())]

    # Calls

    def Call(self, node: ast.Call, _: bool) -> Doc:  # noqa: N802
        return [self.expression(node.function, POSTFIX), self.listed(node, node.arguments, "(", ")")]

    def Argument(self, node: ast.Argument, _: bool) -> Doc:  # noqa: N802
        value = self.expression(node.value, free=True)
        return value if node.name is None else [node.name.id, self.equals(node.value), value]

    def Labelled(self, node: ast.Labelled, _: bool) -> Doc:  # noqa: N802
        return [f"{node.name.id}: ", self.expression(node.value, free=True)]

    def equals(self, value: Any) -> str:
        """The `=` of an argument; blanks keep apart what itself holds words or arrows."""
        return " = " if level(value) <= COMPARE else "="

    def Index(self, node: ast.Index, _: bool) -> Doc:  # noqa: N802
        return [self.expression(node.value, POSTFIX), "[", self.expression(node.index, free=True), "]"]

    def Slice(self, node: ast.Slice, _: bool) -> Doc:  # noqa: N802
        start, stop, step = (
            "" if e is None else self.expression(e, free=True) for e in (node.start, node.stop, node.step)
        )
        return [start, ":", stop, "" if node.step is None else [":", step]]

    # Operators

    def wrapped(self, doc: Doc, free: bool) -> Doc:
        """An expression that may break: between statements only inside parentheses."""
        if free:
            return group(doc)
        return group([Either("(", ""), nest([Line(""), doc]), Line(""), Either(")", "")])

    def Unary(self, node: ast.Unary, free: bool) -> Doc:  # noqa: N802
        return [node.op + (" " if node.op == "not" else ""), self.expression(node.operand, level(node), free)]

    def Binary(self, node: ast.Binary, free: bool) -> Doc:  # noqa: N802
        if node.ops[0] == "**":
            return self.power(node)
        tight = level(node) + 1
        rest = zip(node.ops, node.rest, strict=True)
        parts = [[Line(), op, " ", self.expression(operand, tight, True)] for op, operand in rest]
        return self.wrapped([self.expression(node.first, tight, True), *parts], free)

    def power(self, node: ast.Binary) -> Doc:
        (exponent,) = node.rest
        simple = all(isinstance(side, ast.Name | ast.Number) for side in (node.first, exponent))
        base = self.expression(node.first, POSTFIX)
        return [base, "**" if simple else " ** ", self.expression(exponent, UNARY)]

    def Compare(self, node: ast.Compare, free: bool) -> Doc:  # noqa: N802
        rest = zip(node.ops, node.rest, strict=True)
        parts = [[Line(), op, " ", self.expression(operand, SUM, True)] for op, operand in rest]
        return self.wrapped([self.expression(node.first, SUM, True), *parts], free)

    def Conditional(self, node: ast.Conditional, free: bool) -> Doc:  # noqa: N802
        cases = [node]
        while isinstance(cases[-1].otherwise, ast.Conditional):
            cases.append(cases[-1].otherwise)
        doc = self.expression(cases[-1].otherwise, CONDITIONAL, True)
        for case in reversed(cases):  # a loop, however many cases there are
            then, condition = self.expression(case.then, OR, True), self.expression(case.condition, OR, True)
            doc = self.wrapped([then, Line(), "if ", condition, Line(), "else ", doc], free or case is not node)
        return doc

    # Arrows

    def Choice(self, node: ast.Choice, free: bool) -> Doc:  # noqa: N802
        return self.chain(node, node.options, "| ", CONDITIONAL, free)

    def Pipeline(self, node: ast.Pipeline, free: bool) -> Doc:  # noqa: N802
        return self.chain(node, node.stages, "-> ", CHOICE, free)

    def chain(self, host: Any, links: Sequence[Any], sign: str, least: int, free: bool) -> Doc:
        """Links with a sign before each but the first. The line breaks that the author made are kept."""
        docs = [self.item(n, [sign if i else "", self.expression(n, least, free)]) for i, n in enumerate(links)]
        starts = {i for i in range(1, len(links)) if self.starts_line(links[i - 1], links[i])}
        return fill(docs, starts)

    def starts_line(self, before: Any, node: Any) -> bool:
        """Whether a link stands on a new line: as written, or because of a comment."""
        placed = id(before) in self.placement.beside or id(node) in self.placement.above
        return placed or "\n" in self.text[before.at.end : node.at.start]


def _is_number(node: Any) -> bool:
    return isinstance(node.operand if isinstance(node, ast.Unary) else node, ast.Number)


def comment_text(comment: ast.Comment) -> str:
    """A comment as written, with a blank after its `#`."""
    text = comment.text
    return text if re.match(r"#+[\s!]|#*$", text) else re.sub(r"^(#+)", r"\1 ", text)
