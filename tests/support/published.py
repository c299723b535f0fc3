"""The published recipes of the zoo: resolved, on their nets, planned for their data."""

from __future__ import annotations

from functools import cache

from zoo_tables import spec

from netdsl.pipeline import Net
from netdsl.planning.plan import Plan, plan
from netdsl.planning.recipes import complete, load_recipe
from netdsl.planning.recipes import net_of as target
from netdsl.planning.schedule import Schedule, peak_lr
from netdsl.recipe.component import component_name
from netdsl.recipe.schema import Recipe
from netdsl.syntax import ast

IMAGENET, CIFAR = 1_281_167, 50_000

PUBLISHED = {
    "airbench": ["CIFAR10"], "alexnet": ["ImageNet90", "Torchvision90"], "char_rnn": ["TinyShakespeare"],
    "convnext": [
        "ImageNet300", "ImageNet300_S", "ImageNet300_B", "ImageNet300_L", "FineTune22k", "FineTune22k_S",
        "FineTune22k_B", "FineTune22k_L", "FineTune22k_XL", "FineTune384_B", "FineTune384_L", "Torchvision600",
    ],
    "convnext_v2": ["FineTune_B", "FineTune_T", "FineTune_A"], "efficientnet": ["ImageNet350_B0"],
    "efficientnet_v2": ["ImageNet350", "Torchvision600"], "mobilenet_v1": ["ImageNet100"],
    "mobilenet_v2": ["Torchvision300"], "mobilenet_v3": ["Torchvision600"],
    "resnet": ["Torchvision90", "Torchvision600", "A1", "A2", "A3"], "resnet9": ["DAWNBench"],
    "resnet_v1": ["ImageNet600k"],
    "resnet_cifar": ["CIFAR10", "CIFAR10_110", "StochasticDepth"],
    "swin": ["Torchvision300", "Torchvision300_S", "Torchvision300_B"], "unet": ["Cells"],
    "vgg": ["ImageNet74", "Torchvision90", "Torchvision90_BN"], "vit": ["DeiT300", "Torchvision300"],
    "wide_resnet": ["AdamW"],
}  # fmt: skip
NAMES = [f"{file}:{name}" for file, names in PUBLISHED.items() for name in names]


@cache
def recipe(name: str) -> Recipe:
    file, _, own = name.partition(":")
    module = spec(file).module
    found = load_recipe(module, spec(file).elaborator.evaluator, own, {})
    assert not found.diagnostics, [d.message for d in found.diagnostics]
    assert found.recipe is not None
    return found.recipe


@cache
def net_of(name: str) -> Net:
    """The net that a recipe is for; the first of the file for a family."""
    file, _, own = name.partition(":")
    found = spec(file).module.find(own)
    assert found is not None
    assert isinstance(found[1], ast.Recipe)
    wanted = target(*found)
    assert wanted is not None
    chosen = complete(wanted, spec(file).elaborator.evaluator)
    assert chosen is not None
    return spec(file).net(chosen.name)


def samples(name: str) -> int:
    word = component_name(recipe(name).data)
    return {"imagefolder": IMAGENET, "cifar10": CIFAR}.get(word, 10_000)


@cache
def planned(name: str) -> Plan:
    return plan(net_of(name), recipe(name), samples(name))


def schedule(name: str, count: int | None = None) -> tuple[Schedule, int, int]:
    """The learning rate of a recipe on its data: as a function of the step; steps of an epoch and of the run."""
    found, count = recipe(name), count or samples(name)
    per_epoch = count // found.batch if found.drop_last else -(-count // found.batch)
    total = found.steps or (found.epochs or 0) * per_epoch
    return Schedule(found.schedule, peak_lr(found), total, per_epoch, found.schedule_unit), per_epoch, total
