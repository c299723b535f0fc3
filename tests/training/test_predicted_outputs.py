"""`predict` of nets with several outputs: all of them, as what they learned, with and without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from missing import run_without
from msgspec.structs import replace
from PIL import Image

from netdsl.cli.main import main
from netdsl.inference.predictions import Prediction, Wanted, predict, softmax
from netdsl.inference.test_time import averaged
from netdsl.inference.trained import open_run
from netdsl.recipe.test_time import Mirrored
from netdsl.training.opened import open_trained, with_dropout

SPEC = """
net Heads {
  input image [1, 8, 8]
  code = flatten -> linear(3)
  output digit = code -> dropout(0.5) -> linear(10)
  output side = code -> linear(10)
  output code = code
}
net Masks {
  input image [1, 8, 8]
  seen = conv(4, 3)
  output fine = seen -> conv(2, 1)
  output coarse = seen -> conv(2, 1)
  output mean = seen -> gap
}
net Nodes(features=4) {
  input x [N, features]
  input edges [2, E] int64
  source, to = edges -> chunk(2)
  near = x -> gather(index = source -> squeeze(axis=0)) -> scatter(index = to -> squeeze(axis=0), size=N)
  hidden = near -> linear(8) -> relu
  output kind = hidden -> linear(2)
  output hidden = hidden
}
"""
WEIGHTS = {"Heads": "side=0.5", "Masks": "coarse=1", "Nodes": ""}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("outputs")
    (base / "nets.net").write_text(SPEC)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 255, (24, 1, 8, 8)).astype(np.uint8)
    np.savez(base / "Heads.npz", x=images, y=np.arange(24) % 10)
    np.savez(base / "Masks.npz", x=images, y=(images[:, 0] > 127).astype(np.int64))
    np.savez(
        base / "Nodes.npz", features=rng.normal(size=(9, 4)).astype(np.float32), edges=rng.integers(0, 9, (2, 20)),
        labels=np.arange(9) % 2, train=np.arange(9) < 6, test=np.arange(9) >= 6,
    )  # fmt: skip
    np.save(base / "new.npy", images[:3])
    Image.fromarray(images[0, 0]).save(base / "one.png")
    for net, weights in WEIGHTS.items():
        reader = "graph" if net == "Nodes" else "npz"
        given = ["--data", f'{reader}("{base}/{net}.npz")', "--set", "epochs=1", "-q", "-o", str(base / net)]
        given += ["--set", f"outputs=weights({weights})"] if weights else []
        assert main(["train", f"{base}/nets.net:{net}", "--recipe", "none", *given]) == 0, net
    return base


def close(a: Any, b: Any) -> bool:
    """Whether two predictions are equal but for rounding."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(close(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(close, a, b))
    return bool(a == b if isinstance(a, str) else a == pytest.approx(b, rel=1e-3, abs=1e-5))


def by(found: Any) -> list[Prediction]:
    return list(found)


def test_an_output_with_a_weight_is_shown_as_the_first_one_and_others_are_numbers(base: Path) -> None:
    trained = open_trained(base / "Heads")
    assert trained.module is not None
    digit, side, code = trained.module(torch.from_numpy(np.load(base / "new.npy")).float() / 255)
    for i, said in enumerate(predict(trained, [base / "new.npy"], Wanted(every=True))):
        assert [*said["outputs"]] == ["side", "code"]
        for chances, logits in ((said["probabilities"], digit), (said["outputs"]["side"]["probabilities"], side)):
            assert [*chances.values()] == pytest.approx(logits[i].softmax(0).tolist(), abs=1e-5)
        assert [*said["outputs"]["code"]["values"].values()] == pytest.approx(code[i].tolist(), rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("net", "file"), [("Heads", "new.npy"), ("Masks", "new.npy"), ("Nodes", "Nodes.npz")])
def test_a_run_its_file_alone_and_torch_say_the_same_of_every_output(base: Path, net: str, file: str) -> None:
    found = []
    for model in (base / net, base / net / "model.onnx"):
        ran = run_without(["torch"], "predict", model, base / file, "--json")
        assert (ran.returncode, ran.stderr) == (0, "")
        found.append(json.loads(ran.stdout))
    theirs = by(predict(open_trained(base / net), [base / file]))
    assert close(found[0], theirs)
    assert close(found[1], theirs)


def test_nodes_have_their_rows_of_every_output(base: Path) -> None:
    trained = open_run(base / "Nodes")
    assert trained is not None
    found = by(predict(trained, [base / "Nodes.npz"]))
    assert len(found) == 9
    assert all(len(said["outputs"]["hidden"]["values"]) == 8 for said in found)


def test_masks_of_outputs_are_files_of_their_own(base: Path, tmp_path: Path) -> None:
    assert main(["predict", str(base / "Masks"), str(base / "one.png"), "-o", str(tmp_path / "out")]) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["one-coarse.png", "one.png"]


def test_columns_of_outputs_begin_with_their_names(base: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    assert main(["predict", str(base / "Heads"), str(base / "new.npy"), "-o", str(file)]) == 0
    header = file.read_text().splitlines()[0]
    assert header == ("sample,class,probability,side_class,side_probability,code_value_0,code_value_1,code_value_2")


def test_outputs_are_averaged_over_passes_and_views(base: Path) -> None:
    """Over the views of an image, outputs that learned classes as probabilities, others as they are."""
    trained = open_trained(base / "Heads")
    noisy = by(predict(with_dropout(trained, 4), [base / "new.npy"], Wanted(deviation=True)))
    assert noisy[0]["guesses"][0]["deviation"] > 0
    assert noisy[0]["outputs"]["side"]["guesses"][0]["deviation"] < 1e-6
    x = np.load(base / "new.npy").astype(np.float32) / 255
    seen = replace(trained, recipe=replace(trained.recipe, tta=Mirrored()))
    views = [trained.compute(x), trained.compute(np.ascontiguousarray(np.flip(x, -1)))]
    _, side, code = averaged(seen)(x)
    chances = np.mean([softmax(y[1], 1) for y in views], 0)
    np.testing.assert_allclose(softmax(side, 1), chances, rtol=1e-5)
    np.testing.assert_allclose(code, np.mean([y[2] for y in views], 0), rtol=1e-5, atol=1e-6)
