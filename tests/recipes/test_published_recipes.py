"""Published recipes against the numbers and rules of their papers and code, on the real nets, without training them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from published import NAMES, PUBLISHED, net_of, planned, recipe, schedule
from torch import nn
from zoo_tables import ROOT, spec

from netdsl.analysis.count import parameters
from netdsl.recipe.sources import ImageFolder
from netdsl.training.optim.ema import effective_decay


@pytest.mark.parametrize("file", PUBLISHED)
def test_every_recipe_of_these_files_is_in_this_test(file: str) -> None:
    assert spec(file).module.recipes == PUBLISHED[file]


@pytest.mark.parametrize("name", NAMES)
def test_it_resolves_and_every_parameter_is_in_one_group(name: str) -> None:
    made, main = planned(name), net_of(name).checked.main
    paths = [p for g in made.groups for p in g.paths]
    assert sorted(paths) == sorted(p.path for p in parameters(main))
    assert made.steps == schedule(name)[2]
    if isinstance(word := recipe(name).data, ImageFolder):
        assert word.crop == main.inputs[0].type.shape[1]


@pytest.mark.parametrize("file", PUBLISHED)
def test_every_recipe_says_where_it_comes_from(file: str) -> None:
    """The first recipe of each source has a comment above it; one that changes little may stand right below it."""
    lines = (ROOT / "specs" / f"{file}.net").read_text().splitlines()
    for at, line in enumerate(lines):
        if line.startswith("recipe ") and "extends" not in line:
            assert lines[at - 1].startswith("# "), line


def test_convnexts_whole_recipe_is_short() -> None:
    lines = (ROOT / "specs" / "convnext.net").read_text().splitlines()
    first = lines.index("recipe ImageNet300 for ConvNeXt {")
    assert lines.index("}", first) - first + 1 <= 25


# Parameter groups: which parameters are decayed, by the rules of the code that made the published weights.


def modules(name: str) -> dict[str, tuple[nn.Module, str, nn.Parameter]]:
    """Every parameter by path: the module it belongs to, its name there, itself (without memory)."""
    with torch.device("meta"):
        module = net_of(name).module()
    found = {}
    for path, layer in module.named_modules():
        for own, tensor in layer.named_parameters(recurse=False):
            found[f"{path}.{own}".lstrip(".")] = (layer, own, tensor)
    return found


def is_norm(layer: nn.Module) -> bool:
    return "Norm" in type(layer).__name__


def is_vector(tensor: torch.Tensor) -> bool:
    """One axis, whatever the layout: LayerScale is (C) in the paper's code and (C, 1, 1) elsewhere."""
    return sum(s != 1 for s in tensor.shape) <= 1


Rule = Callable[[nn.Module, str, torch.Tensor], bool]
RULES: dict[str, Rule] = {
    "all are decayed": lambda layer, own, p: True,
    "torchvision, norm_weight_decay=0": lambda layer, own, p: not is_norm(layer),
    "torchvision, norm, bias and position 0": lambda layer, own, p: (
        not (is_norm(layer) or "bias" in own.split("_")[-1] or own == "relative_position_bias_table")
    ),
    "timm and ConvNeXt: vectors and biases are not": lambda layer, own, p: not (is_vector(p) or "bias" in own),
    "slim: neither norms nor biases nor depthwise filters": lambda layer, own, p: (
        not (is_norm(layer) or own == "bias" or getattr(layer, "groups", 1) > 1)
    ),
    "DeiT: nor are tokens and positions": lambda layer, own, p: (
        not (is_vector(p) or "bias" in own or own in ("class_token", "positions"))
    ),
}
BY_RULE = {
    "all are decayed": [
        "alexnet:ImageNet90", "alexnet:Torchvision90", "vgg:ImageNet74", "vgg:Torchvision90", "vgg:Torchvision90_BN",
        "mobilenet_v2:Torchvision300", "mobilenet_v3:Torchvision600", "resnet:Torchvision90", "resnet_v1:ImageNet600k",
        "resnet_cifar:CIFAR10", "resnet_cifar:CIFAR10_110", "resnet_cifar:StochasticDepth", "resnet9:DAWNBench",
        "vit:Torchvision300", "wide_resnet:AdamW", "unet:Cells", "char_rnn:TinyShakespeare",
    ],
    "torchvision, norm_weight_decay=0": [
        "resnet:Torchvision600", "convnext:Torchvision600", "efficientnet_v2:Torchvision600",
        "efficientnet:ImageNet350_B0", "efficientnet_v2:ImageNet350",  # TensorFlow's code says the same
    ],
    "torchvision, norm, bias and position 0": [f"swin:Torchvision300{n}" for n in ("", "_S", "_B")],
    "timm and ConvNeXt: vectors and biases are not": [
        *(f"resnet:A{n}" for n in (1, 2, 3)), *(f"convnext_v2:FineTune_{n}" for n in ("B", "T", "A")),
        *(f"convnext:ImageNet300{n}" for n in ("", "_S", "_B", "_L")), "convnext:FineTune384_B",
        *(f"convnext:FineTune22k{n}" for n in ("", "_S", "_B", "_L", "_XL")), "convnext:FineTune384_L",
    ],
    "DeiT: nor are tokens and positions": ["vit:DeiT300"],
    "slim: neither norms nor biases nor depthwise filters": ["mobilenet_v1:ImageNet100"],
}  # fmt: skip
DECAYED = {name: rule for rule, names in BY_RULE.items() for name in names}


def test_the_decay_of_every_recipe_is_in_this_test() -> None:
    assert {*DECAYED, "airbench:CIFAR10"} == set(NAMES)


@pytest.mark.parametrize("name", DECAYED)
def test_decayed_parameters_are_those_of_the_code(name: str) -> None:
    decay = recipe(name).optimizer.weight_decay  # type: ignore[union-attr]
    got = {p: g.settings.get("weight_decay", decay) for g in planned(name).groups for p in g.paths}
    rule = RULES[DECAYED[name]]
    assert got == {path: decay if rule(*owner) else 0.0 for path, owner in modules(name).items()}


def test_the_same_net_is_decayed_differently_by_its_two_recipes() -> None:
    """ConvNeXt-T has 182 tensors: the paper's code decays the 59 weights; torchvision all but the 46 of norms."""
    counts = {}
    for name in ("ImageNet300", "Torchvision600"):
        free = [g for g in planned(f"convnext:{name}").groups if g.settings.get("weight_decay") == 0]
        counts[name] = sum(len(g.paths) for g in free)
    assert counts == {"ImageNet300": 182 - 59, "Torchvision600": 46}


def test_airbench_trains_the_shifts_of_its_norms_64_times_as_fast() -> None:
    """kilostep = 1024 * (1 + 1 / (1 - 0.85)); lr 11.5 and decay 0.0153 for 1,024 samples; decay / lr is torch's."""
    kilostep = 1024 * (1 + 1 / (1 - 0.85))
    lr, decay = 11.5 / kilostep, 0.0153 * 1024 / kilostep
    found, groups = recipe("airbench:CIFAR10"), planned("airbench:CIFAR10").groups
    assert found.optimizer.lr == pytest.approx(lr)
    for g in groups:
        norms = all("norm" in p for p in g.paths)
        assert norms == any("norm" in p for p in g.paths)
        scale = 64 if norms else 1
        assert g.lr_scale == pytest.approx(scale)
        assert g.settings.get("weight_decay", found.optimizer.weight_decay) == pytest.approx(decay / (scale * lr))  # type: ignore[union-attr]
    assert len(groups) == 2


# Layer-wise lr decay: the assignment of the authors' optim_factory.py, from names alone.


def member(path: str) -> tuple[int, int]:
    """Stage and block of `stages.2.5...` as the authors count them; -1 for the downsampling before a stage."""
    _, stage, place, *_ = path.split(".")
    return int(stage), int(place) - (2 if int(stage) else 0)


def grouped(path: str) -> int:
    """get_num_layer_for_convnext: 12 groups of three blocks, whatever the depth."""
    if path.startswith("stem"):
        return 0
    if not path.startswith("stages"):
        return 13
    stage, block = member(path)
    if block < 0:
        return {1: 2, 2: 3, 3: 12}[stage]
    return {0: 1, 1: 2, 3: 12}.get(stage, 3 + block // 3)


def single(path: str, depths: tuple[int, ...]) -> int:
    """get_num_layer_for_convnext_single: a layer for each block; the stem has the first block's."""
    if path.startswith("stem"):
        return 1
    if not path.startswith("stages"):
        return sum(depths) + 1
    stage, block = member(path)
    return sum(depths[:stage]) + max(0, block) + 1


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("convnext:FineTune22k", lambda p: 0.8 ** (13 - grouped(p))),
        ("convnext:FineTune22k_B", lambda p: 0.8 ** (13 - grouped(p))),
        ("convnext:FineTune384_B", lambda p: 0.7 ** (13 - grouped(p))),
        ("convnext:FineTune384_L", lambda p: 0.7 ** (13 - grouped(p))),
        ("convnext_v2:FineTune_B", lambda p: 0.6 ** (13 - grouped(p))),
        ("convnext_v2:FineTune_T", lambda p: 0.9 ** (19 - single(p, (3, 3, 9, 3)))),
        ("convnext_v2:FineTune_A", lambda p: 0.9 ** (13 - single(p, (2, 2, 6, 2)))),
    ],
)
def test_layers_learn_at_the_rates_of_the_code(name: str, scale: Callable[[str], float]) -> None:
    got = {p: g.lr_scale for g in planned(name).groups for p in g.paths}
    assert got == {p: pytest.approx(scale(p), rel=1e-12) for p in got}


def test_convnext_t_has_eight_of_the_layers() -> None:
    scales = {round(g.lr_scale, 12) for g in planned("convnext:FineTune22k").groups}
    assert scales == {round(0.8 ** (13 - i), 12) for i in (0, 1, 2, 3, 4, 5, 12, 13)}


# Averages and stochastic depth.


@pytest.mark.parametrize(
    ("name", "alpha", "warmup"),
    [
        ("resnet:Torchvision600", 2e-5 * 8 * 128 * 32 / 600, 5),
        ("convnext:Torchvision600", 2e-5 * 8 * 128 * 32 / 600, 5),
        ("efficientnet_v2:Torchvision600", 2e-5 * 8 * 128 * 32 / 600, 5),
        ("vit:Torchvision300", 2e-5 * 64 * 64 * 32 / 300, 30),
        ("swin:Torchvision300", 2e-5 * 8 * 128 * 32 / 300, 20),
    ],
)
def test_torchvisions_average_is_scaled(name: str, alpha: float, warmup: int) -> None:
    """adjust = world * batch * steps / epochs; decay = 1 - min(1, (1 - 0.99998) * adjust), every 32 steps."""
    found = recipe(name)
    assert found.ema is not None
    assert found.epochs is not None
    assert effective_decay(found.ema, found.batch, found.epochs) == pytest.approx(1 - alpha, abs=1e-12)
    assert (found.ema.every, found.ema.restart.amount) == (32, warmup)  # type: ignore[union-attr]
    if name.startswith("convnext"):
        assert effective_decay(found.ema, found.batch, found.epochs) == pytest.approx(0.998908, abs=5e-7)


def test_the_other_averages() -> None:
    decays = {
        n: getattr(recipe(n).ema, "decay", None)
        for n in ("convnext:ImageNet300", "vit:DeiT300", "convnext_v2:FineTune_T", "resnet:A1", "convnext:FineTune22k")
    }
    assert list(decays.values()) == [0.9999, 0.99996, 0.9999, None, None]


def test_stochastic_depth_of_every_link() -> None:
    """Each as its code computes it, block by block."""

    def rates(name: str) -> list[float]:
        return list(planned(name).drop_path)

    for name, top, blocks in (
        ("ImageNet300", 0.1, 18), ("ImageNet300_S", 0.4, 36), ("ImageNet300_B", 0.5, 36), ("ImageNet300_L", 0.5, 36),
        ("FineTune22k_S", 0.1, 36), ("FineTune22k_B", 0.2, 36), ("FineTune22k_L", 0.3, 36), ("FineTune22k_XL", 0.4, 36),
        ("FineTune384_B", 0.8, 36), ("FineTune384_L", 0.95, 36), ("Torchvision600", 0.1, 18),
    ):  # fmt: skip
        assert rates(f"convnext:{name}") == pytest.approx(np.linspace(0, top, blocks)), name
    assert rates("convnext:FineTune22k") == rates("resnet:A3") == []
    assert rates("convnext_v2:FineTune_B") == pytest.approx(np.linspace(0, 0.1, 36))
    assert rates("resnet:A1") == pytest.approx(np.linspace(0, 0.05, 16))
    assert rates("vit:DeiT300") == pytest.approx(np.repeat(np.linspace(0, 0.1, 12), 2))
    for name, top, blocks in (("", 0.2, 12), ("_S", 0.3, 24), ("_B", 0.5, 24)):
        assert rates(f"swin:Torchvision300{name}") == pytest.approx(np.repeat(np.linspace(0, top, blocks), 2))
    assert rates("resnet_cifar:StochasticDepth") == pytest.approx([0.5 * link / 54 for link in range(1, 55)])
    assert recipe("resnet_cifar:StochasticDepth").drop_path.mode == "batch"  # type: ignore[union-attr]


def test_efficientnets_rates_count_blocks_without_a_link() -> None:
    """drop_connect: 0.2 * block / 16 over all blocks; a block has a link where it repeats the one before."""
    repeats = [1, 2, 2, 3, 3, 4, 1]
    linked = [i > 0 for n in repeats for i in range(n)]
    expected = [0.2 * block / len(linked) for block, link in enumerate(linked) if link]
    assert list(planned("efficientnet:ImageNet350_B0").drop_path) == pytest.approx(expected)
    # torchvision's EfficientNetV2-S: the first block of a stage has a link only where nothing changes, in the first.
    linked = [i > 0 or stage == 0 for stage, n in enumerate([2, 4, 4, 6, 9, 15]) for i in range(n)]
    expected = [0.2 * block / 40 for block, link in enumerate(linked) if link]
    for name in ("Torchvision600", "ImageNet350"):
        assert list(planned(f"efficientnet_v2:{name}").drop_path) == pytest.approx(expected)
