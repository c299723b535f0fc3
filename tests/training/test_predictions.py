"""`predict` on images, folders, arrays and tables; what it writes; held to the net and to onnxruntime."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from missing import run_without
from photographs import write_photographs
from PIL import Image
from sklearn.datasets import load_digits

from netdsl.cli.main import main
from netdsl.inference.masks import palette
from netdsl.inference.predictions import Wanted, predict
from netdsl.training.opened import open_trained

SPEC = """
net Digits(classes=10) {
  input image [1, 8, 8]
  conv(8, 3) -> relu -> flatten -> dropout(0.2) -> linear(classes)
}
net Masks {
  input image [1, H, W]
  conv(8, 3) -> relu -> conv(2, 1)
}
net Houses(features=5) {
  input x [features]
  linear(16) -> relu -> linear(1)
}
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("predict")
    (base / "nets.net").write_text(SPEC)
    rng = np.random.default_rng(0)
    rows = ["size,town,price"]
    rows += [
        f"{s:.1f},{t},{2000 * s + 9000 * (t == 'Ulm'):.2f}"
        for s, t in zip(rng.normal(120, 30, 80), rng.choice(["Bonn", "Kiel", "Ulm"], 80), strict=True)
    ]
    (base / "houses.csv").write_text("\n".join(rows) + "\n")
    y = (load_digits().target[:300, None] == [1, 3, 5]).astype(np.float32)
    y[:, 0] = load_digits().target[:300] > 4
    np.savez(base / "labels.npz", x=(load_digits().images[:300] * 15.9).astype(np.uint8), y=y)
    for folder, net, data, more in (
        ("digits", "Digits", "digits", []),
        ("labels", "Digits", f'npz("{base}/labels.npz")', ["--set", "loss=bce", "-p", "classes=3"]),
        ("masks", "Masks", "clutter(train=40, test=10)", ["--size", "H=32", "--size", "W=32"]),
        ("houses", "Houses", f'csv("{base}/houses.csv", target="price")', ["--set", "loss=mse"]),
    ):
        given = ["--data", data, *more, "--set", "epochs=2", "-q", "-o", str(base / folder)]
        assert main(["train", f"{base}/nets.net:{net}", "--recipe", "none", *given]) == 0, net
    pixels = (load_digits().images * 15.9).astype(np.uint8)
    (base / "images" / "more").mkdir(parents=True)
    for i in range(5):
        Image.fromarray(pixels[i]).save(base / "images" / ("more" if i > 2 else "") / f"{i}.png")
    np.save(base / "digits.npy", pixels[:5])
    np.savez(base / "digits.npz", image=pixels[:5, None])
    return base


def predicted(capsys: pytest.CaptureFixture[str], *arguments: Any) -> Any:
    capsys.readouterr()
    assert main(["predict", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("batch", [1, 2, 32])
def test_images_folders_and_arrays_are_the_same(base: Path, capsys: pytest.CaptureFixture[str], batch: int) -> None:
    images = sorted((base / "images").rglob("*.png"), key=lambda p: p.name)
    given = [predicted(capsys, base / "digits", *files, "--probabilities", "--batch", batch) for files in (
        images, [base / "images"], [base / "digits.npy"], [base / "digits.npz"]
    )]  # fmt: skip
    module = open_trained(base / "digits").module
    assert module is not None
    x = torch.from_numpy(np.load(base / "digits.npy"))[:, None].float() / 255
    expected = module(x).softmax(1).detach()
    for found in given:
        shown = torch.tensor([list(p["probabilities"].values()) for p in found])
        torch.testing.assert_close(shown, expected, rtol=1e-4, atol=1e-6)
        assert [p["guesses"][0]["class"] for p in found] == [str(i) for i in expected.argmax(1).tolist()]
    assert given[0][0]["sample"] == str(images[0])
    assert given[2][4]["sample"].endswith("digits.npy:5")


def test_an_onnx_file_alone_says_the_same(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file says itself what its outputs are: classes, labels, masks or numbers, and the columns of a table."""
    for folder, file in (
        ("digits", "digits.npy"),
        ("labels", "digits.npy"),
        ("masks", "digits.npy"),
        ("houses", "houses.csv"),
    ):
        if folder == "masks":
            np.save(base / "square.npy", np.random.default_rng(0).integers(0, 255, (2, 1, 32, 32)).astype(np.uint8))
            file = "square.npy"
        ours = predicted(capsys, base / folder, base / file)
        theirs = predicted(capsys, base / folder / "model.onnx", base / file)
        for a, b in zip(ours, theirs, strict=True):
            kind = next(iter(a.keys() - {"sample"}))
            if kind == "guesses":
                assert a[kind][0]["class"] == b[kind][0]["class"]
            else:
                assert a[kind] == pytest.approx(b[kind], rel=1e-3, abs=1e-4)


def test_a_csv_file_of_predictions(base: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    given = [str(base / "digits"), str(base / "digits.npy"), "--top", "2", "--probabilities", "-o", str(file)]
    assert main(["predict", *given]) == 0
    assert "5 predictions in" in capsys.readouterr().err
    rows = list(csv.DictReader(file.open()))
    assert list(rows[0])[:5] == ["sample", "class", "probability", "class_2", "probability_2"]
    for row in rows:
        chances = {name[2:]: float(v) for name, v in row.items() if name.startswith("p_")}
        assert sum(chances.values()) == pytest.approx(1, abs=1e-5)
        assert row["class"] == max(chances, key=lambda n: chances[n])
    assert main(["predict", str(base / "digits"), str(base / "digits.npy"), "-o", str(tmp_path / "out.json")]) == 0
    assert len(json.loads((tmp_path / "out.json").read_text())) == 5


def test_tables_are_read_by_the_columns_of_the_run(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A new file has no target, a town that is new, and its columns in another order."""
    (base / "new.csv").write_text("town,size\nUlm,100\nMars,100\n,\n")
    found = predicted(capsys, base / "houses", base / "new.csv")
    session = onnxruntime.InferenceSession(base / "houses" / "model.onnx")
    columns = json.loads((base / "houses" / "run.json").read_text())["columns"]
    assert [c["name"] for c in columns] == ["size", "town"]
    x = np.array([[100, 0, 0, 0, 1], [100, 1, 0, 0, 0], [columns[0]["fill"], 1, 0, 0, 0]], dtype=np.float32)
    expected = session.run(None, {"x": x})[0][:, 0]
    assert [p["values"]["price"] for p in found] == pytest.approx(expected.tolist(), rel=1e-4)
    assert main(["predict", str(base / "houses"), str(base / "new.csv")]) == 0
    assert "new.csv:1: price " in capsys.readouterr().out


def test_labels_hold_each_on_its_own(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = predicted(capsys, base / "labels", base / "digits.npy")
    module = open_trained(base / "labels").module
    assert module is not None
    x = torch.from_numpy(np.load(base / "digits.npy"))[:, None].float() / 255
    expected = module(x).sigmoid().detach()
    torch.testing.assert_close(torch.tensor([list(p["labels"].values()) for p in found]), expected)


def test_masks_are_png_files_of_classes(base: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (32, 32)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = predicted(capsys, base / "masks", tmp_path / "a.png", "-o", tmp_path / "out")
    module = open_trained(base / "masks").module
    assert module is not None
    expected = module(torch.from_numpy(pixels)[None, None].float() / 255).argmax(1)[0]
    with Image.open(tmp_path / "out" / "a.png") as mask:
        assert mask.mode == "P"
        assert np.array_equal(np.asarray(mask), expected.numpy())
        assert mask.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]  # PASCAL VOC's
    assert list(found[0]["shares"].values())[1] == pytest.approx(float(expected.float().mean()))
    assert palette()[15 * 3 : 16 * 3] == [192, 128, 128]  # a person
    (tmp_path / "b").mkdir()
    Image.fromarray(255 - pixels).save(tmp_path / "b" / "a.png")
    both = [str(base / "masks"), str(tmp_path / "a.png"), str(tmp_path / "b"), "-o", str(tmp_path / "two")]
    assert main(["predict", *both]) == 1
    assert "two samples have the mask" in capsys.readouterr().err
    kept = [(tmp_path / folder / "a.png").read_bytes() for folder in ("out", "two")]
    assert kept[0] == kept[1]  # the mask of the first stays


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("digits", "nowhere.png"), "there is no file"),
        (("digits", "houses.csv"), "is a table, and the net was not trained on one"),
        (("houses", "images"), "not images"),
        (("digits", "bad.png"), "bad.png is not an image"),
        (("digits", "bad.npy"), "bad.npy is not an array"),
        (("digits", "wide.npy"), "a sample of"),
        (("houses", "poor.csv"), "has no column `size`"),
        (("houses", "texts.csv"), "column `size` of"),
        (("digits", "empty"), "has no images"),
        (("digits", "digits.npy", "-o", "masks-here"), "a folder is for masks"),
        (("digits", "digits.npy", "--top", "0"), "a whole number from 1"),
    ],
)
def test_what_is_wrong_is_said(
    base: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], said: str
) -> None:
    (base / "bad.png").write_text("no")
    (base / "bad.npy").write_text("no")
    np.save(base / "wide.npy", np.zeros((2, 1, 9, 9), dtype=np.uint8))
    (base / "poor.csv").write_text("town\nUlm\n")
    (base / "texts.csv").write_text("town,size\nUlm,large\nUlm,small\n")
    (base / "empty").mkdir(exist_ok=True)
    given = [str(base / a) if (base / a).exists() or a == "nowhere.png" else a for a in arguments]
    assert main(["predict", *given]) in (1, 2)
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err


def without_torch(*arguments: Any) -> subprocess.CompletedProcess[str]:
    """netdsl in a process where torch and onnx cannot be imported."""
    return run_without(("torch", "onnx"), *arguments)


@pytest.mark.parametrize(
    ("folder", "file"), [("digits", "images"), ("labels", "digits.npz"), ("masks", "square.npy"), ("houses", "new.csv")]
)
def test_torch_is_not_needed(base: Path, folder: str, file: str) -> None:
    """A run directory, in a process without torch, gives what its module gives in torch."""
    (base / "new.csv").write_text("town,size\nUlm,100\nMars,100\n,\n")
    np.save(base / "square.npy", np.random.default_rng(0).integers(0, 255, (2, 1, 32, 32)).astype(np.uint8))
    ran = without_torch("predict", base / folder, base / file, "--probabilities", "--json")
    notes = ran.stderr.splitlines()
    assert (ran.returncode, len(notes)) == (0, 2 if folder == "houses" else 0)
    assert all(n.startswith("note: ") for n in notes)
    ours = json.loads(ran.stdout)
    theirs = list(predict(open_trained(base / folder), [base / file], Wanted(every=True)))
    assert [p["sample"] for p in ours] == [p["sample"] for p in theirs]
    for a, b in zip(ours, theirs, strict=True):
        for kind in a.keys() - {"sample", "guesses"}:
            assert a[kind] == pytest.approx(b[kind], rel=1e-4, abs=1e-6)
        for guess, other in zip(a.get("guesses", ()), b.get("guesses", ()), strict=True):
            assert guess["class"] == other["class"]


def test_a_run_without_onnx_is_run_in_torch_and_that_is_said(base: Path, tmp_path: Path) -> None:
    """Also where an ONNX file is left of an earlier end: run.json says which weights have one."""
    for name in ("gone", "older"):
        shutil.copytree(base / "digits", folder := tmp_path / name)
        if name == "gone":
            (folder / "model.onnx").unlink()
        else:
            about = json.loads((folder / "run.json").read_text())
            del about["result"]["onnx"]
            (folder / "run.json").write_text(json.dumps(about))
        ran = without_torch("predict", folder, base / "digits.npy")
        assert ran.returncode == 2
        assert f"{folder} has no ONNX file of its weights: they are run in torch\n" in ran.stderr
        assert "this needs the package `torch`" in ran.stderr


def test_an_onnx_file_knows_how_its_pictures_are_cut(
    base: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """resize and crop of the run's data, beside the file's input size."""
    write_photographs(tmp_path / "data", ("a", "b"), 4, (13, 21))
    data = f'imagefolder("{tmp_path}/data", resize=10, crop=8, interpolation=bicubic)'
    given = [
        "--recipe",
        "none",
        "--data",
        data,
        "-p",
        "classes=2",
        "--set",
        "epochs=1",
        "-q",
        "-o",
        str(tmp_path / "run"),
    ]
    assert main(["train", f"{base}/nets.net:Digits", *given]) == 0
    image = tmp_path / "data" / "val" / "a" / "1.png"
    both = [predicted(capsys, tmp_path / "run" / file, image, "--probabilities") for file in ("", "model.onnx")]
    assert both[0] == both[1]
    with Image.open(image) as opened:
        scaled = opened.convert("L").resize((int(10 * 21 / 13), 10), Image.Resampling.BICUBIC)
        x = np.asarray(scaled.crop((4, 1, 12, 9)), dtype=np.float32)[None, None] / 255
    module = open_trained(tmp_path / "run").module
    assert module is not None
    expected = module(torch.from_numpy(x)).softmax(1)[0].tolist()
    assert list(both[0][0]["probabilities"].values()) == pytest.approx(expected, rel=1e-4)
