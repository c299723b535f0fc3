"""Uniqueness in a body: each label and each input is declared once, and nothing is called `it`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from netdsl.diagnostics.diagnostic import Diagnostic, Edit, Hint, Label, diagnostic
from netdsl.source import Place, Span
from netdsl.syntax import ast

Seen = dict[str, tuple[str, ast.Name]]
"""The names met so far on the way through a straight body, by the keys they take (`layer stem`), each with its kind."""


def check_bodies(file: ast.File, place: Callable[[Span], Place]) -> Iterator[Diagnostic]:
    """The labels, shared layers and inputs of a file whose names stand twice in one straight body.

    A label and a shared layer of one name would be one layer to the state dict.

    The branches of an `if` go apart, so each may have the same ones; the rounds of a loop are numbered.
    """
    for declaration in file.declarations:
        if isinstance(declaration, ast.Block):
            yield from _Bodies(place).of(declaration.body, {})


MAYBE_IT = re.compile(
    r"\b(?:net|block|input|share|as|import|for)\s+it\b|\bit\s*(?:=(?!=)|[\[,)\]:]|in\b)|[,(\[]\s*it\b"
)
"""What a text says wherever a name `it` is bound: the tree of others need not be searched."""


def check_it(text: str, file: ast.File, place: Callable[[Span], Place]) -> Iterator[Diagnostic]:
    """Report declarations called `it`, which is the value that flows."""
    for declaration in file.declarations:
        if MAYBE_IT.search(text, declaration.at.start, declaration.at.end):
            for name in bound(declaration):
                if name.id == "it":
                    message = "`it` is the value that flows: nothing else can be called that"
                    yield diagnostic("reserved-name", message, place(name.at), "name it `it_`")


def bound(declaration: ast.Node) -> Iterator[ast.Name]:
    """Every name in a node that an expression may read: what is declared, an argument, an input, a local, a target.

    Not labels and outputs, which nothing refers to by a bare name.
    """
    for node in ast.walk(declaration):
        yield from (name for name in _binds(node) if isinstance(name, ast.Name))


def _binds(node: ast.Node) -> Iterable[ast.Node | None]:
    match node:
        case ast.Constant() | ast.Block() | ast.Variant() | ast.Parameter() | ast.Input() | ast.Share():
            return (node.name,)
        case ast.ExprStatement():
            return (node.name,)
        case ast.ImportName():
            return (node.alias or node.name,)
        case ast.Assign() | ast.For() | ast.Clause():
            return node.targets
        case ast.Targets():
            return node.items
        case ast.Signature():
            return node.inputs
    return ()


class _Bodies:
    def __init__(self, place: Callable[[Span], Place]) -> None:
        self.place = place

    def of(self, node: ast.Node, seen: Seen) -> Iterator[Diagnostic]:
        """Walk through a body, or the part of one that stands on the same level."""
        if isinstance(node, ast.Body):
            for statement in node.statements:
                yield from self._statement(statement, seen)
        else:
            yield from self._expression(node, seen)

    def _statement(self, node: ast.Statement, seen: Seen) -> Iterator[Diagnostic]:
        match node:
            case ast.Label():
                yield from self._once("label", node.name, seen)
                inner = node.statement
                yield from self.of(inner.body if isinstance(inner, ast.For | ast.Repeat) else _whole(inner), {})
            case ast.Input():
                yield from self._once("input", node.name, seen)
            case ast.Share():
                yield from self._once("share", node.name, seen)
                yield from self._expression(node.value, seen)
            case ast.If():
                branches = [dict(seen) for _ in (node.body, node.otherwise)]
                yield from self.of(node.body, branches[0])
                if node.otherwise is not None:
                    yield from self.of(_whole(node.otherwise), branches[1])
                seen |= branches[0] | branches[1]
            case ast.For() | ast.Repeat():
                yield from self.of(node.body, seen)
            case ast.ExprStatement(value=ast.Body()):
                yield from self.of(node.value, seen)
            case _:
                for child in ast.children(node):
                    yield from self._expression(child, seen)

    def _expression(self, node: ast.Node, seen: Seen) -> Iterator[Diagnostic]:
        if isinstance(node, ast.Body):  # braces inside an expression are a body of their own
            yield from self.of(node, {})
            return
        if isinstance(node, ast.Labelled):
            yield from self._once("label", node.name, seen)
            seen = {}
        for child in ast.children(node):
            yield from self._expression(child, seen)

    def _once(self, kind: str, name: ast.Name, seen: Seen) -> Iterator[Diagnostic]:
        key = f"{kind if kind == 'input' else 'layer'} {name.id}"
        if key in seen:
            before, first = seen[key]
            article, what = "an" if kind == "input" else "a", f"{_KINDS[kind]}s `{name.id}`"
            told = (
                f"there are two {what}" if kind == before else f"a label and a shared layer are both called `{name.id}`"
            )
            yield diagnostic(
                "duplicate-name",
                f"{told} in this body: {article} {_KINDS[kind]} stands once",
                self.place(name.at),
                self._otherwise(kind, name, first),
                Label("the first stands here", self.place(first.at)),
            )
        seen.setdefault(key, (kind, name))

    def _otherwise(self, kind: str, name: ast.Name, first: ast.Name) -> str | Hint:
        """A hint for the second of a name: an input that is declared alike twice is one, and goes."""
        here, before = self.place(name.at), self.place(first.at)
        source = here.source
        if kind == "input" and source.line(here.line).strip() == source.line(before.line).strip():
            begin, end = source.text.rfind("\n", 0, name.at.start), source.text.find("\n", name.at.start)
            return Hint("leave it out", (Edit(Place(source, Span(max(begin, 0), end)), ""),))
        return "give one of them another name" if kind == "share" else f"name one of them otherwise: `{name.id}2`"


_KINDS = {"input": "input", "label": "label", "share": "shared layer"}


def _whole(statement: ast.Statement | ast.Body) -> ast.Body:
    """A statement as a body of one."""
    return statement if isinstance(statement, ast.Body) else ast.Body(statement.at, (statement,))
