"""Masks of bool: true lets a token be seen, and a query that sees none gives 0, in PyTorch and in onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from onnx_nets import compiled, module_of
from torch import nn

from netdsl.backends.onnx.model import export
from netdsl.backends.onnx.session import Session
from netdsl.loader import read_import
from netdsl.pipeline import Spec
from netdsl.source import Source
from netdsl.verify.stress import state_of

LENGTH, WIDTH = 5, 8
KEEP = torch.tensor([[True] * LENGTH, [True, False, True, True, False], [False] * LENGTH])


def outputs(text: str, *given: torch.Tensor) -> tuple[nn.Module, torch.Tensor, np.ndarray]:
    program = compiled(text)
    module = module_of(program).eval()
    with torch.no_grad():
        expected = module(*given)
    session = Session(export(program, state_of(module)).SerializeToString())
    names = [v.name for v in program.main.inputs]
    return module, expected, session.run({n: x.numpy() for n, x in zip(names, given, strict=True)})["output"]


def test_padding_is_that_of_multihead_attention_turned_round() -> None:
    x = torch.randn(3, LENGTH, WIDTH, generator=torch.Generator().manual_seed(0))
    text = f"net Net {{ input x [L, {WIDTH}]\n input keep [L] bool\n x -> attention(2, mask=keep) }}"
    module, expected, found = outputs(text, x, KEEP)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    reference = nn.MultiheadAttention(WIDTH, 2, batch_first=True).eval()
    reference.load_state_dict({k.removeprefix("attention."): v for k, v in module.state_dict().items()})
    with torch.no_grad():
        wanted, _ = reference(x, x, x, key_padding_mask=~KEEP)
    torch.testing.assert_close(expected[:2], wanted[:2], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("opset", [17, 18, 23])
def test_a_query_that_sees_nothing_gives_zero(opset: int) -> None:
    program = compiled(f"net Net {{ input x [L, {WIDTH}]\n input keep [1, L] bool\n sdpa(x, x, x, mask=keep) }}")
    x = torch.randn(3, LENGTH, WIDTH, generator=torch.Generator().manual_seed(0))
    session = Session(export(program, {}, opset=opset).SerializeToString())
    found = session.run({"x": x.numpy(), "keep": KEEP[:, None].numpy()})["output"]
    assert not found[2].any()
    expected = nn.functional.scaled_dot_product_attention(x, x, x, KEEP[:, None])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["key_padding_mask", "attn_mask"])
def test_the_other_convention_is_named(name: str) -> None:
    text = f"net Net {{ input x [L, 8]\n input keep [L] bool\n x -> attention(2, {name}=keep) }}"
    (found,) = Spec(Source(text), read_import).net("Net").diagnostics
    assert found.code == "unknown-argument"
    assert "logical_not" in str(found.hint)
