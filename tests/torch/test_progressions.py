"""Numbers that grow evenly from layer to layer are printed as such, whatever they are a multiple of by chance."""

from __future__ import annotations

import pytest
import torch

from netdsl.analysis.count import totals
from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.source import Source

LAYER = "block Layer(growth) = concat(it, bn -> relu -> conv(growth, 3))\n"
DENSE = f"{LAYER}block Dense(growth) {{ repeat 6 {{ Layer(growth) }} }}\n"
FIXED = f"{LAYER}block Dense(layer, n) {{ repeat n {{ layer }}\n conv(32, 1)\n repeat 3 {{ layer }}\n conv(128, 1) }}\n"
RESIDUAL = """
block Residual(c, growth) = residual {
  repeat 4 { concat(it, conv(growth, 3) -> relu) }
  conv(c, 3)
}
"""
WIDER = "block Wider(c) { conv(c, 3) -> relu -> conv(2 * c, 3) -> relu -> conv(3 * c, 3) }\n"
BY_ITSELF = "block Own(c) { for i in range(4) { conv(24 + 8 * i, 3) -> relu }\n conv(c, 3) }\n"
CASES = {
    "by an argument": (DENSE, ["Dense(8)"], ["Layer(in_channels + i * growth, growth)"]),
    "by an argument that differs": (DENSE, ["Dense(8)", "Dense(16)"], ["Layer(in_channels + i * growth, growth)"]),
    "by a number": (
        FIXED,
        ["Dense(Layer(8), 6)"],
        ["Layer(in_channels + 8 * i, 8)", "Conv2d(80, in_channels, 1)", "Layer(in_channels + 8, 8)"],
    ),
    "and what follows": (
        RESIDUAL,
        ["Residual(32, 8)"],
        ["Conv2d(in_channels + growth, growth,", "Conv2d(in_channels + 4 * growth, c,"],
    ),
    "multiples": (WIDER, ["Wider(32)"], ["Conv2d(in_channels, 2 * c,", "Conv2d(2 * c, 3 * c,"]),
    "from no argument": (BY_ITSELF, ["Own(16)"], ["Conv2d(32, 40,", "Conv2d(48, c,"]),
}


def net(blocks: str, uses: list[str]) -> Net:
    body = "\n ".join(uses)
    text = f"{blocks}net A {{\n input x [3, 8, 8]\n conv(32, 1)\n {body}\n}}\n"
    return Spec(Source(text, "test.net"), read_import).net("A")


@pytest.mark.parametrize("case", CASES)
def test_growing_numbers(case: str) -> None:
    blocks, uses, lines = CASES[case]
    found = net(blocks, uses)
    source = found.source()
    assert all(line in source for line in lines), source
    assert "+ 0" not in source
    assert "1 *" not in source
    module = found.module().eval()
    count = sum(p.numel() for p in module.parameters())
    assert count == totals(found.checked.main).params
    assert module(torch.ones(2, 3, 8, 8)).shape[0] == 2
