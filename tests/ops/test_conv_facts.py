"""What a convolution counts, and what is folded into it."""

from __future__ import annotations

import pytest
import torch
from agreement import agree

from netdsl.analysis.count import totals
from netdsl.pipeline import Net, Spec
from netdsl.source import Source


def net(body: str) -> Net:
    return Spec(Source(f"net A {{\n  input x [4, 6, 5]\n  {body}\n}}\n", "conv.net"), lambda *_: None).net("A")


@pytest.mark.parametrize(("groups", "kernel"), [(1, 3), (2, 3), (4, 1)])
def test_operations_of_groups(groups: int, kernel: int) -> None:
    """A number of the result is a sum over the channels of its group."""
    counted = totals(net(f"conv(8, {kernel}, groups={groups}, bias=false)").checked.main)
    assert counted.params == 8 * (4 // groups) * kernel**2
    assert counted.macs == counted.params * 6 * 5


@pytest.mark.parametrize("kind", ["weight_standardization=true", "weight_norm=true", "spectral_norm=true", "groups=2"])
@pytest.mark.parametrize("layer", ["conv(4, 3, {})", "conv(4, 3, {}, bias=false)"])
def test_a_norm_behind_weights_that_are_computed(kind: str, layer: str) -> None:
    """It is folded into plain weights alone."""
    assert agree(net(f"{layer.format(kind)} -> bn -> relu"), 0)


@pytest.mark.parametrize(
    ("layer", "nodes"),
    [
        ("conv(4, 3)", ["Conv"]),
        ("conv(4, 3, padding=0, padding_mode=circular)", ["Conv"]),
        ("conv(4, 3, padding_mode=reflect)", ["Pad", "Conv"]),
    ],
)
def test_only_margins_that_a_convolution_cannot_make_are_made_before_it(layer: str, nodes: list[str]) -> None:
    found = net(layer)
    weights = {k: v.numpy() for k, v in found.module(0).state_dict().items()}
    assert [n.op_type for n in found.onnx(weights).graph.node] == nodes


@pytest.mark.parametrize(
    ("layer", "same"),
    [
        ("conv(4, 3)", torch.nn.Conv2d(4, 4, 3, padding=1)),
        ("dwconv(3)", torch.nn.Conv2d(4, 4, 3, padding=1, groups=4)),
        ("patchify(4, 2)", torch.nn.Conv2d(4, 4, 2, stride=2)),
        ("upconv(4, 3)", torch.nn.ConvTranspose2d(4, 4, 3)),
    ],
)
def test_what_is_left_out_is_as_in_torch(layer: str, same: torch.nn.Module) -> None:
    module, x = net(layer).module(0), torch.randn(2, 4, 6, 5)
    same.load_state_dict({name.rpartition(".")[2]: value for name, value in module.state_dict().items()})
    torch.testing.assert_close(module(x), same(x))


@pytest.mark.parametrize("layer", ["conv(4, 3, 2)", "dwconv(3, 2)", "patchify(4, 2, false)", "upconv(4, 3, 2)"])
def test_what_comes_after_the_kernel_is_named(layer: str) -> None:
    assert [d.code for d in net(layer).diagnostics] == ["too-many-arguments"]


@pytest.mark.parametrize(
    ("layer", "code"),
    [
        ("conv(4, 3, 2)", "too-many-arguments"),
        ("conv(4, 3, weight_standardization=true, weight_norm=true)", "argument-conflict"),
        ("conv(4, 3, weight_norm=true, spectral_norm=true)", "argument-conflict"),
        ("conv(4, 4)", "even-kernel"),
        ("conv(4, 4, dilation=3)", "even-kernel"),
        ("conv(4, 3, padding=4, padding_mode=reflect)", None),
        ("conv(4, 3, padding=5, padding_mode=reflect)", "shape-mismatch"),
        ("conv(4, 3, padding=5, padding_mode=circular)", None),
        ("conv(4, 3, padding=6, padding_mode=circular)", "shape-mismatch"),
        ("conv(4, 3, padding=9, padding_mode=replicate)", None),
        ("conv(4, 3, padding=9)", None),
    ],
)
def test_what_is_refused(layer: str, code: str | None) -> None:
    assert [d.code for d in net(layer).diagnostics if d.severity == "error"] == ([code] if code else [])


@pytest.mark.parametrize("options", ["3, dilation=3", "5, dilation=2", "4, dilation=2", "(1, 5), dilation=(3, 1)"])
def test_a_window_of_any_reach_keeps_the_size(options: str) -> None:
    found = net(f"conv(3, {options})")
    assert str(found.checked.main.outputs[0].value.type) == "[3, 6, 5]"
    assert found.module(0)(torch.randn(2, 4, 6, 5)).shape == (2, 3, 6, 5)


@pytest.mark.parametrize("mode", ["reflect", "circular", "replicate"])
def test_a_margin_on_one_axis(mode: str) -> None:
    assert agree(net(f"conv(4, 3, padding=(0, 1), padding_mode={mode})"), 0)


@pytest.mark.parametrize(
    ("options", "nodes"),
    [
        ("3", ["ConvTranspose"]),
        ("3, stride=2, padding=1, output_padding=1, bias=false", ["ConvTranspose"]),
        ("(2, 3), stride=(2, 3), padding=(0, 1), output_padding=(1, 0), groups=2", ["ConvTranspose"]),
        ("3, dilation=2, padding=1, output_padding=1", ["ConvTranspose"]),
        ("3, dilation=2, output_padding=1", ["Pad", "ConvTranspose"]),
        ("3, stride=(2, 1), dilation=(1, 3), padding=1, output_padding=(1, 2)", ["Pad", "ConvTranspose"]),
        ("2, stride=2, dilation=4, padding=1, output_padding=(3, 1), groups=2", ["Pad", "ConvTranspose"]),
    ],
)
def test_what_a_transposed_convolution_adds_at_the_end(options: str, nodes: list[str]) -> None:
    """onnxruntime refuses as much as the stride: less is cut off, or zeros at the input's end make more."""
    found = net(f"upconv(6, {options})")
    weights = {k: v.numpy() for k, v in found.module(0).state_dict().items()}
    assert [n.op_type for n in found.onnx(weights).graph.node] == nodes
    assert agree(found, 0)
    assert found.module(0)(torch.randn(1, 4, 6, 5)).shape[1:] == found.checked.main.outputs[0].value.type.shape


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ("3, stride=2, output_padding=1", None),
        ("3, stride=2, output_padding=2", "output_padding=2"),
        ("3, dilation=2, output_padding=1", None),
        ("3, stride=2, dilation=3, output_padding=2", None),
        ("3, stride=3, dilation=2, output_padding=3", "output_padding=3"),
        ("3, padding=3", None),
        ("3, padding=(4, 1)", "padding=(4, 1)"),
        ("3, groups=3", "groups=3"),
        ("3, groups=4", None),
    ],
)
def test_limits_of_a_transposed_convolution(options: str, argument: str | None) -> None:
    found = [d.at.text for d in net(f"upconv(4, {options})").diagnostics if d.severity == "error" and d.at]
    assert found == ([argument] if argument else [])


@pytest.mark.parametrize("groups", [1, 2])
def test_a_norm_behind_a_transposed_convolution(groups: int) -> None:
    """Folded into it where its outputs are one group."""
    found = net(f"upconv(6, 3, groups={groups}) -> bn")
    counted = totals(net(f"upconv(6, 3, groups={groups}, bias=false)").checked.main)
    assert (counted.params, counted.macs) == (4 * 6 // groups * 9, 4 * 6 // groups * 9 * 30)
    weights = {k: v.numpy() for k, v in found.module(0).state_dict().items()}
    assert len(found.onnx(weights).graph.node) == groups
    assert agree(found, 0)


@pytest.mark.parametrize(("kernel", "told"), [("3", True), ("(3, 1)", True), ("4", False), ("(3, 4)", False)])
def test_a_kernel_that_is_too_large_may_mean_the_same_size(kernel: str, told: bool) -> None:
    """Where all its sides are odd: others have no middle."""
    text = f"net N {{\n  input x [3, 2, 2]\n  conv(8, {kernel}, padding=0)\n}}\n"
    (found,) = Spec(Source(text), lambda name, importer: None).diagnostics
    assert any("padding=same" in h.message for h in found.hints) is told
