"""Weights that a file reads in several layers are one parameter."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from foreign_nets import by_torchscript, written
from onnx import ModelProto, numpy_helper
from torch import Tensor, nn

from netdsl.analysis.count import totals
from netdsl.lift.lift import Lift, lift_model

TIED = {
    "a layer used twice": (
        "(float[N,4] x, float[N,4] z) => (float[N,3] y) <float[4,3] w = {}> {"
        "a = MatMul(x, w)  b = MatMul(z, w)  c = Tanh(a)  y = Add(c, b) }",
        12, ("share shared_linear = linear(3, bias=false)",),
    ),
    "a chain used twice": (
        "(float[N,4] x, float[N,4] z) => (float[N,2] y) <float[4,3] w = {}, float[3] b = {}, float[3,2] u = {}> {"
        "p = MatMul(x, w)  q = Add(p, b)  r = Relu(q)  s = MatMul(r, u)"
        "d = MatMul(z, w)  e = Add(d, b)  f = Relu(e)  g = MatMul(f, u)  y = Sub(s, g) }",
        21, ("share encoder = linear(3) -> relu -> linear(2, bias=false)", "x -> encoder -> it - (z -> encoder)"),
    ),
    "a layer used in a loop": (
        "(float[N,4] x) => (float[N,4] y) <float[4,4] w = {}, float[4] b = {}> {"
        "p = MatMul(x, w)  q = Add(p, b)  r = Relu(q)  s = MatMul(r, w)  t = Add(s, b)  y = Relu(t) }",
        20, ("encoder -> encoder",),
    ),
    "rows of a table read at both ends": (
        "(int64[N,L] x) => (float[N,L,9] y) <float[9,4] w = {}> {"
        "e = Gather(w, x)  t = Transpose(w)  a = Tanh(e)  y = MatMul(a, t) }",
        36, ("share table = embed(9, 4)", "linear(weight=table.weight, bias=false)"),
    ),
    "a weight with another bias": (
        "(float[N,4] x) => (float[N,4] y) <float[4,4] w = {}, float[4] b = {}> {"
        "p = MatMul(x, w)  q = Tanh(p)  r = MatMul(q, w)  y = Add(r, b) }",
        20, ("linear(weight=table.weight, bias=false) -> it + ",),
    ),
    "a weight read both ways": (
        "(float[N,L,4] x) => (float[N,L,4] y) <float[4,3] w = {}, float[3] b = {}> {"
        "p = MatMul(x, w)  q = Add(p, b)  r = Tanh(q)  t = Transpose(w)  y = MatMul(r, t) }",
        15, ('"l i, o i -> l o"', '"l o, o i -> l i"'),
    ),
    "layers that are only equal": (
        "(float[N,4] x) => (float[N,4] y) <float[4] w = {}, float[4] b = {}, float[4,4] u = {}> {"
        "p = LayerNormalization(x, w, b)  q = MatMul(p, u)  y = LayerNormalization(q, w, b) }",
        32, (),
    ),
}  # fmt: skip
"""A graph, its number of parameters, and what its spec says."""


@pytest.mark.parametrize("case", TIED)
def test_tied(case: str) -> None:
    text, params, said = TIED[case]
    found = lifted(written(f"net {text}"))
    assert totals(found.net.checked.main).params == params
    assert [s for s in said if s not in found.text] == [], found.text


def lifted(model: ModelProto) -> Lift:
    """The lifted net of a model whose vectors called `w` are ones, and those called `b` beside them zeros."""
    arrays = {t.name: t for t in model.graph.initializer}
    if "w" in arrays and len(arrays["w"].dims) == 1:
        arrays["w"].CopyFrom(numpy_helper.from_array(np.ones(4, "float32"), "w"))
        arrays["b"].CopyFrom(numpy_helper.from_array(np.zeros(4, "float32"), "b"))
    found = lift_model(model)
    assert max(c.difference for c in found.proof) < 1e-5
    return found


class Stack(nn.Module):
    """Three blocks that are one module, or copies of one, as those of `nn.TransformerEncoder`."""

    def __init__(self, shared: bool, bias: bool) -> None:
        super().__init__()
        block = nn.Sequential(nn.Linear(6, 9, bias=bias), nn.GELU(), nn.Linear(9, 6, bias=bias))
        self.blocks = nn.ModuleList(block if shared else copy.deepcopy(block) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return x


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(2, 6), (2, 5, 6)])
def test_copied_layers_are_not_tied(shared: bool, bias: bool, shape: tuple[int, ...]) -> None:
    """Layers that begin with equal weights are tied where the module shares them."""
    net = Stack(shared, bias).eval()
    found = lift_model(by_torchscript(net, (torch.ones(shape),)))
    assert totals(found.net.checked.main).params == sum(p.numel() for p in net.parameters())
    assert ("share " in found.text) == shared


class Reader(nn.Module):
    """One layer of a decoder, used three times: each use reads the memory with the same weights."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.q, self.k = nn.LayerNorm(8), nn.Linear(8, 8), nn.Linear(6, 8)
        self.v, self.out = nn.Linear(6, 8), nn.Linear(8, 8)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        for _ in range(3):
            given = self.q(self.norm(x)), self.k(memory), self.v(memory)
            q, k, v = (t.unflatten(-1, (2, 4)).transpose(1, 2) for t in given)
            y = torch.softmax(q @ k.transpose(-2, -1) * 0.5, -1) @ v
            x = x + self.out(y.transpose(1, 2).flatten(2))
        return x


def test_a_layer_that_reads_a_second_value_is_one() -> None:
    net = Reader()
    for p in net.parameters():
        nn.init.normal_(p)
    found = lifted(by_torchscript(net, (torch.randn(2, 5, 8), torch.randn(2, 4, 6))))
    assert totals(found.net.checked.main).params == sum(p.numel() for p in net.parameters())
    assert "(context=" in found.text
