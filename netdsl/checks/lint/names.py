"""The names of a declaration: those that its statements bind, and those that are read somewhere in it."""

from __future__ import annotations

from msgspec import Struct

from netdsl.syntax import ast

BOUND: dict[type, tuple[str, ...]] = {
    ast.Assign: ("targets",), ast.Share: ("name",), ast.ExprStatement: ("name",), ast.Parameter: ("name",),
    ast.Input: ("name", "dtype"), ast.For: ("targets",), ast.Clause: ("targets",), ast.Label: ("name",),
    ast.Labelled: ("name",), ast.Output: ("name",), ast.Argument: ("name",), ast.Block: ("name",),
    ast.Constant: ("name",), ast.Variant: ("name",), ast.Recipe: ("name",), ast.Import: ("names",),
    ast.Field: ("name",), ast.Freeze: ("selectors",), ast.Group: ("selectors",),
    ast.Experiment: ("name",), ast.Vary: ("path",), ast.Measure: ("name", "paths"), ast.Comparison: ("measure", "path"),
    ast.Plot: ("kind", "arguments"),
}  # fmt: skip
"""Fields that hold names which are not read there."""


class Names(Struct, frozen=True, eq=False):
    """`values`: the names that each assignment, `share` or `as` binds; `assigned`, `outputs`: those statements."""

    used: frozenset[str]
    values: tuple[tuple[ast.Name, ...], ...]
    assigned: tuple[ast.Assign, ...]
    outputs: tuple[ast.Output, ...]


def names_of(declaration: ast.Node) -> Names:
    """The names in a declaration."""
    used: set[str] = set()
    values: list[tuple[ast.Name, ...]] = []
    assigned: list[ast.Assign] = []
    outputs: list[ast.Output] = []
    waiting = [declaration]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name):
            used.add(node.id)
            continue
        if isinstance(node, ast.Assign):
            values.append(node.targets)
            assigned.append(node)
        elif isinstance(node, ast.Share | ast.ExprStatement) and node.name is not None:
            values.append((node.name,))
        elif isinstance(node, ast.Output):
            outputs.append(node)
        waiting += _read(node)
    return Names(frozenset(used), tuple(values), tuple(assigned), tuple(outputs))


def _read(node: ast.Node) -> list[ast.Node]:
    """The nodes below one, but for the names that it binds."""
    bound = BOUND.get(type(node))
    if bound is None:
        return ast.children(node)
    values = [getattr(node, field) for field in node.__struct_fields__ if field not in bound]
    flat = [item for value in values for item in (value if type(value) is tuple else (value,))]
    return [item for item in flat if isinstance(item, ast.Node)]
