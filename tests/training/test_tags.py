"""A class for each place of a sequence: what is taken for it, what counts, and using the net."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from recipe_harness import recipe

import netdsl
from netdsl.cli.main import main
from netdsl.training.data.dataset import DataSet, Split
from netdsl.training.data.labels import as_tags
from netdsl.training.errors import TrainingError

NET = "net Tagger {\n  input words [L] int64\n  embed(9, 8) -> linear(3)\n}\n"


def data(target: object, loss: str = "cross_entropy", shape: tuple[int | str, ...] = ("L", 3)) -> DataSet:
    split = Split((torch.zeros(2, 4, dtype=torch.int64),), torch.tensor(target, dtype=torch.float32))
    found = DataSet("d", split, split, task="numbers", images=False)
    return as_tags(found, recipe(f"loss = {loss}"), shape)


def test_whole_numbers_are_classes_of_places_where_the_net_gives_such() -> None:
    tags = [[0, 1, -1, 1], [1, 0, 0, 0]]
    assert data(tags).task == "tags"
    assert data(tags).train.target.dtype == torch.int64
    assert data(tags).classes == ("0", "1", "2")  # as many as the net has, though these samples show two
    assert len(data([[0, 3, 0, 0], [0] * 4]).classes) == 4
    for other in (data(tags, "mse"), data(tags, shape=(3,)), data(tags, shape=(5, 3)), data([[0.5] * 4] * 2)):
        assert other.task == "numbers"


def test_a_net_learns_tags_and_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "n.net").write_text(NET)
    words = np.random.default_rng(0).integers(0, 9, (60, 5))
    np.savez(tmp_path / "d.npz", x=words, y=np.where(words < 8, words % 3, -1))
    given = ["--data", f'npz("{tmp_path}/d.npz")', "--set", "steps=60", "--set", "optimizer.lr=0.1"]
    metrics = ["--set", "metrics=[f1]", "-q", "-o", str(tmp_path / "run")]
    assert main(["train", f"{tmp_path}/n.net", *given, *metrics]) == 0
    result = json.loads((tmp_path / "run" / "run.json").read_text())["result"]
    assert result["top1"] == result["f1"] == 1
    assert result["onnx"]["top1"] == 1
    assert "perplexity" not in result
    np.save(tmp_path / "new.npy", np.array([[4, 5, 0]]))
    capsys.readouterr()
    assert main(["predict", str(tmp_path / "run"), str(tmp_path / "new.npy"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [f["guesses"][0]["class"] for f in found] == ["1", "2", "0"]
    assert found[2]["sample"].endswith("new.npy:1:3")
    assert main(["eval", str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["top1"] == 1


def test_a_class_that_the_net_lacks(tmp_path: Path) -> None:
    net = netdsl.load(netdsl.Source(NET))
    with pytest.raises(TrainingError, match="the net has 3 outputs, `data` has 4 classes"):
        net.train(data=(np.zeros((9, 5), int), np.full((9, 5), 3)), folder=tmp_path / "run", quiet=True)


def test_targets_without_a_class_are_refused(tmp_path: Path) -> None:
    """A net would train on nothing, and say so nowhere."""
    words = np.zeros((12, 4), np.int64)
    net = netdsl.load(netdsl.Source(NET))
    for y, test, purpose in ((-1, 0, "train"), (0, -1, "test")):
        np.savez(tmp_path / "d.npz", x=words, y=words + y, x_test=words, y_test=words + test)
        with pytest.raises(TrainingError, match=f"nothing with a class to {purpose} on"):
            net.train("none", data=f'npz("{tmp_path}/d.npz")', folder=tmp_path / "run", quiet=True)
