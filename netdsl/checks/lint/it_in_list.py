"""A list that is to keep the value that flows, and keeps `it`, which is whatever flows in where the list is used."""

from __future__ import annotations

from collections.abc import Iterator

from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.syntax import ast


def check(file: File) -> Iterator[Diagnostic]:
    """`[it]`, `[*skips, it]` and `skips + [it]`; beside other layers, as in `[it, relu]`, `it` is one more of them."""
    for _, names in file.blocks:
        for node in names.assigned:
            kept = _kept(node)
            if kept is not None:
                message = "`it` in a list is not this value, but what flows in where the list is used"
                hint = "name the value, `... as x` or `x = it`, and put `x` into the list"
                yield warning("it-in-list", message, file.module.place(kept.at), hint)


def _kept(node: ast.Assign) -> ast.Name | None:
    """The `it` of a named list that holds nothing else but what other lists hold."""
    plain = [item for item in _items(node.value) if not isinstance(item, ast.Splat)]
    found = next((item for item in plain if isinstance(item, ast.Name) and item.id == "it"), None)
    return found if len(plain) == 1 else None


def _items(node: ast.Node) -> list[ast.Node]:
    """The items that are written in a list, or in the lists of a sum such as `skips + [it]`."""
    if isinstance(node, ast.Binary) and set(node.ops) == {"+"}:
        return [item for term in (node.first, *node.rest) for item in _items(term)]
    return list(node.items) if isinstance(node, ast.ListExpr | ast.TupleExpr) else []
