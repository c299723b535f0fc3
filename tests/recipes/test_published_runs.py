"""Published recipes run: augmentation, mixing, stochastic depth, groups, averages and loss together, on small nets."""

from __future__ import annotations

import json
import math
import re
import string
from pathlib import Path
from typing import Any

import pytest
from published import NAMES, recipe
from safetensors.torch import load_file
from zoo_tables import ROOT, spec, specs

from netdsl.cli.main import main

IMAGES = ["--data", "synthetic(16, 8)", "--set", "batch=8", "-p", "classes=5"]
CIFAR = ["--data", "synthetic(16, 8)", "--set", "batch=8"]
SMALL_CONVNEXT = ["-p", "depths=[1, 1, 4, 1]", "-p", "widths=[8, 16, 24, 32]"]
SMALL_RESNET = ["-p", "depths=[1, 1, 1, 1]"]
FEW = ["--data", "synthetic(8, 4)", "--set", "batch=4", "-p", "classes=5"]
SMALL_VIT = ["-p", "dim=16", "-p", "depth=2", "-p", "heads=2"]
SMALL_SWIN = ["-p", "dim=8", "-p", "depths=[1, 1, 2, 1]", "-p", "heads=[1, 1, 2, 2]"]
NO_WEIGHTS = ["--set", "init=trunc_normal(0.02) -> head_scale(0.001)"]
TEXT = ["--data", 'text("text.txt", length=50, test=0.1)', "-p", "characters=27"]

RUNS: dict[str, list[str]] = {
    "convnext:ImageNet300": SMALL_CONVNEXT + IMAGES,
    **{f"convnext:ImageNet300_{n}": SMALL_CONVNEXT + IMAGES for n in "SBL"},
    **{f"convnext:FineTune22k{n}": SMALL_CONVNEXT + IMAGES + NO_WEIGHTS for n in ("", "_S", "_B", "_L", "_XL")},
    "convnext:FineTune384_B": SMALL_CONVNEXT + IMAGES + NO_WEIGHTS,
    "convnext:FineTune384_L": SMALL_CONVNEXT + IMAGES + NO_WEIGHTS,
    "convnext:Torchvision600": SMALL_CONVNEXT + IMAGES,
    "convnext_v2:FineTune_B": SMALL_CONVNEXT + IMAGES + NO_WEIGHTS,
    "convnext_v2:FineTune_T": SMALL_CONVNEXT + IMAGES + NO_WEIGHTS,
    "convnext_v2:FineTune_A": SMALL_CONVNEXT + IMAGES + NO_WEIGHTS,
    "resnet:Torchvision90": SMALL_RESNET + FEW,
    "resnet:Torchvision600": SMALL_RESNET + FEW,
    "resnet:A1": SMALL_RESNET + FEW,
    "resnet:A2": SMALL_RESNET + FEW,
    "resnet:A3": SMALL_RESNET + FEW,
    "resnet_v1:ImageNet600k": SMALL_RESNET + IMAGES + ["--set", "validation=0.25"],
    "resnet_cifar:CIFAR10": CIFAR,
    "resnet_cifar:CIFAR10_110": ["-p", "depth=14", *CIFAR],
    "resnet_cifar:StochasticDepth": ["-p", "depth=14", *CIFAR],
    "resnet9:DAWNBench": CIFAR,
    "airbench:CIFAR10": ["-p", "widths=[8, 8, 8]", *CIFAR],
    "wide_resnet:AdamW": ["-p", "repeats=1", "-p", "width=8", *CIFAR],
    "vit:DeiT300": SMALL_VIT + IMAGES,
    "vit:Torchvision300": SMALL_VIT + IMAGES,
    **{f"swin:Torchvision300{n}": SMALL_SWIN + IMAGES for n in ("", "_S", "_B")},
    "mobilenet_v1:ImageNet100": ["-p", "alpha=0.25", *IMAGES],
    "mobilenet_v2:Torchvision300": IMAGES,
    "mobilenet_v3:Torchvision600": IMAGES,
    "efficientnet:ImageNet350_B0": IMAGES,
    "efficientnet_v2:ImageNet350": IMAGES,
    "efficientnet_v2:Torchvision600": IMAGES,
    "alexnet:ImageNet90": IMAGES,
    "alexnet:Torchvision90": IMAGES,
    "vgg:ImageNet74": ["-p", "depths=[1, 1, 1, 1, 1]", *IMAGES],
    "vgg:Torchvision90": ["-p", "depths=[1, 1, 1, 1, 1]", *IMAGES],
    "vgg:Torchvision90_BN": ["-p", "depths=[1, 1, 1, 1, 1]", *IMAGES],
    "unet:Cells": ["-p", "width=2", "--data", "clutter(4, 2, 220)"],
    "char_rnn:TinyShakespeare": TEXT,
}
QUICK = {
    "convnext:ImageNet300", "convnext:FineTune22k", "convnext:Torchvision600", "convnext_v2:FineTune_B", "resnet:A1",
    "vit:DeiT300", "vit:Torchvision300", "swin:Torchvision300", "mobilenet_v1:ImageNet100",
    "mobilenet_v3:Torchvision600", "resnet_cifar:CIFAR10", "resnet_cifar:CIFAR10_110",
    "resnet_cifar:StochasticDepth", "resnet9:DAWNBench", "airbench:CIFAR10", "wide_resnet:AdamW",
    "char_rnn:TinyShakespeare",
}  # fmt: skip


def cases() -> list[Any]:
    return [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in RUNS]


def train(name: str, folder: Path, *arguments: str) -> dict[str, Any]:
    """A run of one epoch; what its metrics say at the end."""
    command = ["train", str(ROOT / "specs" / name.replace(":", ".net:")), "--set", "epochs=1", "--no-onnx", "-q"]
    assert main([*command, "-o", str(folder), *arguments]) == 0
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return next(line for line in reversed(lines) if line["kind"] == "evaluation")


@pytest.mark.parametrize("name", cases())
def test_a_published_recipe_runs_for_an_epoch(name: str, tmp_path: Path) -> None:
    arguments = RUNS[name]
    if arguments is TEXT:
        (tmp_path / "text.txt").write_text((string.ascii_lowercase + " ") * 60)
        path = str(tmp_path / "text.txt")
        arguments = [a.replace("text.txt", path) for a in arguments]
    found = train(name, tmp_path / "run", *arguments)
    assert math.isfinite(found["loss"])
    assert ("raw" in found) == (recipe(name).ema is not None)


@pytest.mark.parametrize("path", specs(), ids=lambda p: p.stem)
def test_every_recipe_of_every_spec_prints_its_plan(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = spec(path.stem).module
    for name in module.recipes:
        assert main(["recipe", f"{path}:{name}", "--samples", "50000"]) == 0
        said = capsys.readouterr()
        assert said.out.splitlines()[0].endswith(f" by {name}")
        assert re.search(r"^length +[\d,]+ steps of ", said.out, re.MULTILINE)
        assert "group" in said.out
        assert not said.err  # a shipped recipe gives no warnings


def test_half_precision_is_for_gpus(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """On a CPU fp16 would be many times slower: it is computed in fp32, to the last digit, and says so."""
    seen = []
    for precision in ("fp16", "fp32"):
        folder = tmp_path / precision
        arguments = [
            "-p",
            "widths=[8, 8, 8]",
            *CIFAR,
            "--set",
            f"precision={precision}",
            "--device",
            "cpu",
            "--no-onnx",
        ]
        path = str(ROOT / "specs" / "airbench.net:CIFAR10")
        assert main(["train", path, "--set", "epochs=1", "-o", str(folder), *arguments]) == 0
        seen.append(((folder / "metrics.jsonl").read_text(), "computed in fp32 here" in capsys.readouterr().err))
    assert seen[0][0] == seen[1][0]
    assert [said for _, said in seen] == [True, False]


def test_every_published_recipe_is_tried() -> None:
    assert set(RUNS) == set(NAMES)


def test_fine_tuning_starts_from_a_run_with_other_classes(tmp_path: Path) -> None:
    """What fits is loaded, the head is initialized and starts at almost nothing."""
    small = ["-p", "depths=[1, 1, 1, 1]", "-p", "widths=[8, 16, 24, 32]", *IMAGES[:-1]]
    train("convnext:ImageNet300", tmp_path / "first", *small, "classes=7", "--set", "optimizer.lr=1e-2")
    before = load_file(tmp_path / "first" / "model.safetensors")
    weights = f'init=trunc_normal(std=0.02) -> head_scale(0.001) -> weights("{tmp_path / "first"}", strict=false)'
    still = ["--set", weights, "--set", "optimizer.lr=1e-12", "--set", "schedule=constant"]
    train("convnext:FineTune22k", tmp_path / "second", *small, "classes=5", *still)
    after = load_file(tmp_path / "second" / "model.safetensors")
    for name, tensor in before.items():
        if tensor.shape == after[name].shape:
            assert float((tensor - after[name]).abs().max()) < 1e-6, name
    assert float(after["head.2.weight"].abs().max()) < 2e-4
