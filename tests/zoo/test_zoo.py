"""Every net of `specs/` against the reference: torchvision, timm, and hand-built torch modules (`data/oracle.json`)."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from zoo_tables import entries, net, shapes, spec, specs, spelled, table

from netdsl.analysis import count
from netdsl.analysis.receptive_field import receptive_field

ENTRIES = entries()
COMPARED = {name: table("oracle")[e["net"]] | e.get("facts", {}) for name, e in ENTRIES.items() if "net" in e}
WEIGHTS = COMPARED | {name: table("oracle")[e["weights"]] for name, e in ENTRIES.items() if "weights" in e}
FIELDS = {name: table("receptive_fields")[e["field"]] for name, e in ENTRIES.items() if "field" in e}


@cache
def program(name: str) -> Any:
    found = net(name, ENTRIES[name].get("sizes"))
    assert not found.diagnostics, [str(d.message) for d in found.diagnostics]
    return found.program


@pytest.mark.parametrize("name", WEIGHTS)
def test_parameters_are_the_references(name: str) -> None:
    main = program(name).main
    assert count.totals(main).params == WEIGHTS[name]["params"]
    if "shapes" in WEIGHTS[name]:
        assert [spelled(p.shape) for p in count.parameters(main)] in shapes(WEIGHTS[name])


@pytest.mark.parametrize("name", COMPARED)
def test_macs_are_the_references(name: str) -> None:
    totals = count.totals(program(name).main)
    assert totals.macs == COMPARED[name]["macs"]
    assert totals.training_macs == COMPARED[name].get("macs_train_with_aux", totals.macs)


@pytest.mark.parametrize("name", COMPARED)
def test_buffers_are_the_references(name: str) -> None:
    totals = count.totals(program(name).main)
    assert (totals.buffer_tensors, totals.buffers) == (COMPARED[name]["buffers"], COMPARED[name]["buffer_elems"])


@pytest.mark.parametrize("name", COMPARED)
def test_inputs_and_outputs_are_the_references(name: str) -> None:
    main = program(name).main
    assert [[1, *v.type.shape] for v in main.inputs] == COMPARED[name]["input"]
    outputs = [[1, *o.value.type.shape] for o in main.outputs if not o.training]
    assert COMPARED[name]["output"] in (outputs[0], outputs)


@pytest.mark.parametrize("name", FIELDS)
def test_receptive_field_is_the_references(name: str) -> None:
    found = receptive_field(program(name))
    assert found is not None
    assert [found.size, found.stride, found.padding] == FIELDS[name]


@pytest.mark.parametrize("name", table("roadmap"))
def test_steps_of_the_road_to_convnext(name: str) -> None:
    """The figures of Liu et al. (2022), tables 10 and 11; where the paper prints another step's, our own count."""
    step, totals = table("roadmap")[name], count.totals(program(f"roadmap:{name}").main)
    assert (totals.params, totals.macs) == (step["params"], step["macs"])
    assert (abs(totals.macs / 1e9 - step["published_gflops"]) < 0.01) == step["match"]


@pytest.mark.parametrize("path", specs(), ids=lambda p: p.stem)
def test_every_spec_checks(path: Any) -> None:
    found = spec(path.stem)
    assert not found.diagnostics, [(d.message, d.path) for d in found.diagnostics]


def test_every_net_of_the_zoo_is_in_a_table() -> None:
    declared = {f"{path.stem}:{name}" for path in specs() for name in spec(path.stem).nets}
    assert declared == set(ENTRIES)
