"""Numbers with long fractions, printed as the author computes them: `math.log(10000)`."""

from __future__ import annotations

from collections.abc import Sequence

from netdsl.backends.torch.conditions import computed_fractions
from netdsl.backends.torch.tree import Node, Num, transform, walk
from netdsl.ir.model import Definition

LONG = 10
"""A number with more characters than this says nothing to a reader."""

Members = list[tuple[str, Node]]


def with_fractions(
    definitions: Sequence[Definition], members: Members, forward: list[Node]
) -> tuple[Members, list[Node]]:
    """The members of a class and the trees of its forward method with their long fractions as the block computes them.

    The text of the block is read only where there are any.
    """
    if not any(_is_long(node) for tree in (*forward, *(tree for _, tree in members)) for node in walk(tree)):
        return members, forward
    found = computed_fractions(definitions)

    def computed(node: Node) -> Node:
        return found.get(node.value, node) if isinstance(node, Num) and _is_long(node) else node

    return [(name, transform(tree, computed)) for name, tree in members], [transform(t, computed) for t in forward]


def _is_long(node: Node) -> bool:
    return isinstance(node, Num) and isinstance(node.value, float) and len(repr(abs(node.value))) > LONG
