"""Every number of the published recipes as their tables, commands and code print it: written down here once more."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs
from published import NAMES, recipe
from recipe_harness import recipe as recipe_of

from netdsl.recipe.sources import ImageFolder

# What tables, commands and code print: epochs (or steps), batch, lr and the batch it is stated for, decay, smoothing.
PRINTED: dict[str, tuple[int, int, float, int, float, float]] = {
    "airbench:CIFAR10": (476, 1024, 11.5 / 1024 / (1 + 1 / 0.15), 0, 0.0153 * 1024 / 11.5, 0.2),
    "alexnet:ImageNet90": (90, 128, 0.01, 0, 5e-4, 0), "alexnet:Torchvision90": (90, 256, 0.01, 0, 1e-4, 0),
    "char_rnn:TinyShakespeare": (50, 50, 2e-3, 0, 0, 0),
    **{f"convnext:ImageNet300{n}": (300, 4096, 4e-3, 0, 0.05, 0.1) for n in ("", "_S", "_B", "_L")},
    **{f"convnext:FineTune22k{n}": (30, 512, 5e-5, 0, 1e-8, 0.1) for n in ("", "_S", "_B", "_L", "_XL")},
    **{f"convnext:FineTune384_{n}": (30, 512, 5e-5, 0, 1e-8, 0.1) for n in ("B", "L")},
    "convnext:Torchvision600": (600, 1024, 1e-3, 0, 0.05, 0.1),
    "convnext_v2:FineTune_B": (100, 1024, 6.25e-4, 256, 0.05, 0.1),
    "convnext_v2:FineTune_T": (300, 1024, 8e-4, 256, 0.05, 0.1),
    "convnext_v2:FineTune_A": (600, 1024, 2e-4, 256, 0.3, 0.2),
    "efficientnet:ImageNet350_B0": (350, 4096, 0.256, 0, 1e-5, 0.1),
    "efficientnet_v2:ImageNet350": (350, 4096, 0.256, 0, 1e-5, 0.1),
    "efficientnet_v2:Torchvision600": (600, 1024, 0.5, 0, 2e-5, 0.1),
    "mobilenet_v1:ImageNet100": (100, 32, 0.045, 0, 4e-5, 0),
    "mobilenet_v2:Torchvision300": (300, 256, 0.045, 0, 4e-5, 0),
    "mobilenet_v3:Torchvision600": (600, 1024, 0.064, 0, 1e-5, 0),
    "resnet:Torchvision90": (90, 256, 0.1, 0, 1e-4, 0), "resnet:Torchvision600": (600, 1024, 0.5, 0, 2e-5, 0.1),
    "resnet:A1": (600, 2048, 5e-3, 0, 0.01, 0.1), "resnet:A2": (300, 2048, 5e-3, 0, 0.02, 0),
    "resnet:A3": (100, 2048, 8e-3, 0, 0.02, 0), "resnet9:DAWNBench": (24, 512, 0.4 / 512, 0, 5e-4 * 512, 0),
    "resnet_v1:ImageNet600k": (600_000, 256, 0.1, 0, 1e-4, 0),
    "resnet_cifar:CIFAR10": (64_000, 128, 0.1, 0, 1e-4, 0),
    "resnet_cifar:CIFAR10_110": (64_000, 128, 0.1, 0, 1e-4, 0),
    "resnet_cifar:StochasticDepth": (500, 128, 0.1, 0, 1e-4, 0),
    **{f"swin:Torchvision300{n}": (300, 1024, 1e-3, 0, 0.05, 0.1) for n in ("", "_S", "_B")},
    "unet:Cells": (100, 1, 1e-3, 0, 0, 0), "vgg:ImageNet74": (74, 256, 0.01, 0, 5e-4, 0),
    "vgg:Torchvision90": (90, 256, 0.01, 0, 1e-4, 0), "vgg:Torchvision90_BN": (90, 256, 0.1, 0, 1e-4, 0),
    "vit:DeiT300": (300, 1024, 5e-4, 512, 0.05, 0.1), "vit:Torchvision300": (300, 4096, 3e-3, 0, 0.3, 0.11),
    "wide_resnet:AdamW": (1500, 128, 1e-3, 0, 0.025, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_those_of_the_source(name: str) -> None:
    found: Any = recipe(name)
    length, lr = found.epochs or found.steps, found.optimizer.lr
    smoothing = getattr(found.loss, "label_smoothing", 0)
    got = (length, found.batch, lr, found.optimizer.per_batch or 0, found.optimizer.weight_decay, smoothing)
    assert got == pytest.approx(PRINTED[name], rel=1e-12)


# The optimizers' other numbers.
MOMENTUM = {
    "sgd(momentum=0.9)": [
        "alexnet:Torchvision90", "vgg:Torchvision90", "vgg:Torchvision90_BN", "mobilenet_v2:Torchvision300",
        "resnet:Torchvision90", "resnet:Torchvision600", "efficientnet_v2:Torchvision600", "resnet_cifar:CIFAR10",
        "resnet_cifar:CIFAR10_110",
    ],
    "sgd(momentum=0.9, lr_in_buffer=true)": ["alexnet:ImageNet90", "vgg:ImageNet74", "resnet_v1:ImageNet600k"],
    "sgd(momentum=0.9, nesterov=true)": ["resnet_cifar:StochasticDepth"],
    "sgd(momentum=0.9, nesterov=true, lr_in_buffer=true)": ["resnet9:DAWNBench"],
    "sgd(momentum=0.85, nesterov=true)": ["airbench:CIFAR10"],
    "sgd(momentum=0.99, lr_in_buffer=true)": ["unet:Cells"],
    "adamw(betas=[0.9, 0.999], eps=1e-8)": [
        n for n in NAMES if n.startswith(("convnext", "swin", "vit"))
    ],
    "adamw(betas=[0.9, 0.999], eps=1e-8, decay=normalized)": ["wide_resnet:AdamW"],
    "lamb(betas=[0.9, 0.999], eps=1e-6, max_norm=1)": ["resnet:A1", "resnet:A2", "resnet:A3"],
    "rmsprop(alpha=0.9, eps=0.0316, momentum=0.9)": ["mobilenet_v3:Torchvision600"],
    "rmsprop(alpha=0.9, eps=0.001, momentum=0.9, tensorflow=true)": [
        "efficientnet:ImageNet350_B0",
        "efficientnet_v2:ImageNet350",
    ],
    "rmsprop(alpha=0.9, eps=1, tensorflow=true)": ["mobilenet_v1:ImageNet100"],
    "rmsprop(alpha=0.95, eps=1e-8)": ["char_rnn:TinyShakespeare"],
}  # fmt: skip


@pytest.mark.parametrize("text", MOMENTUM)
def test_momentum_and_its_convention(text: str) -> None:
    expected: Any = recipe_of(f"optimizer = {text}").optimizer
    for name in MOMENTUM[text]:
        got: Any = recipe(name).optimizer
        assert structs.replace(got, lr=expected.lr, weight_decay=expected.weight_decay, per_batch=None) == expected


def test_the_momentum_of_every_recipe_is_in_this_test() -> None:
    assert sorted(name for names in MOMENTUM.values() for name in names) == sorted(NAMES)


# Images: resized and cut for testing, cut for training, how they are read; the policy; erasing; mixing; copies.
SIZES = ("", "_S", "_B", "_L", "_XL")
TIMM_9 = "randaugment(2, 9, std=0.5, increasing=true, p=0.5, interpolation=bicubic, fill=mean)"
WIDE = "trivialaugment(interpolation=bilinear)"
RSB = TIMM_9.replace("9,", "7,")
IMAGES: dict[str, tuple[int, int, int, str, str, float, tuple[float, ...], int]] = {
    "alexnet:ImageNet90": (256, 227, 0, "bilinear", "", 0, (), 1),
    "alexnet:Torchvision90": (256, 224, 224, "bilinear", "", 0, (), 1),
    **{f"convnext:ImageNet300{n}": (256, 224, 224, "bicubic", TIMM_9, 0.25, (0.8, 1), 1) for n in SIZES[:4]},
    **{
        f"convnext:FineTune22k{n}": (256, 224, 224, "bicubic", TIMM_9, 0.25, (), 1)
        for n in ("", "_S", "_B", "_L", "_XL")
    },
    **{f"convnext:FineTune384_{n}": (0, 384, 384, "bicubic", TIMM_9, 0.25, (), 1) for n in ("B", "L")},
    "convnext:Torchvision600": (236, 224, 176, "bilinear", WIDE, 0.1, (0.2, 1), 4),
    "convnext_v2:FineTune_B": (256, 224, 224, "bicubic", TIMM_9, 0.25, (0.8, 1), 1),
    "convnext_v2:FineTune_T": (256, 224, 224, "bicubic", TIMM_9, 0.25, (0.8, 1), 1),
    "convnext_v2:FineTune_A": (256, 224, 224, "bicubic", TIMM_9, 0.25, (), 1),
    "efficientnet:ImageNet350_B0": (256, 224, 224, "bicubic", "autoaugment(fill=mean)", 0, (), 1),
    "efficientnet_v2:ImageNet350": (416, 384, 300, "bicubic", "randaugment(2, 5, fill=mean)", 0, (), 1),
    "efficientnet_v2:Torchvision600": (384, 384, 300, "bilinear", WIDE, 0.1, (0.2, 1), 4),
    "mobilenet_v1:ImageNet100": (256, 224, 224, "bilinear", "", 0, (), 1),
    "mobilenet_v2:Torchvision300": (256, 224, 224, "bilinear", "", 0, (), 1),
    "mobilenet_v3:Torchvision600": (256, 224, 224, "bilinear", "autoaugment(interpolation=bilinear)", 0.2, (), 1),
    "resnet:Torchvision90": (256, 224, 224, "bilinear", "", 0, (), 1),
    "resnet:Torchvision600": (232, 224, 176, "bilinear", WIDE, 0.1, (0.2, 1), 4),
    "resnet:A1": (235, 224, 224, "bicubic", RSB, 0, (0.2, 1), 3),
    "resnet:A2": (235, 224, 224, "bicubic", RSB, 0, (0.1, 1), 3),
    "resnet:A3": (235, 224, 160, "bicubic", RSB.replace("7,", "6,"), 0, (0.1, 1), 1),
    "resnet_v1:ImageNet600k": (256, 224, 0, "bilinear", "", 0, (), 1),
    **{
        f"swin:Torchvision300{n}": (r, 224, 224, "bicubic", WIDE.replace("bilinear", "bicubic"), 0.25, (0.8, 1), 4)
        for n, r in (("", 232), ("_S", 246), ("_B", 238))
    },
    **{f"vgg:{n}": (256, 224, c, "bilinear", "", 0, (), 1) for n, c in (
        ("ImageNet74", 0), ("Torchvision90", 224), ("Torchvision90_BN", 224)
    )},
    "vit:DeiT300": (256, 224, 224, "bicubic", TIMM_9, 0.25, (0.8, 1), 3),
    "vit:Torchvision300": (256, 224, 224, "bilinear", "randaugment(2, 3, interpolation=bilinear)", 0, (0.2, 1), 3),
}  # fmt: skip


@pytest.mark.parametrize("name", IMAGES)
def test_images_are_made_as_in_the_source(name: str) -> None:
    found: Any = recipe(name)
    words = {type(w).__name__: w for w in found.augment}
    resize, crop, trained, interpolation, policy, erased, mixed, copies = IMAGES[name]
    assert (found.data.resize, found.data.crop, found.data.interpolation) == (resize, crop, interpolation)
    assert found.data.fit == ("warp" if "384_" in name else "cut")
    if trained:
        cut = words.pop("RandomResizedCrop")
        assert (cut.size, cut.interpolation) == (trained, interpolation)
        assert cut.scale == ((0.05, 1) if "mobilenet_v1" in name else (0.08, 1))
    else:
        assert words.pop("Crop").size == crop
    assert words.pop("Hflip").p == 0.5
    erasing = words.pop("RandomErasing", None)
    assert (erasing.p if erasing else 0) == erased
    if erasing:
        bounds = (0.02, 1 / 3, 0.3, 10 / 3, "pixel") if policy == TIMM_9 else (0.02, 0.33, 0.3, 3.3, "zero")
        assert (*erasing.scale, *erasing.ratio, erasing.value) == pytest.approx(bounds)
    assert tuple(words.values()) == (recipe_of(f"augment = {policy}").augment if policy else ())
    assert [(type(m).__name__, m.alpha, m.p, m.per) for m in found.mix] == [
        (n, a, 1.0, "batch") for n, a in zip(("Mixup", "Cutmix"), mixed, strict=False)
    ]
    assert found.repeat == copies


def test_all_recipes_with_folders_of_images_are_in_this_test() -> None:
    assert set(IMAGES) == {n for n in NAMES if isinstance(recipe(n).data, ImageFolder)}


def test_efficientnet_v2_grows_as_in_its_table() -> None:
    """Table 6, S: 128 to 300 pixels, RandAugment 5 to 15, dropout 0.1 to 0.3, no mixup; four stages."""
    word: Any = recipe("efficientnet_v2:ImageNet350").progressive
    assert (word.stages, word.size, word.strength, word.dropout) == (4, (128, 300), (5, 15), (0.1, 0.3))
    assert not recipe("efficientnet_v2:ImageNet350").mix


def test_airbenchs_lookahead() -> None:
    """alpha_schedule = 0.95**5 * (step / steps)**3, every 5 steps, over the whole state dict."""
    word: Any = recipe("airbench:CIFAR10").lookahead
    assert (word.every, word.power, word.buffers) == (5, 3, True)
    assert 1 - word.alpha == pytest.approx(0.95**5)


TORCHVISION = {n for n in NAMES if ":Torchvision" in n}
CONVNEXT_V2 = {n for n in NAMES if n.startswith("convnext_v2")}
SWIN = {f"swin:Torchvision300{n}" for n in ("", "_S", "_B")}
STRIKES_BACK = {"resnet:A1", "resnet:A2", "resnet:A3"}


def having(predicate: Any) -> set[str]:
    return {n for n in NAMES if predicate(recipe(n))}


def test_decays_of_the_averages() -> None:
    """timm's, every step; TensorFlow's, which warms up; torchvision's, scaled, begun again, with buffers."""
    plain = {f"convnext:ImageNet300{n}": 0.9999 for n in ("", "_S", "_B", "_L")} | dict.fromkeys(CONVNEXT_V2, 0.9999)
    plain |= {"convnext:FineTune22k_XL": 0.9999, "vit:DeiT300": 0.99996}
    google = {"efficientnet:ImageNet350_B0", "efficientnet_v2:ImageNet350"}
    scaled = {n for n in TORCHVISION if n.partition(":")[0] in ("convnext", "efficientnet_v2", "swin", "vit")}
    scaled |= {"resnet:Torchvision600"}
    assert having(lambda r: r.ema is not None) == {*plain, *google, *scaled}
    for name in having(lambda r: r.ema is not None):
        word: Any = recipe(name).ema
        assert word.decay == (0.99998 if name in scaled else 0.9999 if name in google else plain[name])
        assert (word.every, word.scaled, word.warmup) == (32 if name in scaled else 1, name in scaled, name in google)
        assert (word.restart is not None) == (name in scaled)
        normed = name.partition(":")[0] in ("resnet", "efficientnet", "efficientnet_v2")  # batch norms have buffers
        assert (word.buffers == "average") == normed


def test_clipping() -> None:
    limits = {n: (type(c).__name__, c.limit) for n in NAMES if (c := recipe(n).clip) is not None}  # type: ignore[union-attr]
    assert limits == {
        "vit:Torchvision300": ("ClipNorm", 1), **dict.fromkeys(SWIN, ("ClipNorm", 5)),
        "mobilenet_v1:ImageNet100": ("ClipNorm", 2), "char_rnn:TinyShakespeare": ("ClipValue", 0.1),
    }  # fmt: skip


def test_when_lr_changes() -> None:
    """torchvision steps its schedulers after an epoch, as timm did for DeiT; all others count steps."""
    assert having(lambda r: r.schedule_unit == "epoch") == {*TORCHVISION, "vit:DeiT300"}


def test_half_precision() -> None:
    mixed = {
        *STRIKES_BACK,
        *CONVNEXT_V2,
        *SWIN,
        "vit:DeiT300",
        "vit:Torchvision300",
        "resnet9:DAWNBench",
        "airbench:CIFAR10",
    }
    assert having(lambda r: r.precision == "fp16") == mixed
    assert having(lambda r: r.precision == "tf32") == set(NAMES) - mixed


def test_losses() -> None:
    assert having(lambda r: type(r.loss).__name__ == "Bce") == STRIKES_BACK
    assert having(lambda r: r.loss.reduction == "sum") == {"resnet9:DAWNBench", "airbench:CIFAR10"}
    assert having(lambda r: getattr(r.loss, "threshold", None) is not None) == set()


def test_last_batches_that_are_left_out() -> None:
    """drop_last of the papers' loaders; torchvision's script keeps them."""
    assert having(lambda r: r.drop_last) == {
        *STRIKES_BACK, *CONVNEXT_V2, "vit:DeiT300", "resnet9:DAWNBench", "airbench:CIFAR10", "char_rnn:TinyShakespeare",
        *(n for n in NAMES if n.startswith("convnext:") and n not in TORCHVISION),
    }  # fmt: skip


def test_stochastic_depth_is_drawn_for_samples_but_in_the_first_paper() -> None:
    whole = having(lambda r: getattr(r.drop_path, "mode", "row") == "batch")
    assert whole == {"resnet_cifar:StochasticDepth"}
