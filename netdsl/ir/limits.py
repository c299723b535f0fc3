"""The whole numbers that a net takes: those below the number of vectors of the tables that look them up."""

from __future__ import annotations

from netdsl.ir.flatten import Flat
from netdsl.ops.base import argument

MOVES = frozenset(("reshape", "flatten", "squeeze", "unsqueeze", "permute"))
"""Ops that give the integers that they take, in another form."""


def limits(flat: Flat) -> dict[str, int]:
    """For each input whose numbers `embed` looks up as they are, how many vectors there are: of several, the fewest."""
    origin = {v.name: v.name for v in flat.inputs if v.type.dtype.startswith("int")}
    found: dict[str, int] = {}
    for node in flat:
        name = origin.get(node.inputs[0].name) if node.inputs else None
        if name is None:
            continue
        if node.op.kind == "embed":
            count = argument(node.op, "num_embeddings")
            found[name] = min(found.get(name, count), count)
        elif node.op.kind in MOVES:
            origin[node.outputs[0].name] = name
    return found
