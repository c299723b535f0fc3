"""Every example of every op against torch and onnxruntime: shapes, parameters, buffers, MACs, values."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch
from op_harness import BATCH, Use, onnx_outputs, torch_module, types_of, uses
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from netdsl.ops import REGISTRY
from netdsl.ops.base import Op
from netdsl.ops.elementwise import Elementwise
from netdsl.ops.features import is_bare
from netdsl.ops.softmax import AlongAxis
from netdsl.sizes.constraints import Assumptions
from netdsl.sizes.dims import evaluate, symbol
from netdsl.tensors import TensorType

USES = list(uses())
OPSETS = (17, 18, 20, 21, 23, 26)


@pytest.fixture(params=USES, ids=[u.name for u in USES])
def use(request: pytest.FixtureRequest) -> Use:
    torch.manual_seed(zlib.crc32(request.param.name.encode()))
    return request.param


def outputs_of(value: object) -> list[torch.Tensor]:
    return [v.detach() for v in (value if isinstance(value, tuple | list) else [value])]


def test_every_op_has_a_page_and_examples() -> None:
    for kind, op in REGISTRY.items():
        assert (op.__doc__ or "").rstrip().endswith("."), kind
        assert op.examples, kind
        assert not set(op.__struct_fields__) & set(dir(Op)), f"an argument of {kind} hides a facet"


FUNCTIONS = [u for u in USES if issubclass(REGISTRY[u.op.kind], Elementwise | AlongAxis) and u.text == u.op.kind]


@pytest.mark.parametrize("use", FUNCTIONS, ids=[u.name for u in FUNCTIONS])
def test_what_a_function_gives_for_zero(use: Use) -> None:
    zeros = torch.zeros_like(use.values[0])
    assert bool((torch_module(use)(zeros) == 0).all()) == use.op.zero_at_zero


def test_example(use: Use) -> None:
    """Shapes, parameters, buffers and MACs are torch's, and onnxruntime gives torch's values."""
    module = torch_module(use).eval()
    with torch.no_grad():
        values = [outputs_of(module(*use.values))] + (
            [outputs_of(module.expressed(*use.values))] if module.both else []
        )
        with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            module(*use.values)
    inferred = types_of(use.inferred())
    for outputs in values:
        assert all(v.ndim == t.rank + 1 or is_bare(t) for v, t in zip(outputs, inferred, strict=True))
        shapes = [tuple(v.shape[v.ndim - t.rank :]) for v, t in zip(outputs, inferred, strict=True)]
        assert shapes == [t.shape for t in inferred]
        assert [str(v.dtype) for v in outputs] == [f"torch.{t.dtype}" for t in inferred]
        for first, other in zip(values[0], outputs, strict=True):
            torch.testing.assert_close(first, other, rtol=1e-6, atol=1e-6)
    check_state(use, module)
    if use.op.kind not in UNCOUNTED:
        assert use.op.macs(inferred[0], *use.types) * BATCH == counter.get_total_flops() // 2
    for opset in OPSETS:
        check_onnx(use, module, values[0], opset)


UNCOUNTED = {"rnn", "lstm", "gru"}
"""What torch's counter doesn't see on a CPU; held against the oracle's figures instead."""


def check_state(use: Use, module: torch.nn.Module) -> None:
    params = {n.removeprefix("layer."): tuple(p.shape) for n, p in module.named_parameters()}
    assert list(params.items()) == [(n or "layer", p.shape) for n, p in use.op.params(*use.types).items()]
    persistent = set(module.state_dict())
    found = {n: (tuple(b.shape), str(b.dtype), n in persistent) for n, b in module.named_buffers()}
    declared = use.op.buffers(*use.types).items()
    assert list(found.items()) == [(f"layer.{n}", (b.shape, f"torch.{b.dtype}", b.persistent)) for n, b in declared]
    assert use.op.is_layer or not (params or found)


def check_onnx(use: Use, module: torch.nn.Module, expected: list[torch.Tensor], opset: int) -> None:
    results = onnx_outputs(use, module, opset)
    if results is None:
        return  # not in this opset
    assert len(results) == len(expected)
    for got, want in zip(results, expected, strict=True):
        scale = np.abs(want.numpy()).max() if want.numel() else 0
        assert got.shape == want.shape
        assert np.abs(got.astype("float64") - want.numpy()).max() <= 1e-5 * scale, (use.name, opset)


def test_symbolic_sizes_agree_with_numbers(use: Use) -> None:
    """Inference over named sizes, with the numbers put in after, is inference over the numbers."""
    if not use.types:
        pytest.skip("no inputs")
    start = 1 if use.types[0].rank > 2 or (use.types[0].rank == 2 and use.op.kind != "linear") else 0
    names: dict[int, str] = {}
    symbolic = []
    for t in use.types:
        for size in t.shape[start:]:
            names.setdefault(size, f"S{len(names)}")
        named = [symbol(names[s]) if s > 1 else s for s in t.shape[start:]]
        symbolic.append(TensorType((*t.shape[:start], *named), t.dtype))
    sizes = {name: size for size, name in names.items()}
    assume = Assumptions()
    try:
        op = use.given.resolve(*symbolic)
        inferred = types_of(op.infer(assume, *symbolic))
    except Exception as error:
        if getattr(error, "code", "") in ("symbolic-weight", "symbolic-size"):
            pytest.skip("needs a number")
        raise
    assert [tuple(evaluate(s, sizes) for s in t.shape) for t in inferred] == [t.shape for t in types_of(use.inferred())]
    assert all(c.holds(sizes) for c in assume.constraints())
