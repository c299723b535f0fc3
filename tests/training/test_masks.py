"""Masks in files: how they are stored, when they are read, and that training doesn't depend on it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from recipe_harness import recipe
from safetensors.torch import load_file

from netdsl.cli.main import main
from netdsl.training.data.dataset import DataError, Split, smallest
from netdsl.training.data.resident import Resident
from netdsl.training.readers import read

SPEC = """
net Small(classes=3) {
  input image [3, 16, 16]
  conv(4, 3) -> relu -> conv(classes, 1, padding=0)
}
recipe Quick for Small {
  data    = maskfolder("shapes", ignore=255)
  epochs  = 2
  batch   = 4
  augment = hflip
}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(3)
    for split, count in (("train", 10), ("val", 3)):
        for kind in ("images", "masks"):
            (tmp_path / "shapes" / split / kind).mkdir(parents=True)
        for i in range(count):
            mask = rng.choice(np.array([0, 1, 2, 255], dtype=np.uint8), (16, 16))
            pixels = np.repeat(mask[:, :, None] % 3 * 80, 3, 2).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "shapes" / split / "images" / f"{i}.png")
            Image.fromarray(mask).save(tmp_path / "shapes" / split / "masks" / f"{i}.png")
    (tmp_path / "small.net").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def split_of(here: Path) -> Split:
    return read(recipe('data = maskfolder("shapes", ignore=255)').data, here, (3, 16, 16), 3).train


def test_masks_are_read_when_they_are_asked_for_and_kept_as_bytes(here: Path) -> None:
    split = split_of(here)
    assert split.inputs == ()
    assert split.target.nbytes == 0
    assert split.bytes == 3 * 16 * 16 + 16 * 16  # one byte for each pixel's class
    resident = split.kept(10 * split.bytes)
    assert isinstance(resident.read, Resident)
    assert resident.read.kept[1].dtype == torch.int8
    assert sum(x.nbytes for x in resident.read.kept) == 10 * split.bytes
    assert split.kept(10 * split.bytes - 1) is split
    index = torch.tensor([7, 2])
    assert torch.equal(split.take(index)[0][0], resident.take(index)[0][0])
    assert torch.equal(split.take(index)[1], resident.take(index)[1])
    target = split.take(index)[1]
    truth = torch.from_numpy(np.asarray(Image.open(here / "shapes/train/masks/7.png")).astype(np.int64))
    assert target.dtype == torch.int64
    assert torch.equal(target[0], torch.where(truth == 255, -1, truth))


@pytest.mark.parametrize("settings", [["resident=0"], ["resident=0", "workers=1"], ["resident=0", "micro_batch=4"]])
def test_weights_do_not_depend_on_where_masks_are(here: Path, settings: list[str]) -> None:
    given = [part for s in settings for part in ("--set", s)]
    assert main(["train", "small.net", "--no-onnx", "-q", "-o", "memory"]) == 0
    assert main(["train", "small.net", "--no-onnx", "-q", "-o", "files", *given]) == 0
    one, two = (load_file(here / n / "model.safetensors") for n in ("memory", "files"))
    assert all(torch.equal(one[n], two[n]) for n in one)


def test_a_mask_that_cannot_be_in_memory_is_named(here: Path) -> None:
    """A header that declares 65,535 x 65,535 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 65_535, 65_535, 8, 0, 0, 0, 0))
    huge = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    (here / "shapes/train/masks/3.png").write_bytes(huge)
    with pytest.raises(DataError, match=r"3\.png is not an image that can be read"):
        split_of(here)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([-1, 127], torch.int8), ([0, 128], torch.int16), ([-1, 40_000], torch.int32), ([2**40], torch.int64)],
)
def test_the_smallest_type_that_holds_them(values: list[int], dtype: torch.dtype) -> None:
    found = smallest(torch.tensor(values))
    assert found.dtype == dtype
    assert found.tolist() == values


def test_classes_have_names(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the run, beside the shares that `predict` shows, and for a class that no mask has."""
    data = 'maskfolder("shapes", ignore=255, classes=["sky", "tree", "road", "car"])'
    given = ["--data", data, "-p", "classes=4", "--set", "epochs=1", "-q", "--no-onnx", "-o", "run"]
    assert main(["train", "small.net", *given]) == 0
    assert main(["predict", "run", "shapes/val/images/0.png"]) == 0
    assert "sky " in capsys.readouterr().out
    few = 'maskfolder("shapes", ignore=255, classes=["sky", "tree"])'
    assert main(["train", "small.net", "--data", few, "-p", "classes=2", "-q", "-o", "no"]) == 1
    assert "have class 2, and `classes` names 2" in capsys.readouterr().err
    assert main(["train", "small.net", "--data", few, "-q", "-o", "no"]) == 1
    assert "`maskfolder` has 2 classes, the net" in capsys.readouterr().err
