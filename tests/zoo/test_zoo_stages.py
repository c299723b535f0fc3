"""Every net of `specs/` through every stage: printed, built, run forward and backward, exported, verified.

Shapes are checked on the meta device, which costs no arithmetic, at the net's own size. The first net of each spec
stands for its others, which are marked slow. Nets that take more than a second or two run in onnxruntime on one sample;
their whole verification is marked slow too.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from zoo_tables import entries, net

from netdsl.analysis import count
from netdsl.backends.onnx.check import runnable
from netdsl.backends.onnx.session import Session
from netdsl.ir.model import Program
from netdsl.sizes.dims import evaluate
from netdsl.verify.compare import verify
from netdsl.verify.distance import GATE, distance
from netdsl.verify.inputs import draw_inputs
from netdsl.verify.reference import Reference
from netdsl.verify.sizes import choose, macs
from netdsl.verify.stress import state_of, stress

torch.set_num_threads(1)

ENTRIES = entries()
NODES = {name: entry["nodes"] for name, entry in ENTRIES.items() if "nodes" in entry}

COSTLY_MACS = 4e8
COSTLY_PARAMS = 12e6
HUGE_PARAMS = 150e6
"""Nets of more keep their own weights: there is no second copy of them in memory."""


def is_above(name: str, limit: float, params: float) -> bool:
    program = net(name).checked
    return macs(program, sizes_of(program)) > limit or count.totals(program.main).params > params


def sizes_of(program: Program) -> dict[str, int]:
    """Small values of the net's named sizes that it admits."""
    return choose(program)[0].named


def first_of_each() -> set[str]:
    """The first net of each spec that is not among the largest."""
    found: dict[str, str] = {}
    for name, entry in ENTRIES.items():
        if "slow" not in entry:
            found.setdefault(name.partition(":")[0], name)
    return set(found.values())


FIRST = first_of_each()
NETS = [pytest.param(n, marks=[] if n in FIRST else [pytest.mark.slow]) for n in ENTRIES]


def shapes(outputs: Any) -> list[list[int]]:
    return [list(y.shape) for y in (outputs if isinstance(outputs, tuple | list) else [outputs])]


@pytest.mark.parametrize("name", NETS)
def test_the_module_runs_forward_and_backward(name: str) -> None:
    found = net(name)
    program = found.checked
    sizes = sizes_of(program)
    with torch.device("meta"):
        module = found.module()
        inputs = [x.to("meta") for x in draw_inputs(program, 2, sizes, seed=0)]
    wanted = {p.path: list(p.shape) for p in count.parameters(program.main)}
    assert {k: list(p.shape) for k, p in module.named_parameters()} == wanted
    expected = [([2, *(evaluate(s, sizes) for s in o.value.type.shape)], o.training) for o in program.main.outputs]
    assert shapes(module.eval()(*inputs)) == [shape for shape, training in expected if not training]
    trained = module.train()(*inputs)
    assert shapes(trained) == [shape for shape, _ in expected]
    sum(y.sum() for y in (trained if isinstance(trained, tuple | list) else [trained])).backward()
    assert all(p.grad is not None for p in module.parameters())


@pytest.mark.parametrize("name", NETS)
def test_onnxruntime_agrees(name: str) -> None:
    if is_above(name, COSTLY_MACS, COSTLY_PARAMS):
        agrees_on_one_sample(name)
    else:
        agrees_on_a_stress_copy(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ENTRIES)
def test_onnxruntime_agrees_on_a_stress_copy_of_a_costly_net(name: str) -> None:
    if is_above(name, COSTLY_MACS, COSTLY_PARAMS):
        agrees_on_a_stress_copy(name)


def agrees_on_a_stress_copy(name: str) -> None:
    found = net(name)
    cases = verify(found.checked, found.module(seed=0), found.onnx)
    assert all(c.ok for c in cases), [c for c in cases if not c.ok][:3]


def agrees_on_one_sample(name: str) -> None:
    found = net(name)
    program, point = found.checked, choose(found.checked)[0]
    module = found.module(seed=0).eval()
    if count.totals(program.main).params < HUGE_PARAMS:
        module = stress(program, module, draw_inputs(program, 1, point.named, seed=99))
    reference = Reference(program, module, point, seed=0)
    with runnable(found.onnx(state_of(module))) as source:
        session = Session(source, threads=1, optimised=False)
    apart = distance(reference.outputs, list(session.run(reference.feed).values()))
    assert apart < GATE or apart < 4 * reference.rounding


@pytest.mark.parametrize("name", NODES)
def test_nodes_are_within_the_bar(name: str) -> None:
    found = net(name)
    model = found.onnx(state_of(found.module(seed=0)))
    assert len(model.graph.node) <= NODES[name]
