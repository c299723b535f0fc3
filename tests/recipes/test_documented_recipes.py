"""The recipes that the documentation shows are trained as they stand there, on a few images."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from paths import ROOT
from photographs import write_photographs

from netdsl.cli.main import main

FOLDERS = re.compile(r'imagefolder\("(\w+)"')


def examples(*pages: str) -> list[tuple[str, str]]:
    """Every recipe of some pages: the spec and the recipe's name."""
    found = []
    for page in pages:
        for text in re.findall(r"^```net\n(.*?)^```", (ROOT / "docs" / page).read_text(), re.DOTALL | re.MULTILINE):
            found += [(text, name) for name in re.findall(r"^recipe (\w+)", text, re.MULTILINE)]
    return found


OF_IMAGES = examples("data.md", "recipes.md")
TASKS = examples("tasks.md")


SHORT = {"Quick": ["--set", "epochs=1"], "Pets": ["--set", "epochs=1", "--set", "progressive.size=[64, 96]"]}
"""What makes an example short enough for every run of the tests; the others are slow."""


@pytest.mark.parametrize(
    ("text", "name"),
    [pytest.param(*e, id=e[1], marks=[] if e[1] in SHORT else [pytest.mark.slow]) for e in OF_IMAGES],
)
def test_the_recipe_trains(text: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "example.net").write_text(text)
    assert main(["check", str(tmp_path / "example.net")]) == 0
    settings = SHORT.get(name, ["--set", "epochs=1"])
    if name != "Quick":  # the others read images, of as many classes as the reader's own
        settings = [*settings, "--set", "batch=2", "-p", "classes=2"]
        for folder in {"imagenet", *FOLDERS.findall(text)}:
            write_photographs(tmp_path / folder, ("cat", "dog"), 2, (270, 300, 3), suffix="jpg")
    run = tmp_path / "run"
    assert main(["train", f"{tmp_path}/example.net:{name}", *settings, "-q", "--no-onnx", "-o", str(run)]) == 0
    about = json.loads((run / "run.json").read_text())
    target = re.search(rf"^recipe {name} for (\w+)", text, re.MULTILINE)
    assert target is not None
    assert about["net"].startswith(target[1])
    assert about["result"]["n"] == (359 if name == "Quick" else 4)


def test_there_are_examples() -> None:
    assert {name for _, name in OF_IMAGES} >= {"Pets", "Quick", "ImageNet300", "Longer"}


def files(folder: Path) -> None:
    """What the recipes of tasks read."""
    generator = np.random.default_rng(0)
    rows = ["id,size,rooms,town,garden,price"]
    for i in range(100):
        town, garden = generator.choice(["Bonn", "Kiel", "Ulm"]), generator.choice(["yes", "no"])
        size, rooms = generator.normal(120, 30), generator.integers(1, 7)
        rows.append(
            f"{i},{size:.1f},{rooms},{town},{garden},{2000 * size + 15000 * rooms + 20000 * (town == 'Ulm'):.2f}"
        )
    (folder / "houses.csv").write_text("\n".join(rows) + "\n")
    (folder / "book.txt").write_text("Call me anything. Some years ago I went to sea. " * 40)
    words = generator.integers(0, 1000, (40, 12))
    np.savez(folder / "cells.npz", x=generator.integers(0, 256, (40, 3, 16, 16)).astype("uint8"), y=np.arange(40) % 4)
    np.savez(folder / "words.npz", x=words, y=np.where(words < 50, -1, words % 5))
    path = np.stack([np.arange(5), np.arange(1, 6)])  # of six atoms in a row; the molecules of one class are closed
    edges = [np.concatenate([path, [[5], [0]]], 1) if i % 2 else path for i in range(40)]
    np.savez(
        folder / "molecules.npz",
        features=generator.normal(size=(240, 7)).astype("float32"),
        sizes=np.full(40, 6),
        edges=np.concatenate([e + 6 * i for i, e in enumerate(edges)], 1),
        labels=np.arange(40) % 2,
    )
    np.savez(
        folder / "ppi.npz",
        features=generator.normal(size=(60, 50)).astype("float32"),
        sizes=np.full(6, 10),
        edges=generator.integers(0, 10, (2, 120)) + np.repeat(10 * np.arange(6), 20),
        labels=generator.integers(0, 2, (60, 121)),
    )
    for code in re.findall(
        r"^```python\n(.*?)^```", (ROOT / "docs" / "tasks.md").read_text(), re.DOTALL | re.MULTILINE
    ):
        with contextlib.chdir(folder):  # the page writes its own arrays
            exec(code, {})


@pytest.mark.parametrize(("text", "name"), [pytest.param(*e, id=e[1]) for e in TASKS])
def test_the_recipe_of_a_task_trains(text: str, name: str, tmp_path: Path) -> None:
    """What it reads lies beside the spec, as the page says."""
    (tmp_path / "example.net").write_text(text)
    files(tmp_path)
    if name == "Taught":
        teacher = ["--recipe", "none", "--set", "epochs=1", "-q", "-o", f"{tmp_path}/runs/Large"]
        assert main(["train", f"{tmp_path}/example.net:Large", *teacher]) == 0
    if name == "Linear":
        views = ["--set", "epochs=1", "-q", "--no-onnx", "-o", f"{tmp_path}/runs/Views"]
        assert main(["train", f"{tmp_path}/example.net:Contrast", *views]) == 0
    run = tmp_path / "run"
    options = ["--set", "epochs=1", "-q", "--no-onnx", "-o", str(run)]
    assert main(["train", f"{tmp_path}/example.net:{name}", *options]) == 0
    result = json.loads((run / "run.json").read_text())["result"]
    assert result["n"] > 0
