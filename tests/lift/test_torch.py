"""Files of both of torch's exporters, of nets built as torchvision builds its own."""

from __future__ import annotations

import pytest
import torch
from foreign_nets import by_torchscript
from more_torch_nets import MORE
from odd_torch_nets import ODD
from torch_nets import NETS, at_rest

from netdsl.analysis.count import totals
from netdsl.backends.onnx.session import Session
from netdsl.lift.exported import exported
from netdsl.lift.lift import lift_model
from netdsl.verify.distance import distance

ALL = {**{n: (make, (x,)) for n, (make, x) in NETS.items()}, **MORE, **ODD}
FEWER = {
    ("deeplab", False): 8, ("deeplab", True): 8, ("dcgan_generator", True): 16, ("pointnet", False): 24,
    ("pointnet", True): 48, ("gpt", False): 80, ("gpt", True): 80, ("transformer", True): 32,
    ("vit_torchvision", True): 48, ("tied", True): -120,
}  # fmt: skip
"""Parameters that are not in a file: of norms folded into a layer with a bias, biases of zeros, positions beyond the
exported length; equal small arrays, which the newer exporter stores once. A
weight that it turns is stored apart: there are more."""

QUICK = ("resnet", "shufflenet", "vit_timm", "fpn")
CASES = [pytest.param(n, d, marks=() if n in QUICK and not d else pytest.mark.slow) for n in ALL for d in (False, True)]


@pytest.mark.parametrize(("name", "dynamo"), CASES)
def test_exported_by_torch(name: str, dynamo: bool) -> None:
    """The lifted net has the module's parameters and computes what it computes; folded norms are norms again."""
    make, inputs = ALL[name]
    net = at_rest(make)
    found = lift_model(exported(net, inputs) if dynamo else by_torchscript(net, inputs))
    with torch.inference_mode():
        given = net(*inputs)
    expected = [y.numpy() for y in (given if isinstance(given, tuple) else (given,))]
    ours = Session(found.net.onnx(found.state).SerializeToString())
    fed = {n: x.numpy() for n, x in zip(ours.inputs, inputs, strict=True)}
    assert distance(expected, [*ours.run(fed).values()]) < 1e-5
    fewer = FEWER.get((name, dynamo), 0)
    assert totals(found.net.checked.main).params == sum(p.numel() for p in net.parameters()) - fewer
    assert len(found.text.splitlines()) <= (36 if name in ODD else 26)
