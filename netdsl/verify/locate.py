"""Where two ONNX files of one net part: the first layer whose outputs differ on the same inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct
from onnx import helper

from netdsl.backends.onnx.file import Model
from netdsl.backends.onnx.session import Session
from netdsl.verify.reference import distance

TAPS = 15
"""So many values are looked at in one run: the search takes as many runs as the number of layers has digits to the base
of 16."""


class Parting(Struct, frozen=True):
    """The first node whose output differs: its name, its op, and by how much (relative to the largest number)."""

    node: str
    op: str
    difference: float


def first_difference(model: Model, expected: Model, feed: Mapping[str, Any], gate: float) -> Parting | None:
    """The first node of `model` whose output is not that of the same name in `expected`; None where all outputs agree.

    A layer that differs makes what reads it differ, so the values between are searched, not all computed. Raises
    ValueError where the two have no values in common.
    """
    theirs = {name for node in expected.graph.node for name in node.output}
    nodes = [node for node in model.graph.node if node.output and node.output[0] in theirs]
    if not nodes:
        raise ValueError("the file was not made from this net: no value of its graph has a name of the net's")
    values = [node.output[0] for node in nodes]
    last = [i for i, name in enumerate(values) if name in {o.name for o in model.graph.output}] or [len(values) - 1]
    differences = _differences(model, expected, [values[i] for i in last], feed)
    wrong = [i for i, d in zip(last, differences, strict=True) if not d <= gate]
    if not wrong:
        return None
    low, high = -1, wrong[0]
    found = dict(zip(last, differences, strict=True))
    while high - low > 1:
        step = max(1, (high - low) // (TAPS + 1))
        taps = list(range(low + step, high, step))
        found |= zip(taps, _differences(model, expected, [values[i] for i in taps], feed), strict=True)
        high = next((i for i in taps if not found[i] <= gate), high)
        low = max((i for i in taps if i < high), default=low)
    return Parting(nodes[high].name, nodes[high].op_type, found[high])


def _differences(model: Model, expected: Model, names: Sequence[str], feed: Mapping[str, Any]) -> list[float]:
    """By how much each of these values differs between two models."""
    one, two = (_values(m, names, feed) for m in (model, expected))
    return [distance([two[n]], [one[n]]) if one[n].shape == two[n].shape else float("inf") for n in names]


def _values(model: Model, names: Sequence[str], feed: Mapping[str, Any]) -> dict[str, Any]:
    """Values inside a model, by name."""
    kept = len(model.graph.output)
    known = {o.name for o in model.graph.output}
    model.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in names if n not in known)
    try:
        session = Session(model.SerializeToString(), optimised=False)
    finally:
        del model.graph.output[kept:]
    return session.run({n: feed[n] for n in session.inputs})
