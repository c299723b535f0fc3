"""Groups of what lies in files: images, their masks and graphs are held out and divided by what they belong to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from recipe_harness import recipe
from sklearn.model_selection import StratifiedGroupKFold

from netdsl.cli.main import main
from netdsl.training.data.dataset import DataSet
from netdsl.training.data.fit import held_out
from netdsl.training.data.folds import fold_of
from netdsl.training.errors import DataError
from netdsl.training.readers import read

PATIENTS = 12


def scans(base: Path, below: str) -> Path:
    """Images of two classes of some patients, each with scans of both: the grey value of an image is its patient."""
    random = np.random.default_rng(0)
    for split, patients in (("train", range(PATIENTS)), ("val", range(PATIENTS - 1, PATIENTS + 3))):
        for patient in patients:
            for label in ("healthy", "ill"):
                for scan in range(int(random.integers(1, 4))):
                    file = base / split / label / below.format(f"p{patient}", scan)
                    file.parent.mkdir(parents=True, exist_ok=True)
                    Image.new("L", (8, 8), patient).save(file)
    return base


def masks(base: Path, below: str) -> Path:
    """The same for masks."""
    for split, patients in (("train", range(PATIENTS)), ("val", range(PATIENTS - 1, PATIENTS + 3))):
        for patient in patients:
            for scan in range(1 + patient % 3):
                for kind, value in (("images", patient), ("masks", scan % 2)):
                    file = base / split / kind / below.format(f"p{patient}", scan)
                    file.parent.mkdir(parents=True, exist_ok=True)
                    Image.new("L", (8, 8), value).save(file)
    return base


def graphs(base: Path) -> Path:
    """Graphs of one node, whose feature is the patient."""
    random = np.random.default_rng(1)
    patient = random.integers(0, PATIENTS, 60)
    base.mkdir()
    np.savez(
        base / "g.npz", features=patient[:, None], edges=np.zeros((2, 0), int), sizes=np.ones(60, int),
        labels=random.integers(0, 2, 60), patient=[f"p{p}" for p in patient],
    )  # fmt: skip
    return base


SOURCES = {
    "names": (lambda base: scans(base, "{}_left_{}.png"), 'imagefolder(".", group="{}_*")'),
    "folders": (lambda base: scans(base, "{}/scan{}.png"), 'imagefolder(".", group="{}/*")'),
    "masks": (lambda base: masks(base, "{}-{}.png"), 'maskfolder(".", group="{}-*")'),
    "graphs": (graphs, 'graphs("g.npz", group="patient", test=0.3)'),
}


def data_of(kind: str, base: Path, written: str | None = None) -> DataSet:
    make, source = SOURCES[kind]
    make(base)
    return read(recipe(f"data = {written or source}").data, base, (0, 1) if kind == "graphs" else (1, 8, 8), 2)


def patients(split: Any) -> np.ndarray:
    """The patient of each sample, by what it shows."""
    index = np.arange(len(split))
    (first, *_), _ = split.take(torch.from_numpy(index))
    values = first[0, :, 0] if first.ndim == 3 else first[:, 0, 0, 0] * 255
    return values.round().long().numpy()


@pytest.mark.parametrize("kind", SOURCES)
def test_none_is_divided(tmp_path: Path, kind: str) -> None:
    """Neither by `validation` nor by folds, which have all samples once."""
    data = data_of(kind, tmp_path / "data")
    train, held = held_out(data, 0.3, 0)
    assert len(train)
    assert len(held)
    assert not set(patients(train)) & set(patients(held))
    counts = []
    for number in range(4):
        fold = fold_of(data, 4, number, seed=1)
        assert not set(patients(fold.train)) & set(patients(fold.test))
        counts.append(patients(fold.test))
    whole = patients(data.train) if kind != "graphs" else np.concatenate([patients(s) for s in (data.train, data.test)])
    np.testing.assert_array_equal(np.sort(np.concatenate(counts)), np.sort(whole))
    if kind == "graphs":
        assert not set(patients(data.train)) & set(patients(data.test))
    else:
        assert data.notes == ("of the groups that are trained on, 1 are tested on too",)


def test_folds_are_as_even_as_scikit_learns(tmp_path: Path) -> None:
    data = data_of("names", tmp_path / "data")
    y, g = data.train.target.numpy(), patients(data.train)
    theirs = [y[test] for _, test in StratifiedGroupKFold(3).split(y, y, g)]
    ours = [fold_of(data, 3, number, seed=0).test.target.numpy() for number in range(3)]
    spread = [
        np.std([np.bincount(part, minlength=2) / np.bincount(y) for part in parts], 0) for parts in (ours, theirs)
    ]
    assert spread[0].mean() <= spread[1].mean() + 0.02


def test_a_name_that_does_not_fit_is_said(tmp_path: Path) -> None:
    scans(tmp_path / "data", "{}_{}.png")
    Image.new("L", (8, 8)).save(tmp_path / "data/train/ill/odd.png")
    written = recipe('data = imagefolder("data", group="{}_*")').data
    with pytest.raises(DataError, match=re.escape('its name, `odd.png`, does not fit `group="{}_*"`')):
        read(written, tmp_path, (1, 8, 8), 2)


def test_an_array_of_other_groups_is_said(tmp_path: Path) -> None:
    for written, said in (('group="batch"', "no array `batch`"), ('group="features"', r"`features` is \[60, 1\]")):
        with pytest.raises(DataError, match=said):
            data_of("graphs", tmp_path / said[:8].strip("`"), f'graphs("g.npz", {written})')


@pytest.mark.parametrize("pattern", ["patient", "{}_{}", "*"])
def test_a_pattern_without_a_place_for_the_group_is_said(
    tmp_path: Path, pattern: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "net N { input image [1, 8, 8]\n flatten -> linear(2) }\n"
    text += f'recipe R for N {{ data = imagefolder("d", group="{pattern}") }}\n'
    (tmp_path / "n.net").write_text(text)
    assert main(["check", str(tmp_path / "n.net")]) == 1
    assert "says nothing of what an image belongs to" in capsys.readouterr().out
