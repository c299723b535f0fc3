"""A spatial gate whose linear map acts at each position by itself: nothing moves between positions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

from netdsl.checks.lint.activations import ACTIVATIONS
from netdsl.checks.lint.flow import At, Flow, Link, key, kind_of
from netdsl.checks.lint.subject import File, warning
from netdsl.diagnostics.diagnostic import Diagnostic
from netdsl.ir.model import Step

NORMS = ("layernorm", "rmsnorm")
"""What stands before the map of a spatial gate; a gate of the features (GLU) has no norm there."""

CUTS = ("chunk", "split")


def check(file: File) -> Iterator[Diagnostic]:
    done: set[At] = set()
    cut: dict[int, list[Link]] = {}
    for link in file.flow.links:
        if kind_of(link.producer) in CUTS and link.producer.inputs[0].type.rank == 2:
            cut.setdefault(id(link.producer), []).append(link)
    for parts in cut.values():
        for value, gate in permutations(parts, 2):
            found = _map(file.flow, value, gate)
            if found is not None and file.owns(found.place) and key(found.place) not in done:
                done.add(key(found.place))
                message = "this map of a gate acts at each position by itself: it mixes features, and no positions"
                length = found.inputs[0].type.shape[0]
                hint = f"a spatial gate (gMLP) is `permute((1, 0)) -> linear({length}) -> permute((1, 0))`"
                yield warning("gate-along-features", message, found.place, hint)


def _map(flow: Flow, value: Link, gate: Link) -> Step | None:
    """The linear map of a gate, `norm -> linear`, whose result weighs the other part; None for another form."""
    norm = gate.consumer
    after = _next(flow, norm) if norm is not None and kind_of(norm) in NORMS else None
    linear = after.consumer if after is not None else None
    if linear is None or kind_of(linear) != "linear" or linear.inputs[0].type.shape != linear.outs[0].type.shape:
        return None
    product, other = _product(flow, _next(flow, linear)), _product(flow, value)
    return linear if product is not None and product is other else None


def _product(flow: Flow, link: Link | None) -> Step | None:
    """The product that a value goes into, perhaps behind an activation."""
    reader = link.consumer if link is not None else None
    if reader is not None and kind_of(reader) in (*ACTIVATIONS, "scalar"):
        return _product(flow, _next(flow, reader))
    return reader if reader is not None and kind_of(reader) == "mul" else None


def _next(flow: Flow, step: Step) -> Link | None:
    """The value that a step gives, on its way."""
    return next((link for link in flow.from_place(step.place) if link.producer is step), None)
