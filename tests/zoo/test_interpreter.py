"""Every net of the zoo: the emitted module computes what the interpreter does, with the same weights by path."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from interpreter import interpret, randomized, worst
from zoo_tables import entries, net

from netdsl.analysis.count import totals
from netdsl.sizes.dims import evaluate
from netdsl.verify.inputs import draw_inputs
from netdsl.verify.sizes import choose

QUICK = {
    "linear:LinearRegression", "elbows:Elbows", "gcn:GCN_Cora", "gat:GAT_Cora", "graphsage:GraphSAGE",
    "char_rnn:UnrolledRNN", "char_rnn:CharLSTM", "lenet:LeNet5_1998", "lenet:LeNet5", "mlp:MLP", "odenet:ODENet_RK4_2",
    "preresnet:PreResNet20", "resnet_cifar:ResNet20_B", "mobilenet_v3:MobileNetV3_Small", "vit:DeiT_Ti",
    "densenet:DenseNet_40_12", "googlenet:GoogLeNet", "efficientnet:EfficientNet_B0", "convnext_v2:ConvNeXtV2_Atto",
    "unet:UNetBilinear", "resnet9:ResNet9", "swin:Swin_T",
}  # fmt: skip
"""Nets of every family that are compared in each run of the tests."""


def names() -> list[Any]:
    marks = {name: [] if name in QUICK else [pytest.mark.slow] for name in entries()}
    return [pytest.param(name, id=name, marks=m) for name, m in marks.items()]


@pytest.mark.parametrize("name", names())
def test_module_is_what_the_interpreter_computes(name: str) -> None:
    found = net(name)
    program = found.checked
    point = min(choose(program), key=lambda p: evaluate(totals(program.main).macs, p.named))
    module = found.module(seed=0).eval()
    state = randomized(module, seed=1)
    for positive in (False, True):  # a graph whose degrees are negative has no normalisation
        inputs = draw_inputs(program, 1, point.named, seed=2, positive=positive)
        wanted = interpret(program, state, inputs, point.named)
        if finite := all(y.isfinite().all() for y in wanted.values()):
            break
    assert finite
    assert all(y.std() > 0 for y in wanted.values() if y.numel() > 1)
    with torch.inference_mode():
        assert worst(module(*inputs), wanted) < 1e-4
