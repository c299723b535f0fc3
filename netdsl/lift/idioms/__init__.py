"""Idioms: what exporters take apart is put together again, on the calls of a flat net.

Each family is a table of rules by the kind of the last call of its idiom. They are applied until nothing changes.
"""

from __future__ import annotations

from netdsl.lift.idioms.activations import ACTIVATIONS
from netdsl.lift.idioms.attention import ATTENTION
from netdsl.lift.idioms.channels import CHANNELS
from netdsl.lift.idioms.engine import Rule, rewritten
from netdsl.lift.idioms.folded import FOLDED
from netdsl.lift.idioms.norms import NORMS
from netdsl.lift.idioms.rows import ROWS
from netdsl.lift.idioms.shapes import SHAPES
from netdsl.lift.idioms.windows import WINDOWS
from netdsl.lift.model import Lifted, LiftError

FAMILIES = (ACTIVATIONS, NORMS, SHAPES, CHANNELS, ATTENTION, WINDOWS, ROWS, FOLDED)


def idiomatic(net: Lifted) -> Lifted:
    """The net with its idioms as single ops."""
    rules: dict[str, tuple[Rule, ...]] = {}
    for family in FAMILIES:
        for kind, found in family.items():
            rules[kind] = (*rules.get(kind, ()), *found)
    net = rewritten(net, rules)
    left = next((c for c in net.calls if c.kind == "causal"), None)
    if left is not None:
        raise LiftError("a causal mask has no form outside of attention", left.node)
    return net
