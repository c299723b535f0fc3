"""Hover over names that a body binds: what each was bound by."""

from __future__ import annotations

import pytest

from netdsl.lsp.analysis import Analysis
from netdsl.lsp.hover import hover
from netdsl.source import Source

TEXT = """\
block Head(c): [D] -> [c] = linear(c) -> relu

net Twin(width=16, depths=[1, 2]) {
  input left [1, H, 28]
  input right [1, H, 28]
  share tower = {
    conv(width, 3) -> relu
    gap -> Head(8)
  }
  share cell = gru(hidden_size=width, states=true)
  for depth in depths { require depth < 9 }
  state = param((1, 16))
  output z = (left -> tower) - (right -> tower)
  rows, _ = left -> squeeze(axis=0) -> cell(h0=state)
  output mean = rows -> reduce_mean(axis=0)
}
"""


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return Analysis(Source(TEXT, "/nowhere/twin.net"), {}).run()


@pytest.mark.parametrize(
    ("under", "said"),
    [
        ("width, 3)", "argument `width=16` of `Twin`"),
        ("c) -> relu", "argument `c` of `Head`"),
        ("tower = {", "`share tower = { ...`: one set of weights, which every use of `tower` applies"),
        ("tower) - ", "`share tower = { ...`: one set of weights"),
        ("cell = gru", "`share cell = gru(hidden_size=width, states=true)`: one set of weights"),
        ("h0=state", "`h0` of `gru`: a tensor that it takes beside the one that flows in"),
        ("depth < 9", "`depth`: from each item of `depths` in turn"),
        ("H, 28]\n  input right", "`H`: a size of the input, `input left [1, H, 28]`"),
        ("D] -> [c]", "`D`: a size of what flows in"),
    ],
)
def test_a_local_name_is_told_by_what_binds_it(analysis: Analysis, under: str, said: str) -> None:
    assert not analysis.diagnostics, [d.message for d in analysis.diagnostics]
    found = hover(analysis, TEXT.index(under))
    assert found is not None
    assert said in found[0]
