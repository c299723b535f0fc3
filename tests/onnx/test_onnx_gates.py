"""Channel gates stay in the image's axes, and only where nothing else reads them."""

from __future__ import annotations

import pytest

from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.verify.compare import verify
from netdsl.verify.stress import state_of

GATES = {
    "it * (gap -> linear(4) -> relu -> linear(6) -> sigmoid)": True,
    "it * (gap -> linear(4) -> silu -> linear(6) -> hardsigmoid)": True,
    "it * (gap -> linear(6) -> 2 * it) + (gmp -> linear(6, bias=false))": True,
    "it + (gap -> linear(6) -> bn -> tanh)": True,
    "it * (gap -> linear(6) -> softmax)": False,
    "it * (gap -> linear(6) + param((6,)))": False,
    "it * (gap -> linear(6)) -> gap -> linear(2)": True,
    "gap -> linear(2)": False,
}


@pytest.mark.parametrize("text", GATES)
def test_gates(text: str) -> None:
    net = Spec(Source(f"net N {{\n  input x [6, 9, 7]\n  {text}\n}}", "n.net"), read_import).net("N")
    module = net.module(seed=0)
    cases = verify(net.checked, module, net.onnx)
    assert all(c.ok for c in cases), cases
    kinds = [n.op_type for n in net.onnx(state_of(module)).graph.node]
    assert ("Unsqueeze" not in kinds and "Conv" in kinds) == GATES[text]


def test_a_gate_that_is_also_an_output_stays_a_vector() -> None:
    text = "net N {\n  input x [6, 9, 7]\n  g = gap -> linear(6)\n  output seen = it * g\n  output gate = g\n}"
    net = Spec(Source(text, "n.net"), read_import).net("N")
    cases = verify(net.checked, net.module(seed=0), net.onnx)
    assert all(c.ok for c in cases), cases
