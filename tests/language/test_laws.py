"""Laws over generated specs: what is inferred is what torch and onnxruntime compute."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from generated import specs
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from legal_ir import violations
from torch.utils.flop_counter import FlopCounterMode

from netdsl.analysis.count import buffers, parameters, totals
from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.sizes.dims import evaluate
from netdsl.source import Source
from netdsl.verify.compare import verify

SIZES = st.fixed_dictionaries({"H": st.integers(9, 16), "W": st.integers(9, 16)})


def compiled(text: str) -> Net:
    """The net of a generated spec; a spec that does not check is no example."""
    net = Spec(Source(text, "generated.net"), read_import).net("Generated")
    assume(net.program is not None)
    return net


def shape_at(shape: Any, sizes: dict[str, int]) -> list[int]:
    return [evaluate(s, sizes) for s in shape]


@settings(max_examples=60)
@given(specs())
def test_specs_are_sound_or_explained(text: str) -> None:
    spec = Spec(Source(text, "generated.net"), read_import)
    net = spec.net("Generated")
    assert (net.program is None) == bool(net.diagnostics)
    assert all(d.at is not None and d.at.span.end <= len(d.at.source.text) for d in net.diagnostics)
    if net.program is not None:
        assert violations(net.program) == []


@settings(max_examples=40)
@given(specs(), SIZES)
def test_the_emitted_module_is_what_was_inferred(text: str, sizes: dict[str, int]) -> None:
    net = compiled(text)
    program = net.checked
    (image,) = program.main.inputs
    used = {k: v for k, v in sizes.items() if k in image.type.names}
    assume(all(c.holds(used) for c in program.constraints))
    module = net.module(seed=0)
    declared = {p.path: p.shape for p in parameters(program.main)}
    assert {k: tuple(v.shape) for k, v in module.named_parameters()} == declared
    assert list(dict(module.named_parameters())) == list(declared)
    state = {b.path: b.shape for b in buffers(program.main) if b.persistent}
    assert {k: tuple(v.shape) for k, v in module.state_dict().items() if k not in declared} == state
    x = torch.randn(2, *shape_at(image.type.shape, used))
    module.train()
    out = module(x)
    if declared:
        out.sum().backward()
    module.eval()
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        y = module(x)
    assert list(y.shape[1:]) == shape_at(program.main.outputs[0].value.type.shape, used)
    assert counter.get_total_flops() == 2 * 2 * evaluate(totals(program.main).macs, used)


@settings(max_examples=8)
@given(specs())
def test_the_onnx_file_computes_the_same(text: str) -> None:
    net = compiled(text)
    cases = verify(net.checked, net.module(seed=0).eval(), partial(net.onnx))
    assert all(c.ok for c in cases), [c for c in cases if not c.ok]


@settings(max_examples=25)
@given(specs(symbolic=True), st.integers(8, 20), st.integers(8, 20))
def test_a_fixed_size_is_a_case_of_a_named_one(text: str, h: int, w: int) -> None:
    """Giving sizes changes no parameter, and is refused just where a constraint fails."""
    net = compiled(text)
    symbolic, sizes = net.checked, {"H": h, "W": w}
    fixed = net.spec.net("Generated", sizes=sizes)
    holds = all(c.holds(sizes) for c in symbolic.constraints)
    assert (fixed.program is not None) == holds
    if fixed.program is not None:
        assert fixed.program.main.outputs[0].value.type.shape == tuple(
            shape_at(symbolic.main.outputs[0].value.type.shape, sizes)
        )
        assert totals(fixed.program.main).params == totals(symbolic.main).params
        assert totals(fixed.program.main).macs == evaluate(totals(symbolic.main).macs, sizes)


@pytest.mark.parametrize("text", ["", "net", "net A {", "\x00", "}" * 50, "net A { input x [3, 2**9**9] }"])
def test_bad_text_is_explained(text: str) -> None:
    assert isinstance(Spec(Source(text, "bad.net"), read_import).diagnostics, tuple)
