"""Trees of layers that are all alike but for their names."""

from __future__ import annotations

from netdsl.weights.slots import Slot, Unit, plain
from netdsl.weights.tree import Node, tree


def leaves(*keys: str) -> Node:
    """The tree of layers with these names; a name `a*2` has two layers below it."""
    names = [f"{k[:-2]}.{i}" if k.endswith("*2") else k for k in keys for i in range(2 if k.endswith("*2") else 1)]
    units = [Unit(tuple(n.split(".")), (("weight", plain(Slot(f"{n}.weight", (4,)))),)) for n in names]
    return tree(units, dict.fromkeys(units, 1))
