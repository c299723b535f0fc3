"""`netdsl push`: the folder that the Hub takes, and that gives the same outputs when it is used again."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from msgspec.structs import replace
from photographs import write_photographs

from netdsl.cli.main import main
from netdsl.loader import load_source, read_import
from netdsl.pipeline import Spec
from netdsl.plugins.used import Used
from netdsl.publish.card import card
from netdsl.publish.shared import configuration, crop_part, shared
from netdsl.recipe.inits import Pretrained
from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import ImageFolder
from netdsl.training.setup import prepare
from netdsl.weights.repository import described, of_timm

SPEC = """
from parts import Body

net Small(classes=2) {
  input image [3, 24, 24]
  Body -> gap -> linear(classes)
}
recipe Tune for Small {
  data   = imagefolder("photos", resize=31, interpolation=bicubic)
  epochs = 1
  batch  = 4
  metrics = [f1]
}
"""
PARTS = "block Body { conv(8, 3, bias=false) -> bn -> relu -> conv(8, 3, stride=2, bias=false) -> bn -> relu }\n"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two classes of photographs, and the folder that is made of it."""
    base = tmp_path_factory.mktemp("push")
    (base / "nets.net").write_text(SPEC)
    (base / "parts.net").write_text(PARTS)
    write_photographs(base / "photos", ("a cat", "dog: 'x'"), 4, (40, 30, 3), seed=1)
    assert main(["train", f"{base}/nets.net", "-q", "-o", str(base / "run")]) == 0
    assert main(["push", f"{base}/run", f"{base}/pushed", "--license", "MIT"]) == 0
    return base


def test_the_folder_is_what_the_hub_takes(base: Path) -> None:
    names = sorted(p.name for p in (base / "pushed").iterdir())
    assert names == ["README.md", "config.json", "model.onnx", "model.safetensors", "parts.net", "spec.net"]
    for name in ("model.onnx", "model.safetensors"):
        assert (base / "pushed" / name).read_bytes() == (base / "run" / name).read_bytes()
    told = b"".join((base / "pushed" / n).read_bytes() for n in names)
    assert str(base).encode() not in told  # nothing of the machine
    assert main(["check", str(base / "pushed" / "spec.net")]) == 0


def test_the_card_says_licence_and_measures(base: Path) -> None:
    yaml = pytest.importorskip("yaml")
    text = (base / "pushed" / "README.md").read_text()
    front = yaml.safe_load(text.split("---\n")[1])
    assert (front["license"], front["library_name"], front["pipeline_tag"]) == ("mit", "netdsl", "image-classification")
    result = json.loads((base / "run" / "run.json").read_text())["result"]
    (measured,) = front["model-index"][0]["results"]
    values = {m["type"]: m["value"] for m in measured["metrics"]}
    assert values == {"loss": result["loss"], "accuracy": result["top1"], "f1": result["f1"]}
    assert f"| accuracy | {result['top1']:.2%} |" in text
    assert "`a cat`, `dog: 'x'`" in text


def test_config_says_how_images_are_prepared(base: Path) -> None:
    found = described("x", base / "pushed", "")
    about = json.loads((base / "run" / "run.json").read_text())
    assert found.classes == ("a cat", "dog: 'x'")
    assert found.license == "mit"
    assert [*found.images.mean] == about["mean"]
    assert (found.images.size, found.images.resize, found.images.interpolation) == (24, 31, "bicubic")


def prepared(base: Path, folder: str) -> Any:
    spec = Spec(load_source(str(base / "nets.net")), read_import)
    recipe = Recipe(data=ImageFolder(folder="photos"), init=(Pretrained(folder),))
    return prepare(spec.net("Small"), recipe, base, torch.device("cpu"))


def test_a_pushed_folder_gives_the_same_outputs(base: Path) -> None:
    found = prepared(base, "pushed")
    x = np.random.default_rng(2).random((3, 3, 24, 24), dtype=np.float32)
    expected = onnxruntime.InferenceSession(base / "run" / "model.onnx").run(None, {"image": x})[0]
    with torch.no_grad():
        ours = found.module.eval()(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-5 * np.abs(expected).max())
    assert not any("initialized" in n for n in found.notes)
    run = json.loads((base / "run" / "recipe.json").read_text())
    data = found.recipe.data
    assert (data.resize, data.interpolation) == (run["data"]["resize"], run["data"]["interpolation"])


def test_a_licence_is_handed_on(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A net that began with weights of a licence has it, and a warning where it is given another."""
    text = (base / "pushed" / "README.md").read_text()
    (base / "pushed" / "README.md").write_text(text.replace('license: "mit"', "license: cc-by-nc-4.0"))
    given = ["--set", f'init=pretrained("{base}/pushed")', "-q", "-o", str(tmp_path / "run")]
    assert main(["train", f"{base}/nets.net", *given]) == 0
    capsys.readouterr()
    assert main(["push", str(tmp_path / "run"), str(tmp_path / "a")]) == 0
    assert "the licence cc-by-nc-4.0 of" in capsys.readouterr().err
    assert described("x", tmp_path / "a", "").license == "cc-by-nc-4.0"
    card = (tmp_path / "a" / "README.md").read_text()
    assert "The training began with `pushed`, licence cc-by-nc-4.0." in card
    assert str(base) not in card
    assert main(["push", str(tmp_path / "run"), str(tmp_path / "b"), "--license", "mit"]) == 0
    assert "which it began with, has the licence cc-by-nc-4.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("RUN",), "where to?"),
        (("RUN", "BASE"), "is not empty"),
        (("BASE", "OUT"), "is not a run directory"),
        (("RUN", "OUT", "--private"), "`--private` is for `--repo`"),
        (("RUN", "OUT", "--repo", "no name"), "is not the name of a repository"),
        (("RUN", "OUT", "--license", "a b"), "is not the identifier of a licence"),
        (("UNFINISHED", "OUT"), "the run has not ended"),
        (("DAMAGED", "OUT"), "`Nothing`"),
    ],
)
def test_what_is_wrong_is_said(
    base: Path, arguments: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("UNFINISHED", "DAMAGED"):
        (tmp_path / name).mkdir()
        for file in ("run.json", "recipe.json", "spec.net", "parts.net"):
            (tmp_path / name / file).write_bytes((base / "run" / file).read_bytes())
    about = (base / "run" / "run.json").read_text()
    (tmp_path / "DAMAGED" / "run.json").write_text(about.replace('"Small"', '"Nothing"'))
    (tmp_path / "DAMAGED" / "model.safetensors").write_bytes(b"")
    places = {"RUN": base / "run", "BASE": base, "OUT": tmp_path / "out"}
    given = [str(places.get(a, tmp_path / a if a.isupper() else a)) for a in arguments]
    assert main(["push", *given]) in (1, 2)
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


def test_a_folder_in_the_run_is_refused(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", f"{base}/run", f"{base}/run/sub"]) == 2
    assert "lies in the run" in capsys.readouterr().err
    assert not (base / "run" / "sub").exists()


def test_an_upload_is_of_the_whole_folder(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[Any] = []

    class HfApi:
        def create_repo(self, name: str, **options: Any) -> None:
            done.append((name, options))

        def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> None:
            done.append((repo_id, sorted(p.name for p in Path(folder_path).iterdir())))
            if repo_id == "me/refused":
                raise ValueError("401 Unauthorized\nmore")

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(HfApi=HfApi))
    assert main(["push", f"{base}/run", "--repo", "me/pets", "--private", "--license", "mit"]) == 0
    names = sorted(p.name for p in (base / "pushed").iterdir())
    assert done == [("me/pets", {"private": True, "exist_ok": True}), ("me/pets", names)]
    assert main(["push", f"{base}/run", "--repo", "me/refused"]) == 2
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert main(["push", f"{base}/run", "--repo", "me/pets"]) != 0


SECRET = """
from nets import Small
net Table(k=2) {
  input image [3, 24, 24]
  body: Small(classes=2)
  linear(k) -> relu -> linear(2)
}
recipe Tune for Table {
  data = imagefolder("FOLDER")
  init = pretrained("PRE", into="body")
  epochs = 1
  batch = 4
}
"""


@pytest.fixture(scope="module")
def secret(base: Path) -> Path:
    """A run with an argument, whose spec names absolute paths; beside its spec lie files that are none of it."""
    text = SECRET.replace("FOLDER", str(base / "photos")).replace("PRE", str(base / "pushed"))
    (base / "table.net").write_text(text)
    given = ["-p", "k=3", "-q", "-o", str(base / "secret")]
    assert main(["train", f"{base}/table.net", *given]) == 0
    (base / "secret" / "notes.net").write_text("secret")
    (base / "secret" / "host.net").symlink_to("/etc/hostname")
    return base / "secret"


def test_what_is_used_as_the_card_says_gives_the_same_outputs(
    secret: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", str(secret), str(tmp_path / "out"), "--license", "mit"]) == 0
    said = capsys.readouterr().err
    files = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert files == ["README.md", "config.json", "model.onnx", "model.safetensors", "nets.net", "parts.net", "spec.net"]
    told = b"".join(p.read_bytes() for p in (tmp_path / "out").iterdir())
    assert str(secret.parent).encode() not in told
    assert str(secret.parent / "photos") in said  # whoever pushes is told
    monkeypatch.chdir(tmp_path / "out")
    (line,) = re.findall(r"^netdsl (compile .*) -o out$", Path("README.md").read_text(), re.M)
    assert main([*shlex.split(line), "-o", str(tmp_path / "compiled"), "--emit", "onnx"]) == 0
    x = np.random.default_rng(2).random((3, 3, 24, 24), dtype=np.float32)
    ours, theirs = (
        onnxruntime.InferenceSession(folder / "model.onnx").run(None, {"image": x})[0]
        for folder in (tmp_path / "compiled", secret)
    )
    np.testing.assert_array_equal(ours, theirs)


def test_a_spec_that_is_a_link_is_not_published(secret: Path, tmp_path: Path) -> None:
    shutil.copytree(secret, tmp_path / "run", symlinks=True)
    (tmp_path / "run" / "spec.net").unlink()
    (tmp_path / "run" / "spec.net").symlink_to(secret / "spec.net")
    assert main(["push", str(tmp_path / "run"), str(tmp_path / "out")]) != 0
    assert not (tmp_path / "out").exists()


def changed(run: Path, to: Path, **fields: Any) -> Path:
    """A copy of a run with other fields in one of its files."""
    shutil.copytree(run, to)
    for name, values in fields.items():
        path = to / f"{name}.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return to


def test_a_cross_validation_is_pushed_by_a_fold(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = changed(base / "run", tmp_path / "run", recipe={"folds": 3})
    assert main(["push", str(run), str(tmp_path / "out")]) != 0
    assert "fold-1" in capsys.readouterr().err


def test_the_card_names_plugins_and_finite_measures(base: Path, tmp_path: Path) -> None:
    run = changed(base / "run", tmp_path / "run")
    net = shared(run)
    plugin = Used("rotary", "1.2")
    net = replace(net, about=replace(net.about, plugins=(plugin,), result={**net.about.result, "loss": float("nan")}))
    text = card(net, True)
    assert "`rotary` 1.2" in text
    assert "--pretrained . --plugin rotary -o out" in text
    assert "NaN" not in text
    assert configuration(net)["netdsl"]["plugins"] == [{"name": "rotary", "version": "1.2"}]


def test_an_upload_without_a_network_is_no_traceback(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    class HTTPError(Exception):
        """What httpx raises, which is no OSError."""

    class HfApi:
        def create_repo(self, name: str, **options: Any) -> None:
            raise HTTPError("no network")

    monkeypatch.setitem(sys.modules, "httpx", SimpleNamespace(HTTPError=HTTPError))
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(HfApi=HfApi))
    assert main(["push", f"{base}/run", "--repo", "me/pets"]) == 2


@pytest.mark.parametrize(("side", "resize"), [(224, 256), (24, 31), (288, 303), (299, 341), (7, 7), (384, 384)])
def test_timm_resizes_to_the_same_side(side: int, resize: int) -> None:
    part = crop_part(side, resize)
    assert part == pytest.approx(side / resize)
    assert of_timm({"input_size": [3, side, side], "crop_pct": part}).resize == resize


def test_the_help_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", "--help"]) == 0
    assert re.search(r"--repo USER/NAME\s+upload", capsys.readouterr().out)
