"""What a plan estimates against what a training step does: operations counted by torch, memory that autograd keeps."""

from __future__ import annotations

import pytest
import torch
from paths import SPECS
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from netdsl.analysis.memory import kept_bytes, training_flops
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Net, Spec

BATCH = 4


def measured(net: Net) -> tuple[float, float]:
    """Bytes kept for the backward pass and floating-point operations, both for one sample."""
    module = net.module(0).train()
    shape = [s for s in net.checked.main.inputs[0].type.shape if isinstance(s, int)]
    weights = {p.untyped_storage().data_ptr() for p in module.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(x: Tensor) -> Tensor:
        if x.untyped_storage().data_ptr() not in weights:
            kept[x.untyped_storage().data_ptr()] = x
        return x

    with FlopCounterMode(display=False) as counter, torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        result = module(torch.randn(BATCH, *shape))
        outputs = [result] if isinstance(result, Tensor) else list(result)
        loss = torch.stack([o.float().sum() for o in outputs]).sum()
        bytes_kept = sum(x.untyped_storage().nbytes() for x in kept.values())
        loss.backward()
    return bytes_kept / BATCH, counter.get_total_flops() / BATCH


@pytest.mark.parametrize(
    "name",
    ["lenet.net:LeNet5", "resnet_cifar.net:ResNet20", "airbench.net:AirBench94", "resnet.net:ResNet18"],
)
def test_operations_and_memory_of_a_training_step(name: str) -> None:
    file, _, own = name.partition(":")
    net = Spec(load_source(SPECS / file), read_import).net(own)
    kept, flops = measured(net)
    assert training_flops(net.checked) == pytest.approx(flops, rel=0.001)
    assert kept_bytes(net.checked) == pytest.approx(kept, rel=0.03)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "flops_too"),
    [
        # torch counts the gradient of a grouped convolution as that of a dense one, and no flash attention on a CPU.
        ("resnet.net:ResNet50", True), ("convnext.net:ConvNeXt_T", False), ("mobilenet_v2.net", False),
        ("vit.net", False), ("swin.net:Swin_T", True), ("vgg.net", True), ("densenet.net", True),
        ("mixer.net", True), ("inception_v3.net", True),
    ],
)  # fmt: skip
def test_operations_and_memory_of_large_nets(name: str, flops_too: bool) -> None:
    file, _, own = name.partition(":")
    net = Spec(load_source(SPECS / file), read_import).net(own or None)
    kept, flops = measured(net)
    assert kept_bytes(net.checked) == pytest.approx(kept, rel=0.05)
    if flops_too:
        assert training_flops(net.checked) == pytest.approx(flops, rel=0.01)
