"""`[N, L, *D]`: a shape says on which axis the features are, held against torch's own layers."""

from __future__ import annotations

import onnxruntime as ort
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from netdsl.pipeline import Net, Spec
from netdsl.source import Source
from netdsl.syntax.format import format_source

BLOCKS = """\
block Body(d): [N, L, *D] -> [N, L, *d] {
  layernorm -> linear(d)
}

block Along: [*C, L] -> [*C, L] = layernorm -> linear(C)

"""


def net(body: str) -> Net:
    return Spec(Source(f"{BLOCKS}net A {{\n  {body}\n}}\n", "a.net"), lambda *_: None).net("A")


def outputs(found: Net, x: torch.Tensor) -> tuple[nn.Module, torch.Tensor]:
    """The module of a net and its output, which onnxruntime gives too."""
    module = found.module(seed=1).eval()
    model = found.onnx({k: v.numpy() for k, v in module.state_dict().items()})
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    with torch.no_grad():
        y = module(x)
    torch.testing.assert_close(torch.from_numpy(session.run(None, {"x": x.numpy()})[0]), y, rtol=1e-5, atol=1e-5)
    return module, y


def test_windows_flow_in() -> None:
    """Without the mark three axes are an image, whose channels are the first."""
    x = torch.randn(2, 5, 3, 4)
    module, y = outputs(net("input x [S, L, *4]\n  Body(6) -> linear(2)"), x)
    body, last = module.body, module.linear
    wanted = F.linear(F.layer_norm(x, (4,), body.layernorm.weight, body.layernorm.bias), body.linear.weight)
    torch.testing.assert_close(y, F.linear(wanted + body.linear.bias, last.weight, last.bias))


def test_channels_of_a_series_flow_in() -> None:
    x = torch.randn(2, 4, 7)
    module, y = outputs(net("input x [*4, L]\n  linear(3)"), x)
    torch.testing.assert_close(y, F.conv1d(x, module.pwconv.weight, module.pwconv.bias))
    module, y = outputs(net("input x [4, L]\n  Along"), x)  # of two axes nothing else says that the first has them
    along = module.along
    normed = F.layer_norm(x.mT, (4,), along.layernorm.weight, along.layernorm.bias)
    torch.testing.assert_close(y, F.conv1d(normed.mT, along.pwconv.weight, along.pwconv.bias))


def test_a_signature_says_where_features_are_that_were_cut_apart() -> None:
    x = torch.randn(2, 6, 4, 4)
    module, y = outputs(net("input x [6, 4, 4]\n  reshape((2, 3, 4, 4)) -> reshape((2, 6, 8)) -> Body(8)"), x)
    body, given = module.body, x.reshape(2, 2, 6, 8)
    wanted = F.layer_norm(given, (8,), body.layernorm.weight, body.layernorm.bias)
    torch.testing.assert_close(y, F.linear(wanted, body.linear.weight, body.linear.bias))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("input x [4, H, W]\n  conv(8, 1) -> Body(3)", "and those of this [8, H, W] are on axis 0"),
        ("input x [L, *8]\n  Along", "and those of this [L, 8] are on axis 1"),
        ("input x [L, *8]\n  conv(3, 3)", "and those of this [L, 8] are on axis 1"),
        ("input x [S, *8, L]\n  linear(3)", "and [S, *8, L] has them on axis 1, between others"),
        ("input x [*3, *L]\n  linear(3)", "a shape has its features on one axis"),
        ("input x [*(3, 4)]\n  linear(3)", "a size is needed here, found a list of 2"),
    ],
)
def test_what_is_elsewhere_is_refused(body: str, message: str) -> None:
    found = Spec(Source(f"{BLOCKS}net A {{\n  {body}\n}}\n", "a.net"), lambda *_: None)
    mistakes = (*found.diagnostics, *found.net("A").diagnostics)
    assert [d for d in mistakes if d.message.endswith(message)]


def test_a_result_is_held_to_its_mark() -> None:
    text = "block B: [_, _, _] -> [_, _, *D] = conv(4, 1)\nnet A {\n  input x [3, H, W]\n  B\n}\n"
    (found,) = Spec(Source(text, "a.net"), lambda *_: None).net("A").diagnostics
    assert found.message == "axis 2 is marked for the features, and those of this [4, H, W] are on axis 0"


def test_it_is_written_as_it_was_read() -> None:
    assert format_source(Source(BLOCKS.rstrip() + "\n"))[0] == BLOCKS.rstrip() + "\n"
    text = "net A {\n  input x [S, L, *2 * 4] int64\n}\n"
    assert format_source(Source(text))[0] == text
