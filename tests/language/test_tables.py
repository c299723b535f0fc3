"""Tables: computed once, by the module's constructor, as torch computes them; stored once in ONNX; never saved."""

from __future__ import annotations

import math
import re

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from netdsl.analysis.count import buffers
from netdsl.backends.onnx.model import export
from netdsl.pipeline import Net, Spec
from netdsl.source import Source


def net(body: str, before: str = "") -> Net:
    text = f"{before}\nnet N {{\n  {body}\n}}\n"
    return Spec(Source(text, "a.net"), lambda name, importer: None).net("N")


SINUSOIDAL = """
block Positions(length, dim) {
  frequencies = linspace(0, -log(10000.0) * (dim - 2) / dim, dim // 2) -> exp
  angles = einsum("l, d -> l d", arange(length) -> cast(float32), frequencies)
  stack(angles -> sin, angles -> cos, axis=-1) -> rearrange("l d pair -> l (d pair)")
}"""


def sinusoidal(length: int, dim: int) -> torch.Tensor:
    """As in PyTorch's tutorial on the transformer."""
    position = torch.arange(length).unsqueeze(1)
    div_term = torch.exp(torch.arange(0, dim, 2) * (-math.log(10000.0) / dim))
    pe = torch.zeros(length, dim)
    pe[:, 0::2] = torch.sin(position * div_term)
    pe[:, 1::2] = torch.cos(position * div_term)
    return pe


def test_sinusoidal_positions() -> None:
    found = net("input rows [L, 16]\n  table = Positions(64, 16)\n  it + (table -> narrow(0, L))", SINUSOIDAL)
    assert [str(c) for c in found.checked.constraints] == ["L <= 64"]
    x = torch.randn(2, 9, 16)
    torch.testing.assert_close(found.module(seed=0)(x), x + sinusoidal(64, 16)[:9], rtol=1e-5, atol=1e-5)


BUCKETS = """
block Buckets(length, buckets=32, furthest=128) {
  relative = (arange(length) -> unsqueeze(axis=0)) - (arange(length) -> unsqueeze(axis=1))
  exact = buckets // 4
  distance = relative -> absolute
  far = distance -> clamp(min=1) -> cast(float32) -> it / exact -> log -> it / log(furthest / exact) * exact
  far = exact + (far -> cast(int64)) -> clamp(max=buckets // 2 - 1)
  (relative -> sign -> clamp(min=0)) * (buckets // 2) + where(condition=distance -> less(exact), a=distance, b=far)
}"""


def buckets(length: int) -> torch.Tensor:
    """T5's (Raffel et al., 2020) 32 buckets of offsets up to 128, as its code has them."""
    relative = torch.arange(length)[None, :] - torch.arange(length)[:, None]
    distance = relative.abs()
    far = 8 + (torch.log(distance.float() / 8) / math.log(128 / 8) * 8).to(torch.long)
    return (relative > 0).long() * 16 + torch.where(distance < 8, distance, far.clamp(max=15))


def test_buckets_of_relative_positions() -> None:
    found = net("input rows [200, 200]\n  table = Buckets(200)\n  it + (table -> cast(float32))", BUCKETS)
    x = torch.zeros(1, 200, 200)
    assert torch.equal(found.module(seed=0)(x)[0].long(), buckets(200))


def test_a_table_is_a_buffer_that_is_not_saved() -> None:
    found = net("input rows [6, 8]\n  positions = linspace(0, 1, 8) -> sin\n  it + positions")
    assert [(b.path, b.shape, b.persistent) for b in buffers(found.checked.main)] == [("positions", (1, 8), False)]
    module = found.module(seed=0)
    assert not module.state_dict()
    assert isinstance(module.positions, nn.Buffer)
    model = export(found.checked, {})
    (stored,) = (i for i in model.graph.initializer if i.name == "positions")
    np.testing.assert_allclose(onnx.numpy_helper.to_array(stored), module.positions, rtol=1e-6)
    assert [n.op_type for n in model.graph.node] == ["Add"]


def test_offsets_in_a_window_are_swins() -> None:
    found = net("""input rows [9, 9]
  n = arange(9)
  rows, columns = [n // 3, n % 3]
  down = (rows -> unsqueeze(axis=1)) - (rows -> unsqueeze(axis=0)) + 2
  right = (columns -> unsqueeze(axis=1)) - (columns -> unsqueeze(axis=0)) + 2
  offsets = down * 5 + right
  it + (offsets -> cast(float32))""")
    coords = torch.stack(torch.meshgrid(torch.arange(3), torch.arange(3), indexing="ij")).flatten(1)
    relative = (coords[:, :, None] - coords[:, None, :]).permute(1, 2, 0) + 2
    wanted = relative[..., 0] * 5 + relative[..., 1]
    assert torch.equal(found.module(seed=0)(torch.zeros(1, 9, 9))[0], wanted.float())


def test_what_is_read_by_nothing_but_a_table_is_no_layer() -> None:
    found = net("input rows [6]\n  a = arange(6) -> cast(float32)\n  b = a * a\n  it + b")
    assert [layer.name for layer in found.checked.main.layers] == ["b"]


SHARED = """
block Offsets(window, nn) {
  window = arange(window) + nn
  super = window -> cast(float32)
  it + ((super -> sin) + (super -> cos) * (window -> cast(float32)))
}"""


def test_what_a_table_uses_twice_has_the_name_of_the_author() -> None:
    """A local that has the name of an argument, or of something that the printed file needs, gets another one."""
    body = "input x [6]\n  Offsets(6, 1) -> Offsets(6, 2)"
    found = net(body, SHARED)
    (constructor,) = re.findall(r"super\(\).__init__\(\)\n(.*?)\n\n", found.source(), re.DOTALL)[:1]
    names = re.findall(r"^ +(\w+) = ", constructor, re.MULTILINE)
    assert names == ["window", "super_"] or names == ["window_", "super_"], constructor
    assert constructor.count("torch.arange") == 1
    given = expected = torch.randn(2, 6)
    for start in (1, 2):
        at = torch.arange(6) + start
        expected = expected + at.sin() + at.cos() * at
    torch.testing.assert_close(found.module(seed=0)(given), expected)


def test_a_long_chain_of_tables_is_cut() -> None:
    """Doubled thirty times, the expression of the last would hold 2 ** 30 ops."""
    body = "\n  ".join(["x0 = linspace(0, 1, 4)", *(f"x{i + 1} = (x{i} + x{i}) * 0.5" for i in range(30))])
    found = net(f"input rows [4]\n  {body}\n  it + x30")
    assert len(found.source()) < 20_000
    torch.testing.assert_close(found.module(seed=0)(torch.zeros(1, 4))[0], torch.linspace(0, 1, 4))


def test_a_table_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is larger is computed when the net runs; what it is made of is a table. A product of two ranges of 100,000
    would take 37 GiB beside the weights."""
    monkeypatch.setattr("netdsl.elaborate.tables.MOST_NUMBERS", 30)
    for size, kept in ((5, [(1, 3)]), (6, [(1, 6)])):
        product = f'a = linspace(0, 1, {size})\n  b = einsum("i, j -> i j", a, a)'
        module = net(f"input x [3]\n  {product}\n  y = b -> take(1, axis=0) -> narrow(0, 3)\n  x + y").module(seed=0)
        assert [tuple(b.shape) for b in module.buffers()] == kept
        a = torch.linspace(0, 1, size)
        torch.testing.assert_close(module(torch.zeros(2, 3)), (a[1] * a[:3]).expand(2, 3))


def test_a_table_is_an_output() -> None:
    found = net("input x [4]\n  output places = arange(4)\n  output y = x * 2")
    module = found.module(seed=0)
    assert module(torch.ones(2, 4))[0].tolist() == [[0, 1, 2, 3]]
    onnx.checker.check_model(export(found.checked, {}), full_check=True)


def test_functions_of_numbers() -> None:
    found = net("input x [2]\n  it * (sqrt(16) + log(1) + exp(0) + floor(2.7) + ceil(1.2) + sin(0) + cos(0))")
    assert found.module(seed=0)(torch.ones(1, 2)).tolist() == [[10.0, 10.0]]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("arange(L) -> cast(float32)", "a table is computed once, before `L` is known"),
        ("arange(5, 1)", "there are no numbers from 5 to 1 by 1"),
        ("arange(0, 5, 0)", "a step of 0 leads nowhere"),
        ("arange(10_000_000)", "a table has at most 1,000,000 numbers"),
        ("it // 2", "`//` needs whole numbers, found [L, 8]"),
        ("arange(4) % 0", "`%` by zero"),
        ("arange(4) / 2", "`/` needs real numbers, found [4] int64"),
        ("arange(8) + it", "`+` of int64 and float32"),
        ("it * sqrt(-1)", "`sqrt` takes a number from 0, found the number `-1`"),
        ("it * sqrt(L)", "`sqrt` takes a number from 0, found the size `L`"),
    ],
)
def test_what_does_not_fit_is_refused(body: str, message: str) -> None:
    assert [d.message for d in net(f"input rows [L, 8]\n  {body}").diagnostics] == [message]
