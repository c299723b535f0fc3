"""Receptive fields against gradients: the rows of the image from which a gradient comes, with positive weights."""

from __future__ import annotations

import pytest
import torch

from netdsl.analysis.receptive_field import Field, receptive_field
from netdsl.pipeline import Net, Spec
from netdsl.source import Source

ROWS = 96

NETS = {
    "convolutions": "conv(2, 3, bias=false) -> conv(2, 5, stride=2, bias=false) -> conv(2, 3, dilation=2, bias=false)",
    "valid": "conv(2, 7, stride=3, padding=0, bias=false) -> conv(2, 4, padding=1, bias=false) -> avgpool(2)",
    "residual": "conv(2, 3, stride=2, bias=false) -> residual { conv(2, 3, bias=false) -> conv(2, 3, bias=false) }",
    "projected": "residual(shortcut=conv(2, 1, stride=2, bias=false)) { conv(2, 5, stride=2, bias=false) }",
    "branches": "concat(conv(1, 1, bias=false), conv(1, 3, bias=false) -> conv(1, 5), avgpool(3, stride=1, padding=1))",
    "up 2": "avgpool(2) -> conv(2, 3, bias=false) -> upconv(2, 2, stride=2, bias=false)",
    "up 3": "avgpool(2) -> upconv(2, 3, stride=2, padding=1, output_padding=1, bias=false) -> conv(2, 3, bias=false)",
    "up 5": "upconv(2, 5, stride=3, padding=1, bias=false) -> conv(2, 3, bias=false)",
    "sparse": "conv(2, 3, stride=4, bias=false) -> upconv(2, 2, stride=4, bias=false, dilation=2)",
    "U": "skip = it\navgpool(2) -> conv(2, 3, bias=false) -> avgpool(2) -> conv(2, 3, bias=false) -> upsample(4)\n"
    "concat(skip, it) -> conv(2, 3, bias=false)",
    "bilinear": "avgpool(3) -> upsample(3, mode=bilinear) -> conv(2, 3, bias=false)",
    "shuffle": "conv(8, 3, stride=2, bias=false) -> pixel_shuffle(2) -> conv(1, 3, bias=false)",
    "unshuffle": "pixel_unshuffle(2) -> conv(2, 3, bias=false)",
    "crop": "conv(2, 3, padding=0, bias=false) -> crop(80) -> conv(2, 3, stride=2, bias=false)",
    "pad": "pad(3) -> conv(2, 3, padding=0, stride=2, bias=false)",
    "picked": "conv(2, 5, bias=false) -> subsample(3)",
    "channels": "conv(4, 3, bias=false) -> channel_shuffle(2) -> conv(2, 3, bias=false)",
}


def net(body: str, name: str = "A", shape: str = f"[2, {ROWS}, {ROWS}]") -> Net:
    spec = Spec(Source(f"net {name} {{\ninput image {shape}\n{body}\n}}\n"), lambda module, importer: None)
    found = spec.net(name)
    assert not found.diagnostics, [d.message for d in found.diagnostics]
    return found


def field(found: Net) -> Field:
    assert found.program is not None
    result = receptive_field(found.program)
    assert result is not None
    return result


def touched(module: torch.nn.Module, row: int) -> tuple[int, int] | None:
    """The first and last row of the image with a gradient from a row of the output; None for no gradient."""
    x = torch.ones(1, 2, ROWS, ROWS, requires_grad=True)
    y = module(x)
    y[:, :, row].sum().backward()
    assert x.grad is not None
    rows = x.grad[0].abs().sum((0, 2)).nonzero().flatten()
    return (int(rows[0]), int(rows[-1])) if len(rows) else None


@pytest.mark.parametrize("name", NETS)
def test_field_is_where_gradients_come_from(name: str) -> None:
    found = net(NETS[name])
    claimed = field(found)
    module = found.module(seed=0)
    with torch.no_grad():
        for p in module.parameters():
            p.fill_(0.1)
    height = int(module(torch.ones(1, 2, ROWS, ROWS)).shape[2])
    assert claimed.map.shape[1] == height
    assert claimed.size is not None
    assert claimed.stride is not None
    assert claimed.padding is not None
    inner = {
        row: rows for row in range(height) if (rows := touched(module, row)) and rows[0] > 0 and rows[1] < ROWS - 1
    }
    assert max(b - a for a, b in inner.values()) + 1 == claimed.size
    aligned = [row for row in inner if row and row % 12 == 0]
    assert aligned
    for row in aligned:
        assert inner[row][0] == row * claimed.stride - claimed.padding


def test_gates_are_ignored() -> None:
    body = "conv(4, 3) -> it * (gap -> linear(2) -> relu -> linear(4) -> sigmoid) -> conv(4, 3)"
    assert field(net(body)).size == 5
    kept = "conv(4, 3) -> it * (adaptive_avgpool(1) -> conv(2, 1) -> relu -> conv(4, 1) -> flatten) -> conv(4, 3)"
    assert field(net(kept)).size == 5


def test_pooling_and_flattening_end_the_field() -> None:
    found = field(net("conv(4, 3) -> maxpool(2) -> flatten -> linear(10)"))
    assert (found.size, found.stride, found.padding, found.map.shape) == (4, 2, 1, (4, 48, 48))
    assert field(net("conv(4, 3) -> conv(4, 3) -> gap -> linear(10)")).size == 5


def test_attention_sees_the_whole_image() -> None:
    tokens = "patchify(8, 16) -> flatten(start=1) -> permute((1, 0)) -> residual { attention(2) }"
    body = f"{tokens} -> reduce_mean(axis=0) -> linear(10)"
    assert field(net(body)).size is None


def test_nets_without_images_have_no_field() -> None:
    assert receptive_field(net("linear(3)", shape="[4]").checked) is None
    assert receptive_field(net("conv(3, 1)").checked) is None


def test_maps_of_different_scales_have_no_common_field() -> None:
    assert receptive_field(net("concat(avgpool(2), crop(48))").checked) is None


def test_symbolic_sizes_have_the_same_field() -> None:
    body = "conv(4, 3) -> maxpool(2) -> conv(4, 3) -> upsample(2)"
    symbolic = field(net(body, shape="[2, H, W]"))
    known = field(net(body))
    assert (symbolic.size, symbolic.stride, symbolic.padding) == (known.size, known.stride, known.padding)


def test_a_block_is_followed_once_for_all_its_uses() -> None:
    text = "block B() { residual { conv(4, 3) -> conv(4, 3) } }\nnet A {\ninput x [4, 32, 32]\nrepeat 600 { B() }\n}\n"
    program = Spec(Source(text), lambda module, importer: None).net("A").program
    assert program is not None
    found = receptive_field(program)
    assert found is not None
    assert found.size == 1 + 600 * 4
