"""Blocks and small nets of the modern zoo compute what the same things written by hand in PyTorch compute.

Weights are copied one by one, in order; all is in float64, so that a wrong epsilon shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import twins
from torch import Tensor, nn
from torch.nn import functional as F
from zoo_tables import ROOT, spec

from netdsl.loader import read_import
from netdsl.pipeline import Net, Spec
from netdsl.source import Source

torch.set_num_threads(1)
GELU, RELU = 1.7015043497085571, 1.7139588594436646


def block(file: str, call: str, *inputs: str) -> Net:
    """A call of what `file` declares, as a net with these inputs."""
    names = ", ".join([call.split("(")[0], *FURTHER.get(file, ())])
    given = "\n".join(f"  input x{i} {shape}" for i, shape in enumerate(inputs))
    text = f"from {file} import {names}\nnet Twin {{\n{given}\n  x0 -> {call}\n}}\n"
    return Spec(Source(text, str(ROOT / "specs" / "n.net")), read_import).net("Twin")


FURTHER = {"nfnet": ("ReluConv", "GeluConv", "SameConv", "ScaledGelu")}
"""What the arguments of a file's blocks refer to."""


def module_of(net: Net) -> nn.Module:
    """The module in float64 with weights and statistics that hide nothing."""
    assert not net.diagnostics, [d.message for d in net.diagnostics]
    module = net.module(seed=0).double().eval()
    generator = torch.Generator().manual_seed(1)
    for name, tensor in module.state_dict().items():
        if tensor.dtype.is_floating_point:
            fan = tensor[0].numel() if tensor.ndim > 1 and not name.endswith("gain") else 1
            shift = 0.5 if fan == 1 else -0.5
            tensor.copy_(
                (torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype) + shift) * (12 / fan) ** 0.5 / 2
            )
    return module


def hold(net: Net, twin: nn.Module, *inputs: Tensor, by: Callable[..., Any] | None = None) -> None:
    """The twin, with the module's weights, gives the module's outputs; `by` runs it where a batch needs a loop."""
    module, twin = module_of(net), twin.double().eval()
    given = [p for _, p in module.named_parameters()]
    own = twin.ordered() if hasattr(twin, "ordered") else list(twin.parameters())
    assert len(given) == len(own)
    with torch.no_grad():
        for mine, theirs in zip(own, given, strict=True):
            mine.copy_(theirs.reshape(mine.shape))
        states = [b for b in module.buffers() if b.dtype.is_floating_point]
        for mine, theirs in zip((b for b in twin.buffers() if b.dtype.is_floating_point), states, strict=True):
            mine.copy_(theirs)
        expected = by(twin, *inputs) if by else twin(*inputs)
        found = module(*inputs)
    assert found.abs().max() > 1e-3
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9 * float(expected.abs().max()))


def noise(*shape: int) -> Tensor:
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def test_convnext_block() -> None:
    hold(block("convnext", "Block(6)", "[6, 9, 8]"), twins.ConvNeXtBlock(6), noise(6, 9, 8))


def test_convnext_v2_block() -> None:
    hold(block("convnext_v2", "Block(6)", "[6, 9, 8]"), twins.ConvNeXtBlock(6, v2=True), noise(6, 9, 8))


@pytest.mark.parametrize("odd", [False, True])
@pytest.mark.parametrize("size", [(12, 12), (9, 15)])
def test_swin_block(odd: bool, size: tuple[int, int]) -> None:
    """Windows of 3, plain and shifted by 1 with the mask, on square and other images."""
    shape = (8, *size)
    net = block("swin", f"Block(2, 3, {str(odd).lower()})", f"[8, {size[0]}, {size[1]}]")
    hold(net, twins.SwinBlock(8, 2, 3, shift=1 if odd else 0), noise(*shape))


def test_swin_block_that_is_one_window_is_not_shifted() -> None:
    hold(block("swin", "Block(2, 4, true)", "[8, 4, 4]"), twins.SwinBlock(8, 2, 4, shift=0), noise(8, 4, 4))


def test_swin_merging() -> None:
    # In the net a layer before it has said that the features come first: here a pool that takes each position alone.
    text = "from swin import Merge\nnet Twin {\n  input x [4, 6, 8]\n  maxpool(1) -> Merge\n}\n"
    net = Spec(Source(text, str(ROOT / "specs" / "n.net")), read_import).net("Twin")
    hold(net, twins.SwinMerge(4), noise(4, 6, 8))


def test_swin_refuses_a_image_that_windows_do_not_tile() -> None:
    assert [d.code for d in spec("swin").net("Swin_T", {"size": 256}).diagnostics] == ["indivisible"]
    assert not spec("swin").net("Swin_T", {"size": 448}).diagnostics


def test_vit_layer() -> None:
    hold(block("vit", "EncoderLayer(3)", "[7, 12]"), twins.ViTLayer(12, 3), noise(7, 12))


def test_mixer_layer() -> None:
    hold(block("mixer", "MixerLayer(5, 20)", "[7, 12]"), twins.MixerLayer(7, 12, 5, 20), noise(7, 12))


NF = {
    "plain": ("ReluConv, relu", 16, 1, 4, 1, twins.ScaledConv, lambda x: x.relu(), RELU),
    "wider": ("ReluConv, relu", 32, 1, 4, 1, twins.ScaledConv, lambda x: x.relu(), RELU),
    "strided": ("ReluConv, relu", 32, 2, 4, 1, twins.ScaledConv, lambda x: x.relu(), RELU),
    "nfnet": ("GeluConv, gelu", 32, 2, 2, 4, twins.ScaledConv, F.gelu, GELU),
    "deepmind": ("SameConv, ScaledGelu", 32, 2, 2, 4, twins.SameConv, lambda x: F.gelu(x) * GELU, 1.0),
}


@pytest.mark.parametrize("name", NF)
@pytest.mark.parametrize("size", [8, 9])
def test_normalizer_free_block(name: str, size: int) -> None:
    words, c, stride, ratio, group, kind, act, gamma = NF[name]
    deep = name in ("nfnet", "deepmind")
    mid, skip = c // ratio, name == "deepmind"
    options = f", ratio={ratio}, group={group}, threes=2, gate=true, skipinit={str(skip).lower()}" if deep else ""
    conv, act_name = words.split(", ")
    call = f"Unit({c}, {stride}, 1.16, {conv}, {act_name}{options})"

    def made(i: int, o: int, k: int, stride: int = 1, groups: int = 1) -> nn.Module:
        padding = 0 if kind is twins.SameConv else k // 2
        return kind(i, o, k, stride=stride, padding=padding, groups=groups, gamma=gamma)

    twin = twins.NFBlock(
        16, c, mid, stride, 1.16**-0.5, mid // group if deep else 1, made, act, 2 if deep else 1, deep, skip
    )
    hold(block("nfnet", call, f"[16, {size}, {size}]"), twin, noise(16, size, size))


@pytest.mark.parametrize(("cin", "stride"), [(64, 1), (64, 2), (128, 1)])
def test_bit_block(cin: int, stride: int) -> None:
    hold(block("bit", f"Bottleneck(32, {stride})", f"[{cin}, 9, 9]"), twins.BiTBlock(cin, 32, stride), noise(cin, 9, 9))


def test_hourglass() -> None:
    hold(block("hourglass", "Hourglass(3, 1)", "[256, 8, 16]"), twins.Hourglass(3, 256), noise(256, 8, 16))


def test_unet_of_2015() -> None:
    """Valid convolutions and cropped skips, at an odd image too."""
    net = spec("unet").net("UNet2015", {"width": 4})
    for height, width in ((188, 204), (193, 189)):
        hold(net, twins.UNet2015(4), noise(1, height, width))


@pytest.mark.parametrize(("name", "method", "steps"), [("Euler4", "euler", 4), ("RK4_2", "rk4", 2)])
def test_neural_ode(name: str, method: str, steps: int) -> None:
    hold(spec("odenet").net(f"ODENet_{name}"), twins.ODENet(method, steps), noise(1, 28, 28))


def test_unrolled_cell_is_torchs_rnn() -> None:
    module = module_of(spec("char_rnn").net("UnrolledRNN")).float()  # one_hot gives float32
    w, b, u, out, last = module.parameters()
    rnn = nn.RNN(65, 128, batch_first=True)
    tokens = torch.randint(0, 65, (3, 8))
    with torch.no_grad():
        for own, given in zip(rnn.parameters(), (w, u, b, torch.zeros_like(b)), strict=True):
            own.copy_(given)
        expected = rnn(F.one_hot(tokens, 65).float())[0] @ out.T + last
        torch.testing.assert_close(module(tokens), expected, rtol=1e-5, atol=1e-5)


def graph(nodes: int = 7) -> Tensor:
    """A graph's adjacency, symmetric, with all nodes joined to themselves."""
    links = torch.rand(2, nodes, nodes, generator=torch.Generator().manual_seed(3)) < 0.3
    return (links | links.transpose(1, 2) | torch.eye(nodes, dtype=torch.bool)).double()


def one_by_one(twin: nn.Module, *inputs: Tensor) -> Tensor:
    return torch.stack([twin(*sample) for sample in zip(*inputs, strict=True)])


def test_gcn() -> None:
    net = spec("gcn").net("GCN_Cora", {"features": 5, "classes": 3, "hidden": 4})
    hold(net, twins.GCN(5, 4, 3), noise(7, 5), graph())


def test_gat_layer() -> None:
    net = block("gat", "GraphAttention(2, 3, x1)", "[N, 5]", "[N, N]")
    hold(net, twins.GATLayer(5, 2, 3), noise(7, 5), graph(), by=one_by_one)


def test_mean_aggregation() -> None:
    net = block("graphsage", "MeanAggregation(x1, 4)", "[N, 5]", "[2, E] int64")
    edges = torch.randint(0, 6, (2, 2, 11), generator=torch.Generator().manual_seed(4))
    hold(net, twins.SAGELayer(5, 4), noise(7, 5), edges, by=one_by_one)


def test_siamese_reads_both_with_the_same_weights() -> None:
    module = spec("siamese").net(None, {"dim": 8}).module(seed=0).eval()
    left, right = torch.rand(2, 2, 1, 105, 105)
    with torch.no_grad():
        torch.testing.assert_close(module(left, right), module(right, left))
        torch.testing.assert_close(module(left, left)[0], module(right, right)[1])
        assert module(left, right).shape == (2, 1)
