"""Tied weights: a linear layer by the weight of a shared one; counted, stored and printed once."""

from __future__ import annotations

import pytest
import torch
from interpreter import interpret, worst
from torch import nn
from torch.nn import functional as F

from netdsl.analysis.count import totals
from netdsl.pipeline import Net, Spec
from netdsl.source import Source

LM = """net A {
  input tokens [L] int64
  share table = embed(50, 16)
  table
  body: linear(16) -> gelu
  linear(weight=table.weight, bias=false)
}
"""
INSIDE = """block Head(table) = layernorm -> linear(weight=table.weight, bias=false)

net A {
  input tokens [L] int64
  share table = embed(50, 16)
  table
  logits: { Head(table) }
}
"""
AUTOENCODER = """net A {
  input x [12]
  share code = linear(12, bias=false)
  code -> relu -> linear(weight=code.weight, bias=false)
}
"""


def net(text: str) -> Net:
    return Spec(Source(text), lambda name, importer: None).net("A")


class Twin(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 16)
        self.body = nn.Sequential(nn.Linear(16, 16), nn.GELU())

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return F.linear(self.body(self.table(tokens)), self.table.weight)


def test_values_and_gradients_are_those_of_a_twin() -> None:
    own, twin = net(LM).module(seed=0), Twin()
    twin.load_state_dict(own.state_dict())
    tokens = torch.randint(0, 50, (2, 7))
    found, wanted = own(tokens), twin(tokens)
    torch.testing.assert_close(found, wanted)
    found.square().sum().backward()
    wanted.square().sum().backward()
    torch.testing.assert_close(own.table.weight.grad, twin.table.weight.grad)


def test_it_counts_once_and_prints_as_a_function() -> None:
    found = net(LM)
    assert totals(found.checked.main).params == 50 * 16 + 16 * 16 + 16
    assert "return F.linear(x, self.table.weight)" in found.source()


@pytest.mark.parametrize("text", [LM, INSIDE, AUTOENCODER])
def test_the_interpreter_and_onnxruntime_agree(text: str) -> None:
    import onnxruntime as ort

    found = net(text)
    module = found.module(seed=3).eval()
    (value,) = found.checked.main.inputs
    x = torch.randint(0, 50, (2, 5)) if value.type.dtype == "int64" else torch.randn(2, 12)
    with torch.no_grad():
        result = module(x)
    state = module.state_dict()
    assert worst(result, interpret(found.checked, state, [x], {"L": 5})) < 1e-5
    model = found.onnx({k: v.numpy() for k, v in state.items()})
    assert sum(len(i.raw_data) // 4 for i in model.graph.initializer) <= sum(v.numel() for v in state.values()) + 100
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (exported,) = session.run(None, {value.name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(exported), result, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("bias=false", "bias=true", "no bias of its own"),
        (", bias=false", "", "no bias of its own"),
        ("weight=table", "50, weight=table", "no other `out_features`"),
        (
            "linear(weight=table.weight, bias=false)",
            "conv(4, weight=table.weight)",
            "cannot take the weight of `table`",
        ),
        ("linear(16) -> gelu", "linear(8)", "a weight of [50, 16] needs 16 features, found [L, 8]"),
        ("share table = embed(50, 16)\n  table", "share table = layernorm\n  embed(50, 16) -> table", "is a matrix"),
        ("  table\n  body: ", "  one_hot(16) -> ", "it is not used before"),
        ("share table", "table", "only a shared layer has a weight to name"),
        ("table.weight", "tabel.weight", "nothing is called `tabel`"),
    ],
)
def test_what_is_refused(old: str, new: str, message: str) -> None:
    text = LM.replace(old, new, 1)
    assert text != LM
    assert any(message in d.message for d in net(text).diagnostics), [d.message for d in net(text).diagnostics]
