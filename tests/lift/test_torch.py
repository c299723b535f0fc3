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
from netdsl.backends.onnx.session import Session
from netdsl.lift.lift import lift_model
from netdsl.verify.distance import distance

OPEN = {("vit_torchvision", True): "the same learnt tensor is read in two ways"}
QUICK = ("resnet", "shufflenet", "vit_timm", "fpn")


def _marks(name: str, dynamo: bool) -> list[pytest.MarkDecorator]:
    found = [] if name in QUICK and not dynamo else [pytest.mark.slow]
    return [*found, pytest.mark.xfail(reason=OPEN[name, dynamo], strict=True)] if (name, dynamo) in OPEN else found


CASES = [pytest.param(n, d, marks=_marks(n, d)) for n in NETS for d in (False, True)]


@pytest.mark.parametrize(("name", "dynamo"), CASES)
def test_exported_by_torch(name: str, dynamo: bool, tmp_path: Path) -> None:
    """The lifted net has the module's parameters, computes what the file computes, and folded norms are norms again."""
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
    with torch.inference_mode():
        given = net(x)
    expected = [y.numpy() for y in (given if isinstance(given, tuple) else (given,))]
    ours = Session(found.net.onnx(found.state).SerializeToString())
    assert distance(expected, [*ours.run({next(iter(ours.inputs)): x.numpy()}).values()]) < 1e-5
    assert totals(found.net.checked.main).params == sum(p.numel() for p in net.parameters())
    assert len(found.text.splitlines()) <= 30
