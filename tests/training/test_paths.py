"""Paths of data and weights: those typed are looked for where one types, those of a spec beside it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from paths import ROOT

from netdsl.cli.main import main
from netdsl.recipe.augmentations import Hflip, PixMix
from netdsl.recipe.inits import Weights
from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import Hub, Parquet
from netdsl.recipe.typed_paths import from_here

SPEC = """\
net Small(classes=2) {
  input x [4]
  linear(classes)
}

recipe Own for Small {
  data   = npz("own.npz")
  epochs = 1
  batch  = 8
}
"""


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder `specs` with a spec and its data; we stand beside it, where `mine.npz` is."""
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "small.net").write_text(SPEC)
    generator = np.random.default_rng(0)
    for path in (tmp_path / "specs" / "own.npz", tmp_path / "mine.npz"):
        np.savez(path, x=generator.normal(size=(40, 4)).astype(np.float32), y=np.arange(40) % 2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(*arguments: str, spec: str = "specs/small.net", folder: str = "run") -> int:
    return main(["train", spec, "-q", "--no-onnx", "-o", folder, *arguments])


@pytest.mark.parametrize(
    "arguments",
    [[], ["--data", 'npz("mine.npz")'], ["--set", 'data.path="mine.npz"'], ["--set", 'data=npz("mine.npz")']],
)
def test_each_is_found(arguments: list[str], places: Path) -> None:
    assert train(*arguments) == 0


def test_the_other_place_is_not_searched(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--data", 'npz("own.npz")') == 1
    said = capsys.readouterr().err
    assert f"there is no file {places / 'own.npz'}" in said
    assert "--data 'npz(" in said


def test_a_run_goes_on_from_anywhere(
    places: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--data", 'npz("mine.npz")') == 0
    monkeypatch.chdir(places / "specs")
    assert main(["train", "--resume", "../run", "--set", "epochs=2", "-q", "--no-onnx"]) == 0
    assert main(["eval", "../run"]) == 0


def test_weights_that_are_typed_too(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train() == 0
    assert train("--set", 'init=weights("run")', folder="second") == 0
    assert train("--set", 'init=weights("nowhere")', folder="third") == 2
    said = capsys.readouterr().err
    assert f"there are no weights {places / 'nowhere'}" in said
    assert "--set init=none" in said


@pytest.mark.parametrize("text", ["mine", "mine.npz", "data/mine", "../mine.npz"])
def test_a_text_without_quotes_is_explained(text: str, places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--set", f"data.path={text}") == 1
    said = capsys.readouterr().err
    assert """`--set 'data.path="..."'`""" in said
    assert "quotes" in said


def test_a_missing_folder_of_images_says_how_to_go_on(places: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = ROOT
    assert train(spec=str(root / "specs" / "mobilenet_v2.net")) == 1
    said = capsys.readouterr().err
    assert "--data synthetic" in said
    assert "data.folder=" in said


def test_a_run_reads_what_was_typed_and_nothing_else(places: Path) -> None:
    """Every argument of every word of data, inits and augmentations that names files, as `recipe.json` keeps it."""
    data = Parquet(files="a/*.parquet", test="b.parquet")
    recipe = Recipe(data=data, init=(Weights("w"),), augment=(Hflip(), PixMix(folder="m")))
    here = from_here(recipe, ["data", "init", "augment"])
    assert (here.data.files, here.data.test) == (str(places / "a/*.parquet"), str(places / "b.parquet"))  # type: ignore[union-attr]
    assert here.init[0].path == str(places / "w")  # type: ignore[union-attr]
    assert here.augment == (Hflip(), PixMix(folder=str(places / "m")))
    assert from_here(recipe, ["epochs"]) == recipe
    assert from_here(recipe, ["data.test"]).data == replace(data, test=str(places / "b.parquet"))
    assert from_here(Recipe(data=Hub("user/name")), ["data"]).data == Hub("user/name")
    (places / "user" / "name").mkdir(parents=True)
    assert from_here(Recipe(data=Hub("user/name")), ["data"]).data == Hub(str(places / "user/name"))
