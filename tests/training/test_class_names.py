"""Names of classes and labels, wherever they are shown."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from photographs import write_photographs

import netdsl
from netdsl.cli.main import main

SPEC = """net Yes {
  input x [2]
  linear(2)
}
recipe Labels for Yes {
  data    = csv("t.csv", target=["wet", "cold"])
  epochs  = 1
  loss    = bce
  metrics = [per_class]
}
recipe Classes for Yes {
  data    = npz("a.npz")
  epochs  = 1
  metrics = [per_class]
}
"""

FOLDERS = """net A {
  input image [3, 12, 12]
  conv(4, 3) -> relu -> gap -> linear(2)
}
recipe R for A {
  data   = imagefolder("photos")
  epochs = 1
}
"""


@pytest.fixture
def base(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    rows = [f"{a:.3f},{b:.3f},{int(a > 0)},{int(b > 0)}" for a, b in rng.normal(size=(40, 2))]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,wet,cold", *rows]) + "\n")
    x = rng.normal(size=(40, 2)).astype(np.float32)
    names = np.array(["rain", "sun"])
    np.savez(tmp_path / "a.npz", x=x, y=(x[:, 0] > 0).astype(np.int64), class_names=names)
    (tmp_path / "n.net").write_text(SPEC)
    return tmp_path


@pytest.mark.parametrize(
    ("recipe", "names", "file"), [("Labels", ["wet", "cold"], "t.csv"), ("Classes", ["rain", "sun"], "x.npy")]
)
def test_names_are_shown(
    base: Path, recipe: str, names: list[str], file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = base / "run"
    np.save(base / "x.npy", np.ones((1, 2), dtype=np.float32))
    assert main(["train", f"{base}/n.net:{recipe}", "-q", "-o", str(run)]) == 0
    capsys.readouterr()
    assert main(["eval", str(run), "--metrics", "per_class"]) == 0
    said = capsys.readouterr().out
    assert all(f" {name} recall" in said for name in names)
    for model in (run, run / "model.onnx"):
        assert main(["predict", str(model), str(base / file), "--probabilities", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)[0]
        assert list(found.get("labels") or found["probabilities"]) == names
    report = (run / "report.html").read_text()
    if recipe == "Classes":
        notes = {p.key: p.value for p in onnx.load(run / "model.onnx").metadata_props}
        assert json.loads(notes["class_names"]) == names
        assert list(netdsl.open_run(run).about.classes) == names
    assert all(f"<th>{name}</th>" in report for name in names)


def test_names_of_the_classes_of_places_and_of_labels_are_those_of_the_file(tmp_path: Path) -> None:
    """What the targets of an npz file are is known only beside the net and the loss."""
    words, labels = np.arange(60).reshape(12, 5) % 3, np.arange(24).reshape(12, 2) % 2
    np.savez(tmp_path / "tags.npz", x=words, y=words, class_names=np.array(["noun", "verb", "other"]))
    np.savez(tmp_path / "labels.npz", x=np.ones((12, 4)), y=labels, class_names=np.array(["wet", "cold"]))
    text = (
        "net Tags {\n  input words [L] int64\n  embed(3, 4) -> linear(3)\n}\n"
        "net Labels {\n  input x [4]\n  linear(2)\n}\n"
    )
    (tmp_path / "n.net").write_text(text)
    for net, loss, names in (("Tags", "cross_entropy", ("noun", "verb", "other")), ("Labels", "bce", ("wet", "cold"))):
        settings = {"epochs": 1, "loss": loss}
        data = f'npz("{tmp_path}/{net.lower()}.npz")'
        run = netdsl.load(tmp_path / "n.net", net).train(
            "none", data=data, settings=settings, folder=tmp_path / net, onnx=False, quiet=True
        )
        assert run.about.classes == names


def test_names_of_too_few_classes_are_refused(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(base / "a.npz", x=np.ones((9, 2), np.float32), y=np.arange(9) % 2, class_names=np.array(["rain"]))
    assert main(["train", f"{base}/n.net:Classes", "-q", "-o", str(base / "run")]) != 0
    assert "`class_names` of `a.npz` are 1, and there are 2 classes" in capsys.readouterr().err


@pytest.mark.parametrize("workers", ["0", "1"])
def test_an_image_that_breaks_in_the_middle_of_a_run_is_named(tmp_path: Path, workers: str) -> None:
    """The run is kept, and resumed once the file is whole it has the bits of one that never stopped."""
    write_photographs(tmp_path / "d", ("a", "b"), 5, (16, 16, 3))
    fields = f"epochs = 4\n batch = 4\n resident = 0\n workers = {workers}\n augment = random_resized_crop(8)"
    net = "net N { input image [3, 8, 8]\n conv(4, 3) -> relu -> gap -> linear(2) }"
    (tmp_path / "n.net").write_text(f'{net}\nrecipe R for N {{ data = imagefolder("d")\n {fields} }}\n')
    bad = tmp_path / "d/train/b/3.png"
    whole = bad.read_bytes()

    def cut(numbers: dict[str, float]) -> None:
        if numbers["epoch"] == 2:
            bad.write_bytes(whole[:50])

    model = netdsl.load(str(tmp_path / "n.net"))
    straight = model.train("R", folder=tmp_path / "straight", quiet=True, onnx=False)
    with pytest.raises(netdsl.TrainingError, match=r"b/3\.png is not an image") as found:
        model.train("R", folder=tmp_path / "run", quiet=True, onnx=False, on_evaluation=cut)
    assert "the run is kept" in str(found.value)
    bad.write_bytes(whole)
    run = netdsl.open_run(tmp_path / "run").resume(quiet=True, onnx=False)
    assert run.result["loss"] == straight.result["loss"]


TWO = """net One {
  input x [2]
  linear(1)
}
recipe Alarm for One {
  data    = csv("two.csv", target="state")
  epochs  = 1
  loss    = bce(pos_weight=balanced)
  metrics = [recall, per_class]
}
"""


def test_one_output_that_tells_two_classes_apart_says_which(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside the run, in its ONNX file alone, and for rows of other files, all of which may be of one class."""
    x = np.random.default_rng(0).normal(size=(60, 2))
    rows = [f"{a:.3f},{b:.3f},{'quiet' if a > 0.4 else 'alarm'}" for a, b in x]
    (tmp_path / "two.csv").write_text("\n".join(["a,b,state", *rows]) + "\n")
    quiet = [row for row in rows if row.endswith("quiet")]
    (tmp_path / "quiet.csv").write_text("\n".join(["a,b,state", *quiet]) + "\n")
    (tmp_path / "two.net").write_text(TWO)
    run = tmp_path / "run"
    assert main(["train", f"{tmp_path}/two.net", "-q", "-o", str(run)]) == 0
    assert "<th>quiet</th>" in (run / "report.html").read_text()
    other = f'csv("{tmp_path}/quiet.csv", target="state", hold_out=0.5)'
    for model in (run, run / "model.onnx"):
        capsys.readouterr()
        assert main(["predict", str(model), f"{tmp_path}/two.csv", "--probabilities", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert list(found[0]["probabilities"]) == ["alarm", "quiet"]
        for row in found:
            assert sum(row["probabilities"].values()) == pytest.approx(1)
            assert row["guesses"][0]["class"] == max(row["probabilities"], key=row["probabilities"].get)
        assert main(["eval", str(model), "--data", other, "--metrics", "recall,per_class"]) == 0
        assert "quiet recall" in capsys.readouterr().out


def test_names_of_files_that_are_no_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A class is refused by its name; a file is read, and a mark stands for what is none."""
    write_photographs(tmp_path / "photos", ("cat", "dog"), 2, (12, 12, 3), seed=1)
    (tmp_path / "a.net").write_text(FOLDERS)
    for file in [*(tmp_path / "photos").rglob("*.png"), *(tmp_path / "photos").rglob("*.jpg")]:
        file.rename(file.with_name(f"\udcff{file.name}"))
    run, found = tmp_path / "run", [tmp_path / "found.json", tmp_path / "found.csv"]
    assert main(["train", str(tmp_path / "a.net"), "-q", "--no-onnx", "-o", str(run)]) == 0
    for file in found:
        assert main(["predict", str(run), str(tmp_path / "photos" / "val" / "cat"), "-o", str(file)]) == 0
    assert Path(json.loads(found[0].read_text())[0]["sample"]).name.startswith("?")
    assert "?" in found[1].read_text()
    for split in ("train", "val"):
        (tmp_path / "photos" / split / "cat").rename(tmp_path / "photos" / split / "c\udcff")
    capsys.readouterr()
    assert main(["train", str(tmp_path / "a.net"), "-o", str(tmp_path / "other")]) == 1
    said = capsys.readouterr().err
    assert "whose name is not UTF-8" in said
    assert "rename it" in said
    assert not (tmp_path / "other").exists()
