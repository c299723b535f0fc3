"""Nets of the zoo become an import of it, which is proven as every lifted net is; what is only like one does not."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from foreign_nets import by_torchscript, exported, stored
from onnx import ModelProto
from torch import nn
from torch_nets import Basic, ConvBN, at_rest

import netdsl
from netdsl.backends.onnx.session import Session
from netdsl.cli.main import main
from netdsl.lift.lift import Lift, lift_model
from netdsl.lift.zoo import TABLE, lines
from netdsl.verify.distance import distance

QUICK = ("resnet_cifar:ResNet20", "mlp:MLP", "mobilenet_v3:MobileNetV3_Small", "vit:DeiT_Ti")
SLOW = ("resnet:ResNet18", "resnet_v1:ResNet50_V1", "unet:UNet", "densenet:DenseNet121", "swin:Swin_T")
CASES = [*QUICK, *(pytest.param(n, marks=pytest.mark.slow) for n in SLOW)]


def own(text: str) -> ModelProto:
    """The file of a net of a test, without folded norms."""
    net = netdsl.load(netdsl.Source(text))
    return net.onnx({k: v.numpy() for k, v in net.module(0).eval().state_dict().items()}, folded=False)


def body(found: Lift) -> list[str]:
    return found.text.split("\n\n", 1)[1].splitlines()


def test_the_table_is_that_of_the_zoo() -> None:
    """`make docs` writes it."""
    assert Path(TABLE).read_text().splitlines() == [*lines()]


@pytest.mark.parametrize("name", CASES)
def test_a_net_of_the_zoo(name: str) -> None:
    """The import has all weights under the zoo's keys, and computes what the file computes."""
    spec, net = name.split(":")
    model = exported(spec, net, classes=7) if net != "UNet" else exported(spec, net)
    found = lift_model(model, library=True)
    call = net if net == "UNet" else f"{net}(classes=7)"
    assert found.text == f"from {spec} import {net}\n\nnet Net = {call}\n"
    assert found.zoo == name
    assert all(c.ok for c in found.proof)
    module = netdsl.load(netdsl.Source(found.text)).module()
    module.load_state_dict({k: torch.tensor(a) for k, a in found.state.items()})


def resnet18() -> nn.Module:
    widths = ((64, 64, 1), (64, 128, 2), (128, 256, 2), (256, 512, 2))
    stages = [nn.Sequential(Basic(i, o, s), Basic(o, o)) for i, o, s in widths]
    return nn.Sequential(ConvBN(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1), *stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(512, 5))  # fmt: skip


def test_a_file_of_torch() -> None:
    """The exporter has folded the norms, and the size is not the zoo's: the net is a part of one that says its own."""
    net, x = at_rest(resnet18), torch.randn(2, 3, 64, 64)
    found = lift_model(by_torchscript(net, (x,)), library=True)
    assert found.text.startswith("from resnet import ResNet18\n")
    assert body(found)[1:] == ["  input x0 [3, 64, 64]", "", "  ResNet18(classes=5)", "}"]
    ours = Session(found.net.onnx(found.state).SerializeToString())
    with torch.inference_mode():
        assert distance([net(x).numpy()], [*ours.run({"x0": x.numpy()}).values()]) < 1e-5


LAYERS = "  input image [1, 28, 28]\n  flatten -> linear(512) -> {0} -> linear(512) -> {0} -> linear(10)"


@pytest.mark.parametrize("more", [" -> relu -> linear(4)", ""], ids=["a layer more", "another activation"])
def test_what_is_only_like_a_net_of_the_zoo(more: str) -> None:
    known = LAYERS.format("relu")
    assert lift_model(own(f"net A {{\n{known}\n}}"), library=True).zoo == "mlp:MLP"
    other = known + more if more else LAYERS.format("tanh")
    found = lift_model(own(f"net A {{\n{other}\n}}"), library=True)
    assert not found.zoo
    assert found.text.startswith("net Net {")


def test_another_eps_is_another_net() -> None:
    """A difference that the comparisons cannot see."""
    text = (Path(netdsl.loader.library()) / "resnet9.net").read_text()
    changed = text.replace("-> bn", "-> bn(eps=1.1e-5)")
    assert changed != text
    found = lift_model(own(changed), library=True)
    assert not found.zoo
    assert "bn(eps=1.1e-05)" in found.text


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = stored(exported("lenet", "LeNet5"), tmp_path)
    spec, weights, out = (str(tmp_path / n) for n in ("mine.net", "mine.safetensors", "out"))
    assert main(["lift", path, "-o", spec, "--weights", weights, "--name", "LeNet5"]) == 0
    assert "this net is LeNet5 of the zoo's lenet; --no-library writes its layers out" in capsys.readouterr().err
    assert Path(spec).read_text() == "from lenet import LeNet5 as ZooLeNet5\n\nnet LeNet5 = ZooLeNet5\n"
    assert main(["compile", spec, "--weights", weights, "-o", out, "--emit", "onnx"]) == 0
    x = np.random.default_rng(0).standard_normal((2, 1, 32, 32)).astype("float32")
    first, second = (list(Session(p).run({"image": x}).values()) for p in (path, f"{out}/model.onnx"))
    assert distance(first, second) < 1e-5
    capsys.readouterr()
    assert main(["lift", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["zoo"] == "lenet:LeNet5"


def test_without_the_library(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = stored(exported("lenet", "LeNet5"), tmp_path)
    assert main(["lift", path, "--no-library"]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("net Net {")
    assert "zoo" not in printed.err
    assert netdsl.from_onnx(path, library=False).text == printed.out
    assert netdsl.from_onnx(path).zoo == "lenet:LeNet5"


def test_a_spec_of_that_name_beside_the_output(tmp_path: Path) -> None:
    """An import would mean the user's own file."""
    (tmp_path / "lenet.net").write_text("net LeNet5 {\n  input image [1, 32, 32]\n\n  flatten -> linear(10)\n}\n")
    spec = tmp_path / "mine.net"
    assert main(["lift", stored(exported("lenet", "LeNet5"), tmp_path), "-o", str(spec)]) == 0
    assert spec.read_text().startswith("net Net {")
