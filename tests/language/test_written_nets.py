"""Nets as different people write them: interpreter, emitted module and onnxruntime agree on each.

Written by hand, where `test_agreement` draws: recursion, lists of layers, captured blocks, gates, unrolled loops.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from agreement import agree
from paths import ROOT

from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec
from netdsl.source import Source

NETS = {
    "kernels and dilations as arguments": """\
block Wide(k, d) = conv(4, k, dilation=d) -> relu
net Seen {
  input x [4, 12, 11]
  Wide(3, 1) -> Wide(5, 2) -> Wide(3, 2) -> Wide(5, 1)
}
""",
    "layers that take turns": """\
block Turn(c, biased) { residual { conv(c, 3, bias=biased) } }
net Turns {
  input x [4, 6, 5]
  even: for i in range(4) { conv(4, 3, bias=(i % 2 == 0)) }
  odd: for i in range(4) { conv(4, 3, bias=(i % 2 == 1)) }
  blocks: for i in range(6) { Turn(4, i % 2 == 0) }
  kernels: for i in range(4) { conv(4, 1 + 2 * (i % 2)) }
  steps: for i in range(3) { conv(4, 3, dilation=1 + 2 * i) }
}
""",
    "a transformer with gated layers": """\
block Geglu(d, hidden) {
  a, b = linear(2 * hidden) -> chunk(2, axis=-1)
  a * (b -> gelu) -> linear(d)
}
block Layer(d, heads) {
  residual { layernorm -> attention(heads) }
  residual { layernorm -> Geglu(d, 2 * d) }
}
net Enc(vocab=50, d=16, depth=3, heads=4) {
  input tokens [L] int64
  embed(vocab, d)
  layers: repeat depth { Layer(d, heads) }
  layernorm -> reduce_mean(axis=0) -> linear(5)
}
""",
    "a U-Net that recurs": """\
block Double(c) { conv(c, 3, bias=false) -> bn -> relu -> conv(c, 3, bias=false) -> bn -> relu }
block Level(c, depth) {
  Double(c)
  if depth > 0 {
    skip = it
    maxpool(2) -> Level(2 * c, depth - 1) -> upconv(c, 2, stride=2)
    concat(it, skip) -> Double(c)
  }
}
net U(base=4, depth=3) {
  input x [2, H, W]
  Level(base, depth) -> conv(3, 1)
}
""",
    "odd strides and windows": """\
net Odd {
  input x [3, H, 29]
  conv(8, (3, 5), stride=(2, 3), padding=(1, 2), bias=false) -> bn -> relu
  conv(8, 3, dilation=2, groups=4)
  residual(shortcut=conv(12, 1, stride=3, padding=0)) { conv(12, 3, stride=3, padding=1) }
  maxpool(3, stride=2, padding=1) -> avgpool((1, 2), stride=(1, 1)) -> flatten(start=1) -> reduce_max(axis=-1)
}
""",
    "three inputs": """\
net Match(d=6) {
  input image [3, 12, 12]
  input words [L] int64
  input weight [d]
  a = image -> conv(d, 3, stride=2) -> relu -> gap
  b = words -> embed(20, d) -> gru(d) -> reduce_max(axis=0)
  c = a * b + weight
  output score = c -> linear(1)
  output both = concat(a, b)
}
""",
    "a stack of recurrent layers": """\
net R(d=5) {
  input x [L, 3]
  gru(d, num_layers=2, bidirectional=true) -> layernorm -> lstm(4) -> rnn(3)
  y, h = gru(2)
  concat(y -> reduce_mean(axis=0), h -> flatten)
}
""",
    "attention over a graph": """\
block Head(out, adj) {
  h = linear(out)
  left = h -> linear(1)
  right = h -> linear(1) -> permute((1, 0))
  scores = (left -> expand((7, 7))) + (right -> expand((7, 7))) -> leaky_relu(0.2)
  w = scores -> masked_fill(mask=adj -> logical_not, value=-1e4) -> softmax(axis=-1)
  matmul(w, h)
}
net Gat(nodes=7) {
  input x [nodes, 5]
  input adj [nodes, nodes] bool
  x -> Head(4, adj) -> elu
}
""",
    "lists of layers and widths": """\
acts = [relu, gelu, silu, tanh]
net L(widths=[4, 8, 12], k=[3, 5, 3]) {
  input x [3, H, W]
  for w, s in zip(widths, k) {
    conv(w, s) -> bn -> acts[w // 4]
    if w != widths[-1] { maxpool(2) }
  }
  heads = [gap -> linear(2), gap -> linear(3)]
  concat(*heads)
}
""",
    "captured layers": """\
block Wrap(f, n) {
  residual { f }
  repeat n { residual { f -> relu } }
}
net C {
  input x [4, 9]
  Wrap({ layernorm -> linear(9) }, 2)
  Wrap(linear(9), 1)
  share s = linear(9)
  Wrap(s, 2)
}
""",
    "sums and quotients": """\
net Sum {
  input x [4, H, W]
  a = conv(4, 3)
  b = conv(4, 1)
  c = (a + b) * 0.5 - a * b + 2
  d = -(c) / (a * a + 1)
  (d + x -> relu) + (x - d -> tanh) * x
}
""",
    "inverted bottlenecks": """\
block Se(c, r) { gap -> linear(c // r) -> relu -> linear(c) -> sigmoid }
block Mb(cin, cout, stride, e) {
  residual(shortcut=identity if stride == 1 and cin == cout else conv(cout, 1, stride=stride, padding=0)) {
    if e != 1 { conv(cin * e, 1, bias=false) -> bn -> hardswish }
    dwconv(3, stride=stride, bias=false) -> bn -> hardswish
    it * Se(cin * e, 4)
    conv(cout, 1, bias=false) -> bn
  }
}
net M {
  input x [3, 16, 16]
  conv(8, 3, stride=2) -> Mb(8, 8, 1, 1) -> Mb(8, 12, 2, 3) -> Mb(12, 12, 1, 2) -> gap -> linear(4)
}
""",
    "a class token": """\
net V(d=12, p=4) {
  input x [3, H, W]
  patchify(d, p) -> rearrange("c h w -> (h w) c")
  cls = param((1, d))
  concat(cls, it, axis=0)
  repeat 2 {
    residual { layernorm -> attention(3) }
    residual(scale=0.1) { layernorm -> linear(2 * d) -> gelu -> linear(d) }
  }
  take(0, axis=0) -> linear(3)
}
""",
    "padding of keys": """\
net X(d=8) {
  input q [Q, d]
  input kv [K, 5]
  input keep [K] bool
  m = kv -> linear(d)
  q -> cross_attention(m, heads=2, mask=keep) -> layernorm
}
""",
    "a mixture of experts": """\
net Moe(d=6, experts=3) {
  input x [L, d]
  gates = linear(experts) -> softmax(axis=-1) -> chunk(experts, axis=-1)
  outs = [{ x -> linear(d) -> relu } for i in range(experts)]
  sum([outs[i] * gates[i] for i in range(experts)])
}
""",
    "a list that grows": """\
net F {
  input x [3, H, W]
  c = [x -> conv(4, 3, stride=2)]
  for i in range(2) { c = c + [c[-1] -> relu -> conv(4 * 2 ** (i + 1), 3, stride=2)] }
  lat = [f -> conv(6, 1) for f in c]
  top = lat[2]
  output p2 = top
  output p1 = lat[1] + (top -> upsample(like=lat[1]))
  output p0 = lat[0] + (lat[1] -> upsample(like=lat[0], mode=bilinear))
}
""",
    "windows of any size": """\
net A {
  input x [4, H, W]
  a = adaptive_avgpool((3, 2)) -> flatten
  b = adaptive_maxpool(2) -> flatten
  concat(a, b) -> linear(3)
}
""",
    "a decoder of odd sizes": """\
net D {
  input z [7]
  linear(4 * 3 * 5) -> reshape((4, 3, 5)) -> upconv(6, 3, stride=2, padding=1, output_padding=1) -> relu
  upconv(2, (4, 5), stride=(2, 3), padding=(1, 2), dilation=1, groups=2, output_padding=(1, 0)) -> sigmoid
}
""",
    "products by name": """\
net E(h=2) {
  input x [L, 6]
  q, k = linear(12) -> rearrange("l (two h d) -> two h l d", two=2, h=h) -> chunk(2, axis=0)
  einsum("h l d, h m d -> h l m", q -> squeeze(axis=0), k -> squeeze(axis=0))
  it -> softmax(axis=-1) -> reduce("h l m -> l", max)
}
""",
    "an hourglass": """\
block Hour(n, c) {
  up = residual { bn -> relu -> conv(c, 3) }
  low = maxpool(2) -> conv(c, 3)
  low2 = low -> (Hour(n - 1, c) if n > 1 else conv(c, 1))
  up + (low2 -> upsample(2))
}
net Hg { input x [3, H, W]
  conv(4, 1) -> Hour(2, 4) }
""",
    "sizes that are rounded up": """\
net A { input x [3, H, W]
  conv(4, 5, stride=3, padding=1) -> maxpool(3, stride=2, ceil_mode=true)
  upconv(3, 4, stride=2, padding=1) -> conv(2, 3, padding=0, dilation=2)
  flatten(start=1) -> permute((1, 0)) }
""",
    "a cell unrolled by hand": """\
net A { input x [5, 6]
  share cell = linear(6)
  h = param((6,))
  for t in range(5) { h = (x -> take(t, axis=0)) + (h -> cell) -> tanh }
  h }
""",
    "lists of pairs": """\
block Path(spec) { for k, c in spec { conv(c, k) -> relu } }
net Inc(paths=[[(1, 3)], [(1, 2), (3, 4)], [(1, 2), (5, 3), (3, 2)]]) { input x [3, H, W]
  repeat 2 { concat(*[Path(p) for p in paths]) }
  gap }
""",
    "variants": """\
net Base(widths, act=relu, heads=[2, 3]) { input x [3, 16, 16]
  for i, w in enumerate(widths) { conv(w, 3, stride=2 if i % 2 == 0 else 1) -> act }
  outs = [gap -> linear(n) for n in heads]
  output a = outs[0]
  output b = outs[1] }
net Small = Base([4, 6])
net Big = Base([4, 6, 8, 8], act=gelu(approximate=tanh), heads=[1, 4])
""",
    "booleans": """\
net B {
  input x [L, 4]
  m = greater(0.0)
  where(m, x, x * 0.1) -> masked_fill(mask=m -> logical_not, value=2.0) -> cumsum(axis=0)
}
""",
    "means and deviations": """\
net A { input x [4, L]
  m = reduce_mean(axis=1)
  v = (x - (m -> unsqueeze(axis=1) -> expand((4, L)))) -> square -> reduce_mean(axis=1)
  concat(m, v + 1e-3 -> sqrt) -> linear(3) }
""",
    "branches of another length": """\
block Cell(c, d) {
  a = conv(c, 2, dilation=d, padding=0) -> tanh
  b = conv(c, 2, dilation=d, padding=0) -> sigmoid
  (it -> crop(20 - d)) + (a * b -> conv(c, 1))
}
net Wv {
  input x [4, 20]
  Cell(4, 4) -> relu
}
""",
    "a gate of a volume": """\
net A { input x [4, 3, 4, 5]
  g = gap -> linear(4) -> sigmoid
  x * g -> conv(2, 3) -> adaptive_avgpool((1, 2, 2)) }
""",
}


@pytest.mark.parametrize("name", NETS)
def test_three_agree(name: str) -> None:
    spec = Spec(Source(NETS[name] + "\n", "written.net"), read_import)
    assert [d.message for d in spec.diagnostics if d.severity == "error"] == []
    for seed, net in enumerate(spec.nets):
        assert agree(spec.net(net), 3 * seed)


@pytest.mark.parametrize("path", sorted((ROOT / "tests/data/wild").glob("*.net")), ids=lambda p: p.stem)
def test_published_architectures_agree(path: Path) -> None:
    """Small forms of MobileOne, RepVGG, PoolFormer, PVT, Conformer, Perceiver and others that the zoo does not have."""
    spec = Spec(load_source(str(path)), read_import)
    assert len(spec.nets) >= 10
    for seed, net in enumerate(spec.nets):
        assert agree(spec.net(net), seed), net
