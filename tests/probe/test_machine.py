"""A net op by op computes what its module computes, also its gradients and its batch statistics."""

from __future__ import annotations

import pytest
import torch
from zoo_tables import spec

from netdsl.probe.machine import Machine
from netdsl.probe.subject import of_known_sizes
from netdsl.verify.inputs import draw_inputs

QUICK = ("lenet:LeNet5_1998", "resnet_cifar:PlainNet20", "char_rnn:CharLSTM", "siamese:Siamese", "gat:GAT_Cora")
SLOW = ("unet:UNetBilinear", "vit:DeiT_Ti", "swin:Swin_T", "googlenet:GoogLeNet", "mobilenet_v3:MobileNetV3_Small")


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)])
def test_it_computes_what_the_module_computes(name: str) -> None:
    file, _, net_name = name.partition(":")
    net = of_known_sizes(spec(file).net(net_name))
    module = net.module(0).eval()
    inputs = draw_inputs(net.checked, 2, {}, 0)
    with torch.no_grad():
        machine = Machine(net.checked, module)
        found = machine.outputs(machine.run(inputs))
        expected = module(*inputs)
    expected = list(expected.values()) if isinstance(expected, dict) else expected
    for a, b in zip(found, expected if isinstance(expected, list | tuple) else [expected], strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_gradients_and_batch_statistics_are_the_modules() -> None:
    net = spec("resnet_cifar").net("ResNet20")
    module, other = net.module(0).train(), net.module(0).train()
    (x,) = draw_inputs(net.checked, 4, {}, 0)
    machine = Machine(net.checked, module, learning=True)
    machine.outputs(machine.run([x]))[0].square().sum().backward()
    other(x).square().sum().backward()
    theirs = dict(other.named_parameters())
    for name, p in module.named_parameters():
        torch.testing.assert_close(p.grad, theirs[name].grad, rtol=1e-3, atol=1e-5)
    for name, b in module.named_buffers():
        if "running" in name:
            torch.testing.assert_close(b, dict(other.named_buffers())[name])
