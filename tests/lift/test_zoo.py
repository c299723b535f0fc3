"""The law over the zoo: parameters, MACs and outputs there and back, in few lines."""

from __future__ import annotations

import pytest
from lift_laws import compared

QUICK = ("lenet", "resnet_cifar", "mobilenet_v1")
SLOW = (
    "alexnet", "allcnn", "char_rnn", "convnext", "convnext_v2", "resnet:ResNet18", "resnet:ResNet50", "mobilenet_v3",
    "shufflenet_v2", "squeezenet", "vit",
)  # fmt: skip


@pytest.mark.parametrize("name", [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)])
def test_there_and_back(name: str) -> None:
    found = compared(name)
    assert not found.reason
    assert found.is_equal, (found.params, found.macs)
    assert found.ratio <= 3
