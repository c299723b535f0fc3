"""The rounds of a comprehension: loops inside each other, each with its conditions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from netdsl.budget import spend
from netdsl.syntax import ast


def rounds(
    clauses: tuple[ast.Clause, ...],
    items: Callable[[ast.Node], Iterable[Any]],
    bind: Callable[[ast.Clause, Any], None],
    holds: Callable[[ast.Node], bool],
) -> Iterator[None]:
    """Bind the names of the loops, once for each item of the list."""
    loops = [iter(items(clauses[0].iterable))]
    while loops:
        clause = clauses[len(loops) - 1]
        for item in loops[-1]:
            spend(2)
            bind(clause, item)
            break
        else:
            loops.pop()
            continue
        if not all(map(holds, clause.conditions)):
            continue
        if len(loops) == len(clauses):
            yield
        else:
            loops.append(iter(items(clauses[len(loops)].iterable)))
