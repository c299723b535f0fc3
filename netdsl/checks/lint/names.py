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
    """`used`: the names that are read, `free`: those that no argument and no loop around binds where they are read;
    `values`: the names that each assignment, `share` or `as` binds; `assigned`, `outputs`: those statements."""

    used: frozenset[str]
    free: frozenset[str]
    values: tuple[tuple[ast.Name, ...], ...]
    assigned: tuple[ast.Assign, ...]
    outputs: tuple[ast.Output, ...]


def names_of(declaration: ast.Node) -> Names:
    """The names in a declaration."""
    used: set[str] = set()
    free: set[str] = set()
    values: list[tuple[ast.Name, ...]] = []
    assigned: list[ast.Assign] = []
    outputs: list[ast.Output] = []
    waiting: list[tuple[ast.Node, frozenset[str]]] = [(declaration, frozenset())]
    while waiting:
        node, around = waiting.pop()
        if isinstance(node, ast.Name):
            used.add(node.id)
            free |= {node.id} - around
            continue
        values += _named(node)
        assigned += (node,) if isinstance(node, ast.Assign) else ()
        outputs += (node,) if isinstance(node, ast.Output) else ()
        part, bound = _inside(node)
        waiting += [(n, around | bound if n is part else around) for n in _read(node)]
    return Names(frozenset(used), frozenset(free), tuple(values), tuple(assigned), tuple(outputs))


def _named(node: ast.Node) -> tuple[tuple[ast.Name, ...], ...]:
    """The names that a statement gives to values, together."""
    if isinstance(node, ast.Assign):
        return (node.targets,)
    return ((node.name,),) if isinstance(node, ast.Share | ast.ExprStatement) and node.name is not None else ()


def _inside(node: ast.Node) -> tuple[ast.Node | None, frozenset[str]]:
    """The part of a block, a loop or a comprehension in which it binds names that hide those of the file, and these."""
    match node:
        case ast.Block():
            return node.body, frozenset(p.name.id for p in node.parameters)
        case ast.For():
            return node.body, frozenset(name for target in node.targets for name in ast.names(target))
        case ast.Comprehension():
            targets = [target for clause in node.clauses for target in clause.targets]
            return node.item, frozenset(name for target in targets for name in ast.names(target))
    return None, frozenset()


def _read(node: ast.Node) -> list[ast.Node]:
    """The nodes below one, but for the names that it binds."""
    bound = BOUND.get(type(node))
    if bound is None:
        return ast.children(node)
    values = [getattr(node, field) for field in node.__struct_fields__ if field not in bound]
    flat = [item for value in values for item in (value if type(value) is tuple else (value,))]
    return [item for item in flat if isinstance(item, ast.Node)]
