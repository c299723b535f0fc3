"""What tools of this kind get wrong, each held against torch or against arithmetic done by hand."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from netdsl.analysis.count import parameters, totals
from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.sizes.dims import evaluate
from netdsl.source import Source
from netdsl.verify.compare import verify


def net(body: str, inputs: str = "input image [3, 32, 32]", above: str = "") -> Net:
    lines = "\n  ".join([inputs, *body.splitlines()])
    return Spec(Source(f"{above}\nnet A {{\n  {lines}\n}}\n", "a.net"), read_import).net("A")


def codes(text: str) -> list[str]:
    return [d.code for d in Spec(Source(text, "a.net"), read_import).diagnostics]


def output(found: Net, **sizes: int) -> tuple[int, ...]:
    return tuple(evaluate(s, sizes) for s in found.checked.main.outputs[0].value.type.shape)


def test_a_declared_width_must_be_that_of_what_flows() -> None:
    above = "block B: [60, H, W] -> [8, H, W] = conv(8, 3)\n"
    assert codes(above + "net A { input image [6, 32, 32]\n B }") == ["shape-mismatch"]
    assert codes(above + "net A { input image [60, 32, 32]\n B }") == []


def test_a_linear_of_999_inputs_on_400_features() -> None:
    above = "block Head: [999] -> [10] = linear(10)\n"
    assert codes(above + "net A { input image [16, 5, 5]\n flatten -> Head }") == ["shape-mismatch"]


def test_a_strided_conv_and_a_pool_differ_at_odd_sizes() -> None:
    found = net("x = conv(4, 3, stride=2)\ny = conv(4, 1) -> maxpool(2)\nx + y", "input image [3, H, W]")
    assert [str(c) for c in found.checked.constraints] == ["H % 2 == 0", "W % 2 == 0"]
    assert net("x = conv(4, 3, stride=2)\ny = conv(4, 1) -> maxpool(2)\nx + y", "input image [3, 33, 32]").diagnostics


@pytest.mark.parametrize("size", [31, 32, 33])
def test_stride_2_halves_a_symbolic_size(size: int) -> None:
    found = net("conv(4, 3, stride=2)", "input image [3, H, W]")
    expected = nn.Conv2d(3, 4, 3, 2, 1)(torch.zeros(1, 3, size, size)).shape[1:]
    assert output(found, H=size, W=size) == tuple(expected)


@pytest.mark.parametrize("size", [7, 8, 9])
@pytest.mark.parametrize("ceil", [False, True])
def test_the_padding_of_a_pool_counts(size: int, ceil: bool) -> None:
    found = net(f"maxpool(3, stride=2, padding=1, ceil_mode={str(ceil).lower()})", "input image [3, H, W]")
    expected = nn.MaxPool2d(3, 2, 1, ceil_mode=ceil)(torch.zeros(1, 3, size, size)).shape[1:]
    assert output(found, H=size, W=size) == tuple(expected)


def test_a_valid_and_a_same_conv_of_stride_2_do_not_add() -> None:
    text = "net A { input image [3, H, W]\n x = conv(4, 3, stride=2)\n conv(4, 3, stride=2, padding=0) -> it + x }"
    assert codes(text) == ["shape-mismatch"]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("net A { input image [3, 8, 8]\n conv(4, 3, strid=2) }", "unknown-argument"),
        ("net A { input image [3, 8, 8]\n convolution(4, 3) }", "unknown-name"),
        ("block B(c) = conv(c, 3)\nnet A { input image [3, 8, 8]\n B(4, k=3) }", "unknown-argument"),
        ("net A { input image [3, 8, 8]\n gap }\nrecipe R for A { epoch = 3 }", "unknown-field"),
        ("net A { input image [3, 8, 8]\n gap }\nrecipe R for A { optimizer = adamw(learning=3) }", "unknown-argument"),
        ("net A { input image [3, 8, 8]\n gap }\nrecipe R for A { optimizer = adamm(lr=3) }", "unknown-word"),
    ],
)
def test_nothing_unknown_is_accepted(text: str, code: str) -> None:
    found = codes(text)
    assert len(found) == 1
    assert found[0].startswith("unknown-"), found


def test_a_conv_without_bias_has_none() -> None:
    assert totals(net("conv(8, 3, bias=false)").checked.main).params == 8 * 3 * 9
    assert totals(net("conv(8, 3)").checked.main).params == 8 * 3 * 9 + 8


def test_a_layer_scale_counts() -> None:
    plain = net("residual { dwconv(3) }")
    scaled = net("residual(scale=1e-6) { dwconv(3) }")
    assert totals(scaled.checked.main).params == totals(plain.checked.main).params + 3
    assert sum(p.numel() for p in scaled.module().parameters()) == totals(scaled.checked.main).params


def test_shared_weights_count_once_and_their_work_every_time() -> None:
    found = net("conv(8, 3)\nshare f = conv(8, 3)\nf -> f -> f")
    one = 8 * 8 * 9 + 8
    assert totals(found.checked.main).params == 8 * 3 * 9 + 8 + one
    assert totals(found.checked.main).macs == (8 * 3 * 9 + 3 * 8 * 8 * 9) * 32 * 32
    assert len(parameters(found.checked.main)) == 4 == len(list(found.module().parameters()))


def test_a_linear_works_at_every_position() -> None:
    found = net("linear(7)", "input tokens [50, 20]")
    assert totals(found.checked.main).macs == 50 * 20 * 7
    assert totals(net("linear(7)").checked.main).macs == 32 * 32 * 3 * 7


def test_attention_is_not_free() -> None:
    length, dim = 50, 64
    found = net("attention(8)", f"input tokens [{length}, {dim}]")
    projections, products = 4 * length * dim * dim, 2 * length * length * dim
    assert totals(found.checked.main).macs == projections + products


def test_one_mistake_is_one_message() -> None:
    text = """\
block Bad(c) { conv(c, 3) -> nothing_like_this -> bn }
net A { input image [3, 32, 32]
  for c in [8, 16, 32] { repeat 3 { Bad(c) } }
  gap -> linear(10)
}
expect A: params == 3
recipe R for A { epochs = 3 }
"""
    assert codes(text) == ["unknown-name"]


@pytest.mark.parametrize(
    "statement",
    [
        "x -> conv(8, 3) -> maxpool(77)", "x -> linear(4) -> maxpool(77) as y", "{ x -> maxpool(77) }",
        "x + (x -> maxpool(3))", "concat(x -> maxpool(2), x)", "stem: x -> maxpool(77)", "u, v = x -> chunk(5)",
        "for k in [3, 77] { x -> maxpool(k) }", "repeat 2 { x -> maxpool(77) }", "if true { x -> maxpool(77) }",
        "output y = x -> maxpool(77)", "residual { x -> maxpool(77) }", "y = x -> maxpool(77)",
        "share f = maxpool(77)\n  x -> f", "x -> Pooled", "x -> conv(8, 3) -> relu", "{ relu }",
        "residual { conv(3, 3) }",
    ],
)  # fmt: skip
def test_what_begins_with_a_sound_value_is_checked_behind_a_mistake(statement: str) -> None:
    """A mistake hides only what follows from it, and makes no other."""

    def codes(before: str) -> list[str]:
        found = net(f"{before}{statement}", "input x [3, 32, 32]", "block Pooled = maxpool(77)").spec.diagnostics
        return [d.code for d in found if d.severity == "error"]

    assert sorted(codes("conv(8, 3, groups=2)\n")) == sorted(["indivisible", *codes("")])


def test_a_file_that_onnxruntime_refuses_is_no_success() -> None:
    found = net("conv(4, 3) -> relu -> gap")

    def broken(state: Any, **options: Any) -> Any:
        model = found.onnx(state, **options)
        model.graph.node[0].op_type = "NoSuchOperator"
        return model

    module = found.module(seed=0).eval()
    assert all(c.ok for c in verify(found.checked, module, partial(found.onnx)))
    assert not any(c.ok for c in verify(found.checked, module, broken))
