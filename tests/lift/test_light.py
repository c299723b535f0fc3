"""The light models of the onnx package, graphs of Caffe and Caffe2 from 2017, with random weights."""

from __future__ import annotations

import pytest
from light_models import NAMES, light

from netdsl.lift.lift import lift_model

LINES = {
    "bvlc_alexnet": 11, "densenet121": 12, "inception_v1": 27, "inception_v2": 60, "resnet50": 45, "shufflenet": 14,
    "squeezenet": 13, "vgg19": 16, "zfnet512": 9,
}  # fmt: skip
"""The most lines of their specs."""
QUICK = ("shufflenet", "squeezenet")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in NAMES])
def test_light_models(name: str) -> None:
    found = lift_model(light(name))
    assert max(c.difference for c in found.proof) < 1e-5
    assert all(c.tells for c in found.proof)
    assert len(found.text.splitlines()) <= LINES[name]
