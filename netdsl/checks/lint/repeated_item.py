"""A layer that stands once in a list and is used more than once: each use has weights of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.source import Span
from netdsl.syntax import ast

LOOPS = (ast.For, ast.Repeat)
HINT = "`share name = ...` before the list keeps one set of weights; braces, `{ ... }`, say that each use has its own"


def check(file: File) -> Iterator[Diagnostic]:
    """A list made in each round of a loop is left out, and so is an item in braces, which says that uses differ."""
    used = _uses(file)
    for block, names in file.blocks:
        for statement in _once(block.body) if names.assigned else ():
            for item in _items(statement):
                inside = [n for at, n in used.items() if item.at.start <= at.start and at.end <= item.at.end]
                if max(inside, default=0) > 1:
                    name, times = statement.targets[0].id, max(inside)
                    message = f"this stands once in `{name}` and is used {times} times, each with weights of its own"
                    yield warning("repeated-item", message, file.module.place(item.at), HINT)


def _uses(file: File) -> dict[Span, int]:
    """How often what stands at a place makes weights in one definition, at most."""
    most: dict[Span, int] = {}
    for definition in file.flow.definitions:
        made = [(s.place.span, s.layer) for s in definition.steps if s.layer is not None and file.owns(s.place)]
        for span, count in Counter(span for span, _ in dict.fromkeys(made)).items():
            most[span] = max(count, most.get(span, 0))
    return most


def _once(body: ast.Node) -> Iterator[ast.Assign]:
    """The assignments of a body that no loop repeats."""
    for node in ast.children(body):
        if isinstance(node, ast.Assign):
            yield node
        elif not isinstance(node, LOOPS):
            yield from _once(node)


def _items(statement: ast.Assign) -> Iterator[ast.Node]:
    """The items of a list that is given a name, but for those in braces."""
    value = statement.value
    if len(statement.targets) == 1 and isinstance(value, ast.ListExpr | ast.TupleExpr):
        yield from (i for i in value.items if not isinstance(i, ast.Body | ast.Splat))
