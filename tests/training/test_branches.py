"""Initialisations that follow from the residual branches of a net: what they find, set and refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from paths import SPECS
from recipe_harness import recipe
from torch import Tensor, nn

from netdsl.analysis.residual_branches import branches
from netdsl.cli.main import main
from netdsl.diagnostics.diagnostic import Fault
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Net, Spec
from netdsl.planning.initialization import NetParameters
from netdsl.source import Source
from netdsl.training.initialize import Start, initialize

FIXUP = """
block Bias: [C, H, W] -> [C, H, W] = it + param((), role=bias)

block Fix(c, stride=1): [cin, H, W] -> [c, _, _] {
  residual(shortcut = it if stride == 1 and cin == c else conv(c, 1, stride=stride, bias=false)) {
    Bias -> conv(c, 3, stride=stride, bias=false) -> Bias -> relu
    Bias -> conv(c, 3, bias=false)
    it * param((), init=1) -> Bias
  }
  relu
}

block Deep(c): [c, _, _] -> [c, _, _] = residual { conv(c, 1) -> relu -> conv(c, 3) -> relu -> conv(c, 1) }

net FixNet(blocks=2, width=8, classes=10) {
  input image [1, 8, 8]
  stem: conv(width, 3, bias=false) -> relu
  stages: for i in range(3) {
    for j in range(blocks) { Fix(width * 2**i, stride = 2 if i > 0 and j == 0 else 1) }
  }
  head: gap -> linear(classes)
}

net Mixed {
  input image [1, 8, 8]
  conv(8, 3)
  share again = Fix(8)
  again
  again
  Deep(8)
  residual { conv(8, 3) }
  gap -> linear(10)
}

net Plain(blocks=50, classes=10) {
  input image [1, 8, 8]
  conv(16, 3)
  for i in range(blocks) { residual { conv(16, 3) -> relu -> conv(16, 3) } }
  features: it
  gap -> linear(classes)
}
"""


def made(text: str, name: str | None = None, **arguments: int) -> Net:
    spec = Spec(Source(text, "test.net"), read_import)
    return spec.net(name, arguments)


def started(net: Net, fields: str, seed: int = 0) -> tuple[nn.Module, list[str]]:
    module = net.module(0)
    about = Start(module, NetParameters.of(net.checked), Path())
    return module, initialize(recipe(f"init = {fields}").init, about, seed)


def tensors(module: nn.Module) -> dict[str, Tensor]:
    return {n: p.detach() for n, p in module.named_parameters()}


def test_fixup_equals_the_authors_rule() -> None:
    """fixup_resnet_cifar.py of the authors: conv1 of a block He normal * L^-0.5, conv2 and the last layer 0."""
    module, notes = started(made(FIXUP, "FixNet", blocks=3, width=32), "fixup")
    assert notes == ["fixup: 9 residual branches, their first layers times 0.333, their last 0"]
    for name, w in tensors(module).items():
        fan_out = w.shape[0] * w[0, 0].numel() if w.ndim == 4 else 0
        if "param" in name:
            assert float(w) in (0.0, 1.0)
        elif name.endswith("conv2.weight") or name.startswith("head") or name.endswith("bias"):
            assert float(w.abs().max()) == 0.0, name
        elif "conv1.weight" in name:
            assert float(w.std()) == pytest.approx((2 / fan_out) ** 0.5 * 9**-0.5, rel=0.06), name
        elif w.ndim == 4:  # the stem and the projections
            assert float(w.std()) == pytest.approx((2 / fan_out) ** 0.5, rel=0.13), name
    ones = [n for n, w in tensors(module).items() if not w.ndim and float(w) == 1]
    assert len(ones) == 9  # the multipliers; scalar biases are 0
    blocks = {n.rpartition(".conv")[0] for n in tensors(module) if n.endswith("conv2.weight")}
    assert len(blocks) == 9


def test_fixup_by_the_other_fan() -> None:
    for mode, fan in (("fan_in", 32), ("fan_out", 64)):
        module, _ = started(made(FIXUP, "FixNet", width=32), f"fixup({mode})")
        projection = next(w for n, w in tensors(module).items() if w.shape == (64, 32, 1, 1))
        assert float(projection.std()) == pytest.approx((2 / fan) ** 0.5, rel=0.08)


def test_branches_of_other_lengths_and_shared_weights() -> None:
    """L = 4 branches (the shared block counts twice), and m = 2, 2, 3, 1 layers in them."""
    net = made(FIXUP, "Mixed")
    found = branches(net.checked)
    assert [len(b.weights) for b in found] == [2, 2, 3, 1]
    assert found[0].weights == found[1].weights
    module, _ = started(net, "fixup")
    std = {n: float(w.std()) for n, w in tensors(module).items() if w.ndim == 4}
    again, deep = "again.conv1.weight", "deep.conv1.weight"
    assert std[again] == pytest.approx((2 / 72) ** 0.5 * 4 ** (-1 / 2), rel=0.15)
    assert std[deep] == pytest.approx((2 / 8) ** 0.5 * 4 ** (-1 / 4), rel=0.3)
    assert std["deep.conv2.weight"] == pytest.approx((2 / 72) ** 0.5 * 4 ** (-1 / 4), rel=0.15)
    assert {n for n, s in std.items() if s == 0} == {"again.conv2.weight", "deep.conv3.weight", "conv2.weight"}


@pytest.mark.parametrize("blocks", [4, 50])
def test_an_update_has_a_size_that_does_not_grow_with_depth(blocks: int) -> None:
    """Zhang et al. (2019): with fixup one SGD step changes the output by O(lr); He's start explodes with depth."""
    x = torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    spread = {}
    for word in ("fixup", "kaiming"):
        module, _ = started(made(FIXUP, "Plain", blocks=blocks), word)
        kept: list[Tensor] = []
        module.get_submodule("linear").register_forward_hook(lambda m, i, o, k=kept: k.append(i[0]))
        module(x)
        spread[word] = float(kept[0].detach().std())
    assert spread["fixup"] < 1.0
    if blocks == 50:
        assert spread["kaiming"] > 1e4
    module, _ = started(made(FIXUP, "Plain", blocks=blocks), "fixup")
    with torch.no_grad():  # a head that is not 0 lets gradients reach the branches at the first step
        module.get_submodule("linear").weight.normal_(std=0.1, generator=torch.Generator().manual_seed(2))
    before = module(x)
    nn.functional.cross_entropy(before, torch.arange(64) % 10).backward()
    with torch.no_grad():
        for p in module.parameters():
            p -= 0.1 * p.grad
    change = float((module(x) - before).detach().norm(dim=1).mean())
    assert 1e-4 < change < 1.0


def test_fixup_refuses_what_it_is_not_for() -> None:
    with pytest.raises(Fault, match="has none"):
        started(made("net A {\n input x [3]\n linear(3)\n}"), "fixup")
    with pytest.raises(Fault, match="without norms"):
        started(Spec(load_source(SPECS / "resnet_cifar.net"), read_import).net("ResNet20"), "fixup")
    twice = "net A {\n input x [3]\n residual {\n share f = linear(3)\n f -> relu -> f\n }\n}"
    with pytest.raises(Fault, match="shared by the last layer"):
        started(made(twice), "fixup")
    with pytest.raises(Fault, match="no layer that ends"):
        started(made("net A {\n input x [3]\n residual { linear(3) -> sigmoid }\n}"), "fixup")


def test_skipinit_sets_the_factor_that_closes_each_branch() -> None:
    """De & Smith (2020): at 0 every block is the identity, whatever stands in the branch."""
    text = """net A {
      input x [6]
      residual(scale=0.5) { linear(6) -> relu -> linear(6) }
      residual { linear(6) -> tanh -> it * param(()) -> it * 0.2 }
      residual(scale=1) { it * (linear(6) -> sigmoid) }
    }"""
    module, _ = started(made(text), "skipinit")
    values = [n for n, w in tensors(module).items() if not w.any() and w.ndim < 2]
    assert len(values) == 3
    x = torch.randn(4, 6)
    assert torch.equal(module(x), x)
    module, _ = started(made(text), "skipinit(0.7)")
    assert sum(bool((w == 0.7).all()) for w in tensors(module).values()) == 3
    with pytest.raises(Fault, match="needs a learnt factor") as error:
        started(made(text.replace("-> it * param(()) ", "")), "skipinit")
    assert "residual(scale=1)" in (error.value.diagnostic.hint or "")
    nfnet = Spec(load_source(SPECS / "nfnet.net"), read_import).net("DMNFNet_F0")
    assert all(b.multiplier and b.multiplier.endswith("param") for b in branches(nfnet.checked))


@pytest.mark.parametrize(
    ("spec", "count", "last"),
    [
        ("resnet_cifar.net:ResNet20", 9, "bn.weight"),
        ("se_resnet.net:SEResNet50", 16, "bn.weight"),  # looked for through the gate, as timm's zero_init_last
        ("preresnet.net:PreResNet20", 0, ""),
    ],
)
def test_last_norms(spec: str, count: int, last: str) -> None:
    file, _, name = spec.partition(":")
    net = Spec(load_source(SPECS / file), read_import).net(name).checked
    found = {b.norm for b in branches(net) if b.norm is not None}
    assert len(found) == count
    assert all(path.endswith(last) for path in found)


def test_a_shortcut_that_projects_is_no_part_of_the_branch() -> None:
    spec = Spec(load_source(SPECS / "preresnet.net"), read_import)
    for branch in branches(spec.net("PreResNet20").checked):
        assert [w.split(".")[-2] for w in branch.weights] == ["conv1", "conv2"]  # the projection is `conv3`


def test_initial_weights_follow_the_seed() -> None:
    first, same, other = (started(made(FIXUP, "FixNet"), "kaiming", seed)[0] for seed in (0, 0, 1))
    assert torch.equal(tensors(first)["stem.0.weight"], tensors(same)["stem.0.weight"])
    assert not torch.equal(tensors(first)["stem.0.weight"], tensors(other)["stem.0.weight"])


def test_a_net_without_norms_trains_from_fixup(tmp_path: Path) -> None:
    text = FIXUP + "\nrecipe R for FixNet {\n data = digits\n epochs = 3\n optimizer = adamw(lr=1e-2)\n init = fixup\n}"
    (tmp_path / "fix.net").write_text(text)
    assert main(["train", f"{tmp_path / 'fix.net'}:R", "-o", str(tmp_path / "run"), "--quiet", "--no-onnx"]) == 0
    result = json.loads((tmp_path / "run" / "run.json").read_text())["result"]
    assert result["top1"] > 0.8
