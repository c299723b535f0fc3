"""Files of both of torch's exporters, of nets built as torchvision builds its own."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import onnx
import pytest
import torch
from torch_nets import NETS, built

from netdsl.analysis.count import totals
from netdsl.lift.lift import lift_model

OPEN = {("vit_torchvision", True): "the same learnt tensor is read in two ways"}
QUICK = ("resnet", "shufflenet", "vit_timm", "fpn")
CASES = [
    pytest.param(n, d, marks=() if n in QUICK and not d else pytest.mark.slow) for n in NETS for d in (False, True)
]


@pytest.mark.parametrize(("name", "dynamo"), CASES)
def test_exported_by_torch(name: str, dynamo: bool, tmp_path: Path) -> None:
    """The lifted net has the module's parameters, computes what the file computes, and folded norms are norms again."""
    if (name, dynamo) in OPEN:
        pytest.xfail(OPEN[name, dynamo])
    net, x = built(name)
    path = str(tmp_path / "model.onnx")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        if dynamo:
            sizes = ({0: torch.export.Dim("n")},)
            torch.onnx.export(net, (x,), path, dynamo=True, verbose=False, dynamic_shapes=sizes, external_data=False)
        else:
            torch.onnx.export(net, (x,), path, dynamo=False, dynamic_axes={"x": {0: "n"}}, input_names=["x"])
        logging.disable(logging.NOTSET)
    found = lift_model(onnx.load(path))
    assert all(c.ok for c in found.proof)
    assert totals(found.net.checked.main).params == sum(p.numel() for p in net.parameters())
    assert len(found.text.splitlines()) <= 30
