"""Ops that are told a count (of parts, windows, places): right at any, and in no form more work than can be paid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn
from work import lines_run

from netdsl.backends.onnx.graph import SMALL, GraphBuilder
from netdsl.backends.onnx.model import export
from netdsl.backends.onnx.session import Session
from netdsl.backends.onnx.weights import ExportError
from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.source import Source
from netdsl.verify.compare import verify
from netdsl.verify.stress import state_of

MANY = 10**9
GROWTH = 4**1.2
"""How much more work four times the count may be."""


def spec(shape: str, body: str) -> Spec:
    return Spec(Source(f"net N {{\n  input x {shape}\n  {body}\n}}\n", "counts.net"), read_import)


def exported(net: Net) -> tuple[nn.Module, int]:
    """The module of a net, and how many nodes its model has."""
    module = net.module(seed=0).eval()
    return module, len(net.onnx(state_of(module)).graph.node)


@pytest.mark.parametrize(
    ("shape", "body", "code"),
    [
        (f"[{MANY}, 2]", f"parts = chunk({MANY})\n  parts[0]", "too-much-work"),
        ("[30000, 2]", "parts = split([1] * 30000)\n  parts[0]", "too-much-work"),
        (f"[3, {MANY}]", f"blurpool({MANY})", "too-large"),
        (f"[3, {MANY}]", "blurpool(1025)", "too-large"),
        (f"[3, {MANY}]", "blurpool(1024)", ""),
    ],
)
def test_more_than_can_be_paid_is_refused(shape: str, body: str, code: str) -> None:
    found = [d.code for d in spec(shape, body).diagnostics if d.severity == "error"]
    assert found[:1] == ([code] if code else [])


@pytest.mark.parametrize(
    ("shape", "body"),
    [
        ("[2, 150]", "adaptive_avgpool(70)"),
        ("[2, 150]", "adaptive_maxpool(70)"),
        ("[2, 7, 5]", "adaptive_avgpool((100, 3))"),
        ("[2, 7, 5]", "adaptive_maxpool((3, 100))"),
        ("[2, 4, 100, 3]", "adaptive_avgpool((3, 65, 2))"),
        ("[1, 40, 3]", "unfold((40, 2), padding=(1, 0))"),
        ("[200, 2]", "parts = chunk(200)\n  stack(*parts, axis=1)"),
    ],
)
def test_large_counts_are_computed_as_by_torch(shape: str, body: str) -> None:
    net = spec(shape, body).net("N")
    module, nodes = exported(net)
    assert nodes < 60 or "stack" in body
    assert all(c.ok for c in verify(net.checked, module, net.onnx))


def test_patches_are_copied() -> None:
    """An infinity stays one: no sum with zeros makes it NaN."""
    net = spec("[1, 3, 3]", "unfold(2)").net("N")
    model = net.onnx({})
    x = torch.zeros(1, 1, 3, 3)
    x[0, 0, 1, 1] = float("inf")
    (found,) = Session(model.SerializeToString()).run({"x": x.numpy()}).values()
    torch.testing.assert_close(torch.tensor(found), nn.Unfold(2)(x))


def test_patches_that_onnx_cannot_lay_down_are_refused() -> None:
    net = spec("[9000, 1]", "fold((9000, 1), (9000, 1))").net("N")
    with pytest.raises(ExportError) as refused:
        net.onnx({})
    assert refused.value.diagnostic.code == "not-exportable"


def stacked(count: int) -> Callable[[], object]:
    program = spec("[4]", f"stack(*[x for i in range({count})])").net("N").checked
    return lambda: export(program, {})


def distinct(count: int) -> Callable[[], object]:
    """Constants that are too large to be shared by their bytes, and all different."""
    graph = GraphBuilder(18, ())
    return lambda: [graph.const(np.full(SMALL + 1, i)) for i in range(count)]


def printed(count: int) -> Callable[[], object]:
    net = spec(f"[{count}]", f"x + constant([0.5 * i for i in range({count})])").net("N")
    assert net.checked
    return lambda: net.source()


@pytest.mark.parametrize("made", [stacked, distinct, printed])
def test_work_grows_with_the_count(made: Callable[[int], Callable[[], object]]) -> None:
    made(2)()  # what is imported at first
    few, many = (20, 80) if made is not printed else (300, 1200)
    one, four = (lines_run(made(n)) for n in (few, many))
    assert four < GROWTH * one


def test_equal_constants_are_one_however_large() -> None:
    graph = GraphBuilder(18, ())
    arrays = [np.full(SMALL + 1, i % 7) for i in range(20)]
    names = [graph.const(a) for a in arrays]
    assert names == (names[:7] * 3)[:20]
    assert len(set(names)) == 7
    assert all(np.array_equal(graph.initialisers[n], a) for n, a in zip(names, arrays, strict=True))


def test_a_long_table_is_printed_in_rows() -> None:
    """Every number, in lines that are no longer than others."""
    net = spec("[300]", "x + constant([0.5 * i for i in range(300)])").net("N")
    assert max(map(len, net.source().splitlines())) <= 100
    (table,) = net.module().buffers()
    assert table.flatten().tolist() == [0.5 * i for i in range(300)]


def test_a_norm_on_a_parameter_has_nothing_to_be_folded_into() -> None:
    net = spec("[4, 5, 6]", "p = param((4, 5, 6)) -> scale -> affine\n  x + p").net("N")
    module, _ = exported(net)
    assert all(c.ok for c in verify(net.checked, module, net.onnx))
