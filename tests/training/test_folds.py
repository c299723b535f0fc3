"""Cross-validation: parts as those of scikit-learn, runs for each, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from recipe_harness import recipe, resolved

from netdsl.cli.main import main
from netdsl.recipe.columns import Csv
from netdsl.training.data.dataset import DataSet, Split
from netdsl.training.data.fit import held_out
from netdsl.training.data.folds import fold_of, parts_of, validated
from netdsl.training.errors import DataError
from netdsl.training.readers.columns import read_columns
from netdsl.training.rng import permutation
from netdsl.training.splits import measure_splits

LABELS = torch.tensor([0] * 50 + [1] * 23 + [2] * 7)


@pytest.mark.parametrize("count", [2, 3, 5, 80])
def test_parts_have_all_samples_once_and_classes_evenly(count: int) -> None:
    part = parts_of(LABELS, 80, count, 0)
    sizes = torch.bincount(part, minlength=count)
    assert int(sizes.max() - sizes.min()) <= 1
    for c in range(3):  # as StratifiedKFold: each part has its share of a class, give or take one
        counts = torch.bincount(part[c == LABELS], minlength=count)
        assert int(counts.max() - counts.min()) <= 1
    assert torch.equal(part, parts_of(LABELS, 80, count, 0))
    assert count == 80 or not torch.equal(part, parts_of(LABELS, 80, count, 1))


@pytest.mark.parametrize("drawn", [False, True])
def test_each_part_is_tested_on_once(drawn: bool) -> None:
    rows = torch.arange(80.0)[:, None]
    train, test = Split((rows[:60],), LABELS[:60]), Split((rows[60:],), LABELS[60:])
    data = DataSet("d", train, test, classes=("a", "b", "c"), images=False, drawn=drawn)
    folds = [fold_of(data, 4, i, 0) for i in range(4)]
    tested = torch.cat([f.test.inputs[0][:, 0] for f in folds]).sort().values
    assert tested.tolist() == list(range(80 if drawn else 60))
    for fold in folds:
        both = torch.cat((fold.train.inputs[0], fold.test.inputs[0]))[:, 0].sort().values
        assert both.tolist() == tested.tolist()
        assert torch.equal(LABELS[fold.test.inputs[0][:, 0].long()], fold.test.target)
    with pytest.raises(DataError, match="`folds = 81` is more than the samples of `d`"):
        fold_of(data, 81, 0, 0)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=x, y=(x[:, 0] > 0).astype(np.int64))
    (tmp_path / "n.net").write_text("net N { input x [3]\n linear(8) -> relu -> linear(2) }\n")
    return tmp_path


def train(base: Path, *more: str) -> int:
    given = ["--data", f'npz("{base}/d.npz")', "--set", "epochs=2", "--set", "batch=16", *more]
    return main(["train", f"{base}/n.net", *given, "-q", "--no-onnx", "-o", str(base / "run")])


def test_runs_of_all_folds(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(base, "--set", "folds=3") == 0
    assert "all folds: loss " in capsys.readouterr().err
    results = [json.loads((base / "run" / f"fold-{i}" / "run.json").read_text())["result"] for i in (1, 2, 3)]
    assert [r["n"] for r in results] == [20, 20, 20]
    whole = json.loads((base / "run" / "run.json").read_text())["result"]
    scores = [r["top1"] for r in results]
    assert whole["n"] == 60
    assert whole["top1"] == pytest.approx(np.mean(scores))
    assert whole["deviation"]["top1"] == pytest.approx(np.std(scores, ddof=1))
    parts = measure_splits(base / "run", ["train"])["train"]
    each = [measure_splits(base / "run" / f"fold-{i}", ["train"])["train"] for i in (1, 2, 3)]
    assert [e["n"] for e in each] == [40, 40, 40]
    assert parts["n"] == 120
    assert parts["top1"] == pytest.approx(np.mean([e["top1"] for e in each]))
    for i in (1, 2, 3):  # what `eval` measures is the part that was left out
        assert main(["eval", str(base / "run" / f"fold-{i}"), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["loss"] == pytest.approx(results[i - 1]["loss"])


def test_folds_that_have_not_ended_are_continued(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(base, "--set", "folds=3") == 0
    whole = (base / "run" / "run.json").read_text()
    seen = (base / "run" / "fold-1" / "metrics.jsonl").stat().st_mtime_ns
    about = json.loads((base / "run" / "fold-3" / "run.json").read_text())
    (base / "run" / "fold-3" / "run.json").write_text(json.dumps(about | {"result": {}}))
    capsys.readouterr()
    assert main(["train", "--resume", str(base / "run"), "-q", "--no-onnx"]) == 0
    said = capsys.readouterr().err
    assert "fold 3 of 3" in said
    assert "fold 1 of 3" not in said
    assert (base / "run" / "fold-1" / "metrics.jsonl").stat().st_mtime_ns == seen
    ours, theirs = (json.loads(t)["result"] for t in (whole, (base / "run" / "run.json").read_text()))
    assert {n: v for n, v in ours.items() if n != "seconds"} == {n: v for n, v in theirs.items() if n != "seconds"}


def test_what_changes_on_resuming_changes_in_all_folds(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A mean over folds of several recipes would be that of none."""
    folder, resume = base / "run", ["train", "-q", "--no-onnx", "--resume"]
    assert train(base, "--set", "folds=2") == 0
    assert main([*resume, str(folder), "--set", "epochs=3"]) == 0
    of = [json.loads((p / "recipe.json").read_text())["epochs"] for p in (folder, folder / "fold-1", folder / "fold-2")]
    assert of == [3, 3, 3]
    assert main([*resume, str(folder / "fold-2"), "--set", "epochs=4"]) == 0
    capsys.readouterr()
    assert main([*resume, str(folder)]) == 1
    assert f"`netdsl train --resume {folder} --set ...`" in capsys.readouterr().err


def test_more_folds_than_samples(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(base, "--set", "folds=61") == 1
    assert not (base / "run").exists()  # another try finds the folder free
    assert train(base, "--set", "folds=61") == 1
    assert "`folds = 61` is more than the samples of" in capsys.readouterr().err


def test_a_cross_validation_that_cannot_begin_leaves_nothing(tmp_path: Path) -> None:
    """Not even the files that its spec imports: the same command can be tried again."""
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "body.net").write_text("block Body() = relu -> linear(4)\n")
    np.savez(tmp_path / "d.npz", x=np.zeros((8, 4), np.float32), y=np.arange(8) % 2)
    net = "net N {\n  input x [4]\n  Body()\n  linear(2)\n}\n"
    recipe = 'recipe R for N {\n  data = npz("d.npz")\n  epochs = 1\n  folds = 3\n  init = pretrained("gone")\n}\n'
    (tmp_path / "n.net").write_text("from parts.body import Body\n\n" + net + recipe)
    for _ in range(2):
        assert main(["train", f"{tmp_path}/n.net", "-q", "-o", str(tmp_path / "run")]) != 0
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("fields", "code"),
    [("folds = 1", "bad-value"), ('folds = 3\ndata = graph("g.npz")', "not-supported"), ("kfold = 3", "unknown-field")],
)
def test_recipes_that_mean_nothing(fields: str, code: str) -> None:
    assert code in [d.code for d in resolved("recipe Test {\n" + fields + "\n}")[1]]


TABLE = """net T(levels={levels}) {{
  input numbers [1]
  input categories [2] int64
  {body}
}}
recipe R for T {{
  data   = csv("t.csv", target="y")
  epochs = 1
  batch  = 8
  folds  = 3
}}
"""
SHARED = "concat(numbers, categories -> embed(levels, 2) -> flatten) -> linear(2)"


def table(base: Path, often: int = 30) -> list[list[str]]:
    """A column with missing numbers, and a category one of whose values is in one of `often` rows."""
    rows = [[str(i * i) if i % 5 else "", "abc"[i % 3], "u" if i % often else "once", "yn"[i % 2]] for i in range(30)]
    lines = ["size,town,kind,y", *map(",".join, rows)]
    (base / "t.csv").write_text("\n".join(lines) + "\n")
    (base / "t.net").write_text(TABLE.format(levels=7, body=SHARED))
    return rows


def test_columns_of_a_fold_are_those_of_its_training_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = table(tmp_path)
    run = tmp_path / "run"
    assert main(["train", f"{tmp_path}/t.net:R", "-q", "--no-onnx", "-o", str(run)]) == 0
    assert main(["eval", str(run / "fold-1"), "--json"]) == 0
    about = [json.loads((run / f"fold-{i}" / "run.json").read_text()) for i in (1, 2, 3)]
    assert json.loads(capsys.readouterr().out)["loss"] == pytest.approx(about[0]["result"]["loss"], rel=1e-6)
    order = permutation(0, 30)  # the rows to train on, then those that the reader holds out
    whole = torch.cat((order[6:].sort().values, order[:6].sort().values))
    part = parts_of(torch.tensor(["ny".index(rows[i][3]) for i in whole.tolist()]), 30, 3, 0)
    fills, unseen = [], []
    for number in range(3):
        own = [rows[i] for i in whole[part != number].tolist()]
        fills.append(np.mean([float(row[0]) for row in own if row[0]]))
        unseen.append(["once"] if not any(row[2] == "once" for row in own) else [])
    found = [{c["name"]: c for c in a["columns"]} for a in about]
    assert [f["size"]["fill"] for f in found] == pytest.approx(fills, rel=1e-6)
    assert len({round(f, 3) for f in fills}) == 3
    assert [f["kind"]["unseen"] for f in found] == unseen
    assert sum(map(len, unseen)) == 1
    assert all(f["kind"]["values"] == ["once", "u"] for f in found)  # the net takes as many in every fold


@pytest.mark.parametrize(
    ("body", "needed"),
    [
        (SHARED.replace("categories", "categories -> narrow(1, 1)"), 7),
        ("concat(numbers, categories -> take(1) -> unsqueeze -> embed(levels, 2) -> flatten) -> linear(2)", 7),
        (SHARED.replace("categories", "categories -> narrow(0, 1)"), 4),
        (SHARED, 7),
    ],
)
def test_an_embedding_of_some_columns_has_vectors_for_their_values(
    tmp_path: Path, body: str, needed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """`town` has 3 values and `kind` 2, each with one for what is missing."""
    table(tmp_path, 2)
    for levels, code in ((needed - 1, 1), (needed, 0)):
        (tmp_path / "t.net").write_text(
            TABLE.format(levels=levels, body=body.replace("unsqueeze", "unsqueeze(axis=0)"))
        )
        run = tmp_path / f"run{levels}"
        assert main(["train", f"{tmp_path}/t.net:R", "-q", "--no-onnx", "--set", "folds=none", "-o", str(run)]) == code
        assert code == 0 or f"has {needed} values" in capsys.readouterr().err


@pytest.mark.parametrize(("fold", "test"), [(None, ""), (None, "other.csv"), (1, "")])
def test_columns_are_those_of_rows_that_are_trained_on_and_not_validated(
    tmp_path: Path, fold: int | None, test: str
) -> None:
    rng = np.random.default_rng(0)
    for name, rows in (("t.csv", 60), ("other.csv", 9)):
        sizes = [f"{size:.3f}" if i % 4 else "" for i, size in enumerate(rng.normal(size=rows))]
        lines = [f"{size},k{i % 50},{i % 2}" for i, size in enumerate(sizes)]
        (tmp_path / name).write_text("\n".join(["size,kind,y", *lines]))
    chosen = recipe("validation = 0.25\nfolds = 3")
    data = validated(read_columns(Csv(file="t.csv", target="y", test=test), tmp_path), chosen, fold)
    train, held = held_out(data, 0.25, chosen.seed)
    size, kind = data.columns
    known = {*train.inputs[1][:, 0].tolist()}
    filled = train.inputs[0][:, 0] == np.float32(size.fill)
    assert float(train.inputs[0][~filled].double().mean()) == pytest.approx(size.fill, rel=1e-6)
    assert 0 not in known  # a value that is trained on has a number of its own
    assert len(kind.values) - len(kind.unseen) == len(known)
    for split in (held, data.test):
        assert {*split.inputs[1][:, 0].tolist()} <= {0, *known}
        assert bool((split.inputs[0][:, 0] == np.float32(size.fill)).any())
