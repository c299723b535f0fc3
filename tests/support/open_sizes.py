"""Nets of named sizes, held against the interpreter at every small size: emitted module and onnxruntime."""

from __future__ import annotations

from itertools import product
from random import Random
from typing import Any

import pytest
import torch
from agreement import doubled
from interpreter import Rounding, interpret, randomized, worst

from netdsl.backends.onnx.session import Session
from netdsl.diagnostics.diagnostic import Fault
from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.source import Source
from netdsl.verify.inputs import draw_inputs

LARGEST = 7
"""Every combination of sizes up to this one is tried."""


def net_of(text: str) -> Net:
    return Spec(Source(text, "n.net"), read_import).net("N")


def body(text: str, shape: str = "[2, H, W]") -> Net:
    return net_of(f"net N {{\n  input x {shape}\n  {text}\n}}\n")


def held(net: Net, seed: int, largest: int = LARGEST) -> int:
    """At how many sizes the three agree. Raises AssertionError where they do not, or where a size that the constraints
    exclude is not refused."""
    program = net.checked
    names = sorted(frozenset[str]().union(*(v.type.names for v in program.main.inputs)))
    module = net.module(seed=seed).eval()
    state = {k: v.clone() for k, v in randomized(module, seed).items()}
    weights = {k: doubled(v) for k, v in state.items()}
    session = exported(net, {k: v.numpy() for k, v in state.items()})
    module, compared, draw = module.double(), 0, Random(seed)
    for numbers in product(range(1, largest + 1), repeat=len(names)):
        sizes = dict(zip(names, numbers, strict=True))
        inputs = draw_inputs(program, 2, sizes, seed)
        given = [doubled(x) for x in inputs]
        if not all(c.holds(sizes) for c in program.constraints):
            with pytest.raises((ValueError, RuntimeError)), torch.no_grad():
                module(*given)
            continue
        wanted = interpret(program, weights, given, sizes)
        with torch.no_grad():
            found = module(*given)
        near(net, found, wanted, (weights, given, sizes), 2.0**-52, 1e-8)
        compared += 1
        if session is not None and (compared == 1 or draw.random() < 0.15):
            feed = {n: x.numpy() for n, x in zip(session.inputs, inputs, strict=True)}
            near(net, tuple(session.run(feed).values()), wanted, (weights, given, sizes), 2.0**-23, 1e-4)
    return compared


def exported(net: Net, weights: dict[str, Any]) -> Session | None:
    """The net in onnxruntime; None where its export is refused in words."""
    try:
        return Session(net.onnx(weights).SerializeToString(), threads=1)
    except Fault:
        return None


def near(net: Net, found: Any, wanted: Any, given: Any, unit: float, gate: float) -> None:
    apart = worst(found, wanted)
    if apart > gate:
        moved = [interpret(net.checked, *given, rounding=Rounding(unit, i)) for i in range(2)]
        most = 10 * max(worst(tuple(m.values()), wanted) for m in moved)
        assert apart <= most, f"{apart:.1e} apart at {given[2]}"
