"""How samples are divided: groups beside scikit-learn's splitters, and the order of time."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recipe_harness import resolved
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold, TimeSeriesSplit

from netdsl.cli.main import main
from netdsl.recipe.columns import Csv
from netdsl.recipe.sources import Npz
from netdsl.training.data.dataset import DataSet, Split
from netdsl.training.data.division import held_rows, parts_in_time, parts_of
from netdsl.training.data.folds import fold_of
from netdsl.training.errors import DataError
from netdsl.training.python_data import as_data_set
from netdsl.training.readers import read
from netdsl.training.readers.columns import read_columns


def patients(seed: int, count: int = 400, groups: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """Classes that depend on the group, and groups of uneven sizes."""
    rng = np.random.default_rng(seed)
    of = rng.choice(groups, count, p=rng.dirichlet(np.ones(groups)))
    chance = rng.dirichlet(np.ones(3) / 2, groups)
    return torch.tensor([rng.choice(3, p=chance[g]) for g in of]), torch.from_numpy(of * 7 + 3)


def spread(part: np.ndarray, classes: np.ndarray, count: int) -> float:
    """The mean over classes of the deviation of each part's share."""
    table = np.stack([np.bincount(classes[part == i], minlength=3) for i in range(count)])
    return float((table / table.sum(0)).std(0).mean())


@pytest.mark.parametrize("seed", range(6))
def test_stratified_groups_are_as_even_as_scikit_learns(seed: int) -> None:
    classes, groups = patients(seed)
    y, g = classes.numpy(), groups.numpy()
    for count in (2, 5):
        ours = parts_of(classes, len(y), count, seed, groups).numpy()
        assert all(len(set(ours[g == one])) == 1 for one in set(g))
        assert set(ours) == set(range(count))
        theirs = np.empty(len(y), np.int64)
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for i, (_, test) in enumerate(splitter.split(y, y, g)):
                theirs[test] = i
        assert spread(ours, y, count) <= spread(theirs, y, count) + 0.02
        sizes = np.bincount(parts_of(None, len(y), count, seed, groups).numpy())
        known = [len(test) for _, test in GroupKFold(count).split(y, y, g)]
        assert sorted(sizes) == sorted(known)


@pytest.mark.parametrize(("samples", "count"), [(20, 3), (23, 5), (6, 5), (100, 4)])
def test_folds_in_time_are_scikit_learns(samples: int, count: int) -> None:
    part = parts_in_time(samples, count).numpy()
    for i, (train, test) in enumerate(TimeSeriesSplit(count).split(np.arange(samples))):
        assert np.flatnonzero(part <= i).tolist() == train.tolist()
        assert np.flatnonzero(part == i + 1).tolist() == test.tolist()


def test_what_is_held_out() -> None:
    _, groups = patients(0)
    left, held = held_rows(400, 80, 3, groups, False)
    assert not set(groups[left].tolist()) & set(groups[held].tolist())
    assert sorted([*left.tolist(), *held.tolist()]) == list(range(400))
    assert abs(len(held) - 80) <= int(groups.bincount().max())
    assert held_rows(400, 80, 3, groups, False)[1].tolist() == held.tolist()
    assert held_rows(10, 3, 0, None, True)[1].tolist() == [7, 8, 9]
    for count in (1, 399):  # a group stays on either side
        assert all(map(len, held_rows(400, count, 0, torch.tensor([0] * 399 + [1]), False)))
    with pytest.raises(DataError, match="all samples are of one group"):
        held_rows(4, 1, 0, torch.zeros(4), False)


def table(path: Path, count: int = 60, **more: Any) -> DataSet:
    lines = [f"{i},p{i % 12},{(i % 12) % 2}" for i in range(count)]
    (path / "t.csv").write_text("\n".join(["x,patient,sick", *lines]) + "\n")
    return read_columns(Csv(file="t.csv", target="sick", **more), path)


def test_a_tables_groups_are_no_input_and_never_divided(tmp_path: Path) -> None:
    data = table(tmp_path, group="patient")
    assert [c.name for c in data.columns] == ["x"]
    for _ in range(2):  # `validation` divides the training split again
        train, held = data.train.parted(10, 1)
        for part, other in ((data.train, data.test), (train, held)):
            ours, theirs = ({int(x) % 12 for x in s.inputs[0][:, 0]} for s in (part, other))
            assert ours
            assert theirs
            assert not ours & theirs
    seen = [{int(x) % 12 for x in fold_of(data, 4, i, 0).test.inputs[0][:, 0]} for i in range(4)]
    assert sorted(p for part in seen for p in part) == list(range(12))
    with pytest.raises(DataError, match=r"`folds = 13` is more than the groups of `t\.csv`: 12"):
        fold_of(data, 13, 0, 0)


def test_a_table_in_time_is_tested_on_its_end(tmp_path: Path) -> None:
    data = table(tmp_path, ordered=True, hold_out=0.25)
    assert data.test.inputs[0][:, 0].tolist() == list(range(45, 60))
    fold = fold_of(data, 4, 1, 0)
    assert fold.train.inputs[0][:, 0].tolist() == list(range(24))
    assert fold.test.inputs[0][:, 0].tolist() == list(range(24, 36))
    assert fold.train.parted(4, 0)[1].inputs[0][:, 0].tolist() == [20, 21, 22, 23]


def test_groups_on_both_sides_are_said(tmp_path: Path) -> None:
    table(tmp_path, 10)
    (tmp_path / "t.csv").rename(tmp_path / "other.csv")
    assert table(tmp_path, group="patient", test="other.csv").notes[-1] == (
        "of the groups that are trained on, 10 are tested on too"
    )


def test_groups_from_python() -> None:
    x, y, groups = np.arange(40.0)[:, None], np.arange(40) % 2, [f"p{i // 4}" for i in range(40)]
    data = as_data_set((x, y), group=groups)
    trained, tested = ({int(v) // 4 for v in s.inputs[0][:, 0]} for s in (data.train, data.test))
    assert not trained & tested
    assert as_data_set((x, y), ordered=True).test.inputs[0][:, 0].tolist() == list(range(32, 40))
    with pytest.raises(DataError, match=r"`group` is \[39\], and there are 40 samples"):
        as_data_set((x, y), group=groups[1:])
    with pytest.raises(DataError, match="both say how samples are divided"):
        as_data_set((x, y), group=groups, ordered=True)


def test_a_cross_validation_by_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "n.net").write_text("net N { input x [2]\n linear(2) }\n")
    groups = np.arange(30) // 5
    np.savez(tmp_path / "d.npz", x=np.random.default_rng(0).normal(size=(30, 2)), y=np.arange(30) % 2, of=groups)
    given = ["--data", f'npz("{tmp_path}/d.npz", group="of")', "--set", "folds=3", "--set", "epochs=1", "-q"]
    assert main(["train", f"{tmp_path}/n.net", *given, "--no-onnx", "-o", str(tmp_path / "run")]) == 0
    counts = [json.loads((tmp_path / f"run/fold-{i}/run.json").read_text())["result"]["n"] for i in (1, 2, 3)]
    assert counts == [10, 10, 10]


def test_folds_of_a_split_without_groups_are_as_before() -> None:
    data = DataSet("d", Split((torch.arange(20.0)[:, None],), torch.arange(20) % 2), Split((), torch.zeros(0)))
    assert len(fold_of(data, 4, 0, 0).test) == 5


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ('csv("t.csv", target="y", group="p", ordered=true)', "conflicting-fields"),
        ('csv("t.csv", target="y", group="y")', "conflicting-fields"),
        ('npz("t.npz", group="p", ordered=true)', "conflicting-fields"),
    ],
)
def test_recipes_that_divide_twice(source: str, code: str) -> None:
    assert code in [d.code for d in resolved(f"recipe Test {{\ndata = {source}\n}}")[1]]


@pytest.mark.parametrize("missing", [np.nan, ""])
def test_a_sample_without_a_group_is_refused(tmp_path: Path, missing: object) -> None:
    """All such samples would be one group."""
    groups = np.array([1, 2, missing, 3, missing, 4])
    np.savez(tmp_path / "a.npz", x=np.ones((6, 2)), y=np.arange(6) % 2, group=groups)
    with pytest.raises(DataError, match=r"row 2 of .*a\.npz has no `group`, by which rows belong together"):
        read(Npz(path="a.npz", group="group"), tmp_path, (2,), 2)
