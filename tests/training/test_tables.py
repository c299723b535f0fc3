"""Parquet files and data sets of the Hub, written here in their real formats with `datasets` itself."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from recipe_harness import recipe
from safetensors.torch import load_file

from netdsl.cli.main import main
from netdsl.diagnostics.diagnostic import UserError
from netdsl.inference.tables import csv_columns
from netdsl.training.data.dataset import DataError, DataSet
from netdsl.training.readers import read

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (12, 10, 14, 3), dtype=np.uint8)
NET = """
net Small(classes=3) {
  input image [3, 8, 8]
  conv(4, 3) -> bn -> relu -> gap -> linear(classes)
}
"""


def data(text: str, base: Path, shape: tuple[int, ...] = (3, 10, 14), outputs: int = 3) -> DataSet:
    return read(recipe(f"data = {text}").data, base, shape, outputs)


def test_without_the_package_a_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.parquet").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "datasets", None)
    for text in ('parquet("a.parquet")', 'hf("user/name")'):
        with pytest.raises(UserError, match="the package `datasets`, which is not installed") as caught:
            data(text, tmp_path)
        assert (caught.value.hint or "").startswith("pip install datasets")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The package, with its cache in the test's folder and no network."""
    library = pytest.importorskip("datasets")
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(library.config, "HF_HUB_OFFLINE", True)
    library.disable_progress_bars()
    return library


def table(library: Any, rows: range, **columns: Any) -> Any:
    """Images of noise with classes 0, 1, 2 by name; other columns replace or follow them."""
    features = {"image": library.Image(), "label": library.ClassLabel(names=["ant", "bee", "cat"])}
    values: dict[str, Any] = {"image": [Image.fromarray(COLOURS[i]) for i in rows], "label": [i % 3 for i in rows]}
    for name, (feature, column) in columns.items():
        features[name], values[name] = feature, column
    return library.Dataset.from_dict(values, features=library.Features(features))


def test_parquet_files_by_pattern(tmp_path: Path, hub: Any) -> None:
    """Two files to train on, one to test on: pixels, classes and their names are those that were written."""
    for i in range(2):
        table(hub, range(4 * i, 4 * i + 4)).to_parquet(tmp_path / f"train-{i}.parquet")
    table(hub, range(8, 12)).to_parquet(tmp_path / "test-0.parquet")
    found = data('parquet("train-*.parquet", test="test-*.parquet")', tmp_path)
    assert found.classes == ("ant", "bee", "cat")
    assert found.train.target.tolist() == [i % 3 for i in range(8)]
    pixels = torch.from_numpy(COLOURS).permute(0, 3, 1, 2)
    assert torch.equal(found.train.stored(torch.arange(8))[0], pixels[:8])
    assert torch.equal(found.test.stored(torch.arange(4))[0], pixels[8:])
    held = data('parquet("*.parquet", hold_out=0.25)', tmp_path)
    assert (len(held.train), len(held.test)) == (9, 3)
    rows = [tuple(x.flatten().tolist()) for s in (held.train, held.test) for x in s.stored(torch.arange(len(s)))[0]]
    assert len(set(rows)) == 12
    open_sizes = data('parquet("*.parquet")', tmp_path, (3, 0, 0))
    assert open_sizes.test.example()[0].shape == (1, 3, 10, 14)


def test_labels_are_names_numbers_or_a_list_of_names(tmp_path: Path, hub: Any) -> None:
    names = (hub.Value("string"), ["dog", "ape", "dog", "ape"])
    numbers = (hub.Value("int32"), [4, 0, 1, 4])
    for i, label in enumerate((names, numbers)):
        table(hub, range(4), label=label).to_parquet(tmp_path / f"{i}.parquet")
    named = data('parquet("0.parquet", hold_out=0.25)', tmp_path)
    assert named.classes == ("ape", "dog")
    everyone = torch.cat([named.train.target, named.test.target])
    assert everyone.tolist().count(1) == 2
    numbered = data('parquet("1.parquet", test="1.parquet")', tmp_path)
    assert numbered.classes == ("0", "1", "2", "3", "4")
    assert numbered.test.target.tolist() == [4, 0, 1, 4]


def test_a_set_of_the_hub_is_a_folder_or_in_the_cache(tmp_path: Path, hub: Any) -> None:
    """As `datasets` writes it, as the Hub has it, and as a folder of images: the same samples."""
    train, test = table(hub, range(8)), table(hub, range(8, 12))
    hub.DatasetDict(train=train, validation=test).save_to_disk(tmp_path / "disk")
    (tmp_path / "hub" / "data").mkdir(parents=True)
    train.to_parquet(tmp_path / "hub" / "data" / "train-00000-of-00001.parquet")
    test.to_parquet(tmp_path / "hub" / "data" / "validation-00000-of-00001.parquet")
    for split, rows in (("train", range(8)), ("validation", range(8, 12))):
        for i in rows:
            folder = tmp_path / "files" / split / ("ant", "bee", "cat")[i % 3]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(COLOURS[i]).save(folder / f"{i:02}.png")
    pixels = torch.from_numpy(COLOURS).permute(0, 3, 1, 2)
    for name in ("disk", "hub", "files"):
        found = data(f'hf("{name}", test="validation")', tmp_path)
        assert found.classes == ("ant", "bee", "cat")
        for split, want in ((found.train, pixels[:8]), (found.test, pixels[8:])):
            got = split.stored(torch.arange(len(split)))[0]
            assert sorted(x.sum().item() for x in got) == sorted(x.sum().item() for x in want)
    with pytest.raises(DataError, match="no split `test`; it has `train`, `validation`") as caught:
        data('hf("hub")', tmp_path)
    assert 'test="validation"' in (caught.value.hint or "")
    assert len(data('hf("hub", test="")', tmp_path).test) == 2


def images(text: str, base: Path) -> Any:
    """All images of a training split."""
    found = data(text, base).train
    return found.stored(torch.arange(len(found)))[0]


@pytest.mark.parametrize(
    ("change", "word", "said", "hint"),
    [
        ({}, 'image="img"', "no column `img`; it has `image` \\(images\\), `label` \\(classes\\)", 'image="image"'),
        ({}, 'label="labels"', "no column `labels`", 'label="label"'),
        ({}, 'image="label"', "column `label` of `a.parquet` does not hold images", ""),
        ({"image": (None, [None] * 4)}, "", "row . of `a.parquet` has no image", ""),
        ({"image": (None, [{"bytes": b"GIF89a", "path": None}] * 4)}, "", "row . of .* is not an image", ""),
        ({"label": ("int64", [0, 1, None, 1])}, "", "row 2 of `a.parquet` has no class", ""),
        ({"label": ("int64", [0, 1, -1, 1])}, "", "row 2 of `a.parquet` has -1 as its class", "hidden"),
        ({"label": ("float32", [0.0, 1.5, 1, 1])}, "", "row 0 of `a.parquet` has 0.0 and not a class", ""),
        ({}, 'test="b.parquet"', "there is no file .*b.parquet", "relative to the spec"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, hub: Any, change: dict[str, Any], word: str, said: str, hint: str
) -> None:
    columns = {n: (hub.Value(k) if k else hub.Image(), v) for n, (k, v) in change.items()}
    table(hub, range(4), **columns).to_parquet(tmp_path / "a.parquet")
    with pytest.raises(DataError, match=said) as caught:
        images(f'parquet("a.parquet"{", " + word if word else ""})', tmp_path)
    assert hint in (caught.value.hint or "")


def test_what_cannot_be_had_is_an_error_in_words(
    tmp_path: Path, hub: Any, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="the Hub cannot be reached, and `user/name` is not in its cache"):
        data('hf("user/name")', tmp_path)
    for name, text in (("a.parquet", b"not parquet"), ("b.parquet", b"")):
        (tmp_path / name).write_bytes(text)
        with pytest.raises(DataError, match=f"`{name}` cannot be read: "):
            data(f'parquet("{name}")', tmp_path)
    (tmp_path / "script").mkdir()
    (tmp_path / "script" / "script.py").write_text("open('owned', 'w')")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="`script` cannot be read"):
        data('hf("script")', tmp_path)
    assert not (tmp_path / "owned").exists()
    spec = tmp_path / "small.net"
    spec.write_text(NET)
    assert main(["train", str(spec), "--data", 'hf("user/name")', "-o", str(tmp_path / "run")]) == 1
    said = capfd.readouterr().err
    assert "the Hub cannot be reached" in said
    assert "Traceback" not in said


def test_a_net_is_trained_on_parquet_read_by_processes(
    tmp_path: Path, hub: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same weights whoever reads, and evaluation of the run from its folder."""
    monkeypatch.chdir(tmp_path)
    table(hub, range(12)).to_parquet(tmp_path / "train.parquet")
    (tmp_path / "small.net").write_text(NET)
    settings = ["--data", 'parquet("train.parquet", test="train.parquet")', "--no-onnx", "-q"]
    for text in ("epochs=2", "batch=4", "resident=0", "augment=random_resized_crop(8)"):
        settings += ["--set", text]
    runs = []
    for workers in (0, 2):
        folder = tmp_path / f"run{workers}"
        assert (
            main(["train", str(tmp_path / "small.net"), "-o", str(folder), *settings, "--set", f"workers={workers}"])
            == 0
        )
        runs.append(load_file(folder / "model.safetensors"))
    assert all(torch.equal(runs[0][n], runs[1][n]) for n in runs[0])
    assert main(["eval", str(tmp_path / "run0")]) == 0


def test_a_column_of_numbers_is_held_as_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """8 bytes each, and not a text; one whose texts begin later keeps its first cells as they are written."""
    monkeypatch.setattr("netdsl.inference.tables.CHUNK", 1)
    rows = [f" {i}.50 ,0{i % 3},{'late' if i == 130 else f'0{i}'},{'NA' if i % 2 else i}" for i in range(140)]
    (tmp_path / "a.csv").write_text("\n".join(["number,code,mixed,gaps", *rows]))
    found = csv_columns(tmp_path / "a.csv", texts={"code"})
    assert {n: c.dtype.kind for n, c in found.items()} == {"number": "f", "code": "O", "mixed": "O", "gaps": "f"}
    assert found["number"][:2].tolist() == [0.5, 1.5]
    assert found["code"][:4].tolist() == ["00", "01", "02", "00"]
    assert found["mixed"][[1, 129, 130]].tolist() == ["01", "0129", "late"]
    assert np.isnan(found["gaps"][1::2]).all()
