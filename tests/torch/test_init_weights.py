"""`init_weights`: the printed module starts as the trainer's does, by every component and every recipe."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from paths import ROOT, SPECS
from recipe_harness import recipe
from torch import Tensor, nn

import netdsl
from netdsl.analysis.count import totals
from netdsl.backends.torch.module import imported
from netdsl.cli.main import main
from netdsl.diagnostics.diagnostic import Fault
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Net, Spec
from netdsl.planning.initialization import NetParameters, initializations
from netdsl.recipe.inits import Weights
from netdsl.selection import select
from netdsl.source import Source
from netdsl.training.initialize import Start, initialize
from netdsl.training.rng import key

TEXT = """
block ConvBN(c, k, stride=1, bias=false) = conv(c, k, stride=stride, bias=bias) -> bn

block Basic(c) {
  residual(scale=1) {
    ConvBN(c, 3) -> relu
    ConvBN(c, 3, bias=true)
  }
  relu
}

net Small {
  input image [3, 8, 8]
  stem: ConvBN(12, 3) -> layernorm -> relu
  stages: for i in range(2) {
    Basic(12)
    conv(12, 3)
  }
  flatten(start=1) -> permute((1, 0))
  it + param((64, 12), init=normal, role=position)
  layers: for i in range(2) { residual(scale=1) { layernorm -> attention(heads=4) } }
  lstm(12)
  reduce_mean(axis=0)
  head: linear(9) -> relu -> linear(5)
}

net Normed {
  input image [3, 8, 8]
  for i in range(2) {
    conv(8, 3, weight_norm=true) -> instancenorm(affine=true) -> relu
    conv(8, 3) -> bn(affine=false)
  }
  flatten -> linear(5, spectral_norm=true) -> linear(5)
}

net Memory {
  input x [7, 3]
  lstm(6) -> lstm(5, num_layers=2, bidirectional=true) -> gru(5) -> gru(4, bias=false) -> rnn(6)
}

net Plain {
  input tokens [6] int64
  embed(20, 8)
  for i in range(3) { residual { linear(8) -> relu -> linear(8) } }
  reduce_mean(axis=0) -> linear(3)
}
"""
INITS = (
    "trunc_normal", "normal(0.3)", "uniform(0.08)", "xavier(distribution=normal, gain=2)", "kaiming(mode=fan_out)",
    "orthogonal(gain=3)", "constant(0.25)", "dirac", "biases(1)", 'biases(0.5, only=["conv", "head"])',
    "zero_last_norm", "head_scale(0.001)", "skipinit(0.2)", 'kaiming(only=["conv"]) -> zero_last_norm',
    'normal(0.02, only=["layers", "position"])', 'xavier(only=["in_proj_weight", "head"])',
    'uniform(0.1, only=["norm"])', 'constant(2, only=["scale", "bias"])', "pytorch",
)  # fmt: skip


def net(name: str) -> Net:
    return Spec(Source(TEXT, "small.net"), read_import).net(name)


def printed(own: Net, components: Any) -> nn.Module:
    """A module whose `init_weights` carries out the components, with all weights 0.125 where it sets nothing."""
    module: nn.Module = own.module(seed=1, init=initializations(components, own.checked))
    return refilled(module)


def refilled(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(0.125)
    return module


def trained(own: Net, components: Any) -> dict[str, Tensor]:
    module = refilled(own.module(seed=1))
    initialize(components, Start(module, NetParameters.of(own.checked), Path()))
    return {n: p.detach() for n, p in module.named_parameters()}


def by_component(own: Net, components: Any) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """The parameters that the trainer and the printed module have after each component, drawn from one seed."""
    for component in components:
        module = printed(own, [component])
        torch.default_generator.manual_seed(key(0, "init", 0) >> 1)
        if hasattr(module, "init_weights"):
            module.init_weights()
        yield trained(own, [component]), {n: p.detach() for n, p in module.named_parameters()}


def compare(own: Net, components: Any) -> int:
    """Compares what both set; returns how many tensors are of one distribution only, drawn in another order."""
    redrawn = 0
    for expected, found in by_component(own, components):
        assert expected.keys() == found.keys()
        for name, tensor in expected.items():
            if not torch.equal(tensor, found[name]):
                assert similar(tensor, found[name]), name
                redrawn += 1
    return redrawn


def similar(a: Tensor, b: Tensor) -> bool:
    """Whether two drawn tensors are of one distribution, as far as their numbers of elements can tell."""
    if a.numel() < 2 or float(a.std()) == 0:
        return False
    room = 6 * float(a.std()) / a.numel() ** 0.5
    return abs(float(a.mean() - b.mean())) < room and abs(float(a.std() - b.std())) < room


@pytest.mark.parametrize("text", INITS)
def test_a_printed_module_starts_as_the_trainers(text: str) -> None:
    assert compare(net("Small"), recipe(f"init = {text}").init) == 0


@pytest.mark.parametrize("text", ["gates(2)", "gates(2, coupled=true)"])
def test_gates_of_recurrent_layers_of_several_sizes(text: str) -> None:
    assert compare(net("Memory"), recipe(f"init = {text}").init) == 0


def test_residual_branches_without_norms() -> None:
    assert compare(net("Plain"), recipe("init = fixup").init) == 0


@pytest.mark.parametrize("text", ["trunc_normal", "kaiming", 'constant(2, only=["norm", "scale"])', "uniform(0.1)"])
def test_computed_weights_and_norms_without_gains(text: str) -> None:
    compare(net("Normed"), recipe(f"init = {text}").init)


def test_the_constructor_calls_it() -> None:
    own = net("Small")
    module = own.module(seed=1, init=initializations(recipe("init = constant(0.25)").init, own.checked))
    assert module.get_parameter("head.0.weight").unique().tolist() == [0.25]
    assert "init_weights" not in own.source()


ZOO = {
    "resnet:A1": ("Bottleneck", "nn.Conv2d"),
    "mobilenet_v3:Torchvision600": ("nn.Conv2d", "nn.Linear"),
    "swin:Torchvision300": ("Attention", "Block", "Merge", "WindowBias", "nn.Linear"),
}
"""Recipes, with the classes of which their `init_weights` asks."""


def chosen(name: str) -> tuple[Net, Any]:
    file, _, own = name.partition(":")
    found = select(Spec(load_source(SPECS / f"{file}.net"), read_import), None, own)
    assert found.net is not None
    assert found.recipe is not None
    return found.net, found.recipe.init


@pytest.mark.parametrize("name", ZOO)
def test_it_asks_for_the_classes_of_modules(name: str) -> None:
    own, init = chosen(name)
    tree = ast.parse(own.source(initializations(init, own.checked)))
    tests = [n.args[1] for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "isinstance"]
    asked = {ast.unparse(kind) for test in tests for kind in (test.elts if isinstance(test, ast.Tuple) else [test])}
    assert sorted(asked) == list(ZOO[name])


@pytest.mark.slow
def test_every_recipe_of_the_zoo() -> None:
    # A 1x1 convolution that acts as a linear layer is set by its block, before the modules inside the block are: Swin
    # draws its weights in another order than the trainer.
    redrawn = {}
    for path in sorted(SPECS.glob("*.net")):
        spec = Spec(load_source(path), read_import)
        for name in spec.module.recipes:
            found = select(spec, None, name)
            if found.net is None or found.recipe is None or not found.recipe.init:
                continue
            if any(isinstance(c, Weights) for c in found.recipe.init) or size(found.net) > 30_000_000:
                continue
            redrawn[f"{path.stem}:{name}"] = compare(found.net, found.recipe.init)
    assert len(redrawn) > 15
    assert {name for name, tensors in redrawn.items() if tensors > 2} <= {"swin:Torchvision300"}


def size(own: Net) -> int:
    return totals(own.checked.main).params


def test_a_file_of_weights_is_refused() -> None:
    with pytest.raises(Fault, match="reads a file") as refused:
        initializations(recipe('init = weights("a.pt") -> head_scale(0.1)').init, net("Small").checked)
    assert refused.value.diagnostic.code == "not-supported"


def test_from_python_and_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = netdsl.load("resnet", "ResNet18").source(recipe="A1")
    assert "nn.init.kaiming_normal_(module.weight" in text
    assert main(["compile", "resnet:ResNet18", "--recipe", "A1", "--emit", "torch", "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "model.py").read_text() == text
    assert main(["compile", "resnet:ResNet18", "--set", "epochs=1", "-o", str(tmp_path / "out")]) == 2
    assert "--recipe" in capsys.readouterr().err
    module = imported(text, "ResNet18").ResNet18()
    assert float(module.stages[0][0].conv_bn2.bn.weight.detach().abs().sum()) == 0.0


def test_the_docs_show_it() -> None:
    text = netdsl.load("resnet", "ResNet50").source(recipe="A1")
    shown = text[text.index("    @torch.no_grad()") : text.index("\n    def forward(self, image")]
    assert shown in (ROOT / "docs" / "python.md").read_text()
