"""What a convolution counts, and what is folded into it."""

from __future__ import annotations

import pytest
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
