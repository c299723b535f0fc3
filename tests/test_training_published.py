"""Published recipes: groups, schedule values, layer scales and averages equal the sources' numbers; and they run."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from netdsl.cli.main import main
from netdsl.loader import load_source, read_import
from netdsl.passes.evaluate import Evaluator
from netdsl.passes.recipes import load_recipe, recipe_names
from netdsl.passes.resolve import resolve
from netdsl.pipeline import Spec
from netdsl.recipe.schema import Recipe
from netdsl.training.ema import effective_decay
from netdsl.training.plan import Plan, plan
from netdsl.training.schedule import Schedule, peak_lr

IMAGENET = 1_281_167

SPECS = Path(__file__).parent.parent / "specs"


def published(name: str) -> Recipe:
    module, mistakes = resolve(load_source(SPECS / "recipes.net"), read_import)
    assert not mistakes
    found, said = load_recipe(module, Evaluator(), name, {})
    assert found is not None, said
    assert not [d for d in said if d.severity == "error"]
    return found


NAMES = recipe_names(resolve(load_source(SPECS / "recipes.net"), read_import)[0])


@pytest.mark.parametrize("name", NAMES)
def test_every_published_recipe_resolves(name: str) -> None:
    published(name)


def planned(recipe: str, net: str, samples: int = IMAGENET) -> Plan:
    file, _, name = net.partition(":")
    return plan(Spec(load_source(SPECS / file), read_import).net(name), published(recipe), samples)


def lr_at(recipe: str, epoch: float, samples: int = IMAGENET) -> float:
    found = published(recipe)
    per_epoch = math.ceil(samples / found.batch)
    total = found.steps or (found.epochs or 0) * per_epoch
    schedule = Schedule(found.schedule, peak_lr(found), total, per_epoch, found.schedule_unit)
    return schedule(round(epoch * per_epoch))


def half_cosine(peak: float, low: float, share: float) -> float:
    return low + (peak - low) * (1 + math.cos(math.pi * share)) / 2


@pytest.mark.parametrize(
    ("recipe", "epoch", "expected"),
    [
        ("Torchvision90", 29.9, 0.1), ("Torchvision90", 30, 0.01), ("Torchvision90", 89, 0.001),
        ("TorchvisionMobileNetV2", 10.5, 0.045 * 0.98**10),
        ("Torchvision600", 0, 0.005), ("Torchvision600", 5.5, 0.5),
        ("Torchvision600", 302.9, half_cosine(0.5, 0, 297 / 595)), ("TorchvisionConvNeXt", 0.5, 1e-5),
        ("TorchvisionViT", 0, 3e-3 * 0.033), ("TorchvisionViT", 165, half_cosine(3e-3, 0, 0.5)),
        ("TorchvisionSwin", 160, half_cosine(1e-3, 1e-5, 0.5)),
        ("ConvNeXt300", 0, 0.0), ("ConvNeXt300", 20, 4e-3), ("ConvNeXt300", 160, half_cosine(4e-3, 1e-6, 0.5)),
        ("ConvNeXtFineTune384", 0, 5e-5), ("ConvNeXtFineTune384", 15, half_cosine(5e-5, 1e-6, 0.5)),
        ("DeiT300", 0, 1e-6), ("DeiT300", 5, 1e-3), ("DeiT300", 305, 1e-5),
        ("StrikesBackA1", 0, 5e-7), ("StrikesBackA3", 5, 8e-3), ("StrikesBackA3", 52.5, half_cosine(8e-3, 1e-6, 0.5)),
        ("EfficientNet2019", 5, 0.256), ("EfficientNet2019", 10, 0.256 * 0.97**2),
    ],
)  # fmt: skip
def test_learning_rates_at_chosen_times(recipe: str, epoch: float, expected: float) -> None:
    assert lr_at(recipe, epoch) == pytest.approx(expected, rel=2e-3, abs=1e-9)


def test_learning_rates_on_cifar() -> None:
    found = published("ResNetCifar")
    schedule = Schedule(found.schedule, 0.1, 64_000, 352)
    assert [schedule(s) for s in (31_999, 32_000, 47_999, 48_000)] == pytest.approx([0.1, 0.01, 0.01, 0.001])
    triangle = published("ResNet9")
    schedule = Schedule(triangle.schedule, triangle.optimizer.lr, 24 * 98, 98)
    assert [schedule(98 * e) * 512 for e in (0, 2.5, 5, 14.5, 24)] == pytest.approx([0, 0.2, 0.4, 0.2, 0])
    assert triangle.optimizer.weight_decay == 5e-4 * 512


def test_convnexts_groups_and_drop_path() -> None:
    """59 tensors are decayed: the weights of convolutions and linears; the rates are linspace(0, 0.1, 18)."""
    made = planned("ConvNeXt300", "convnext.net:ConvNeXt_T")
    assert [len(g.paths) for g in made.groups] == [59, 123]
    assert made.groups[1].settings == {"weight_decay": 0.0}
    assert sum(made.members) == 28_589_128
    assert made.drop_path == pytest.approx([0.1 * i / 17 for i in range(18)])
    assert made.steps == 300 * 313


def test_torchvisions_convnext_decays_biases_and_layer_scale() -> None:
    """norm_weight_decay=0 exempts norms only: 46 of the 182 tensors (23 norms)."""
    made = planned("TorchvisionConvNeXt", "convnext.net:ConvNeXt_T")
    free = [g for g in made.groups if g.settings.get("weight_decay") == 0]
    assert [len(g.paths) for g in free] == [46]


def test_layer_scales_of_the_fine_tuning() -> None:
    made = planned("ConvNeXtFineTune22k", "convnext.net:ConvNeXt_T")
    scales = {g.layer: g.scale for g in made.groups}
    assert scales == {i: pytest.approx(0.8 ** (13 - i)) for i in (0, 1, 2, 3, 4, 5, 12, 13)}


def test_averages() -> None:
    found = published("TorchvisionConvNeXt")
    assert found.ema is not None
    assert effective_decay(found.ema, found.batch, 600) == pytest.approx(0.998908, abs=2e-6)
    deit, paper = published("DeiT300").ema, published("ConvNeXt300").ema
    assert deit is not None
    assert paper is not None
    assert (deit.decay, paper.decay, paper.every) == (0.99996, 0.9999, 1)


def test_convnexts_recipe_is_short() -> None:
    text = (SPECS / "recipes.net").read_text()
    body = text[text.index("recipe ConvNeXt300 {") :]
    assert body[: body.index("\n}\n")].count("\n") + 2 <= 25


@pytest.mark.slow
@pytest.mark.parametrize(
    ("net", "recipe"),
    [
        ("convnext.net:ConvNeXt_T", "ConvNeXt300"),
        ("resnet.net:ResNet18", "StrikesBackA3"),
        ("resnet9.net:ResNet9", "ResNet9"),
        ("resnet_cifar.net:ResNet20", "StochasticDepth"),
    ],
)
def test_published_recipes_run_on_a_stand_in(net: str, recipe: str, tmp_path: Path) -> None:
    settings = ["data=synthetic(8, 8)", "epochs=1", "batch=4", "standardize=channel", "schedule=cosine"]
    arguments = [part for s in settings for part in ("--set", s)]
    if "random_resized_crop" in str(published(recipe).augment) or "convnext" in net or net.startswith("resnet.net"):
        arguments += ["--set", "augment=random_resized_crop(224) -> hflip -> randaugment(2, 9) -> random_erasing(0.25)"]
    target = str(SPECS / net)
    code = main(
        ["train", target, "--recipe", f"recipes:{recipe}", "-o", str(tmp_path / "run"), "--no-onnx", "-q", *arguments]
    )
    assert code == 0
