"""Images in files that fit into memory are decoded once, when they are first asked for: training begins at once."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Generator, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from recipe_harness import recipe
from safetensors.torch import load_file
from torch import Tensor

from netdsl.cli.main import main
from netdsl.training.data import fit
from netdsl.training.data.batches import BatchLoader
from netdsl.training.data.dataset import DataSet, Split
from netdsl.training.data.prefetch import loaded
from netdsl.training.data.resident import Resident
from netdsl.training.data.targets import Targets
from netdsl.training.readers import read

SPEC = """
net Small(classes=2) {
  input image [3, 8, 8]
  conv(4, 3) -> bn -> relu -> gap -> linear(classes)
}
recipe Kept for Small {
  data       = imagefolder("images")
  epochs     = 3
  batch      = 8
  validation = 0.1
  repeat     = 2
  drop_last  = true
  augment    = hflip -> random_erasing(0.5)
  mix        = mixup(0.4)
}
"""
COUNT = 40


class Counting:
    """Samples that are their own numbers; remembers which were read."""

    def __init__(self) -> None:
        self.read: list[int] = []

    def __call__(self, index: Tensor) -> tuple[Tensor, ...]:
        self.read += index.tolist()
        return (index[:, None].to(torch.int32),)


def here(read: Any, jobs: Iterable[Tensor]) -> Generator[tuple[Tensor, ...], None, None]:
    yield from map(read, jobs)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A spec beside forty small images of two classes, and ten to test on."""
    (tmp_path / "small.net").write_text(SPEC)
    rng = np.random.default_rng(0)
    for split, count in (("train", COUNT), ("val", 10)):
        for i in range(count):
            folder = tmp_path / "images" / split / ("cat", "dog")[i % 2]
            folder.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 128, (8 + i % 3, 9, 3)) + 100 * (i % 2)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:02}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("workers", [None, 0, 1, 2])
def test_every_sample_is_read_once_and_in_the_order_of_its_first_use(workers: int | None) -> None:
    counting = Counting()
    resident = Resident(counting, (torch.zeros(1, 1, dtype=torch.int32),), COUNT)
    random = torch.Generator().manual_seed(0)
    parts = [torch.randint(0, COUNT, (7,), generator=random) for _ in range(60)]
    assert torch.equal(resident(parts[3])[0][:, 0], parts[3].int())
    load: Any = here if workers is None else partial(loaded, workers=workers)
    for part, (found,) in zip(parts, resident.in_order(parts, load), strict=True):
        assert torch.equal(found[:, 0], part.int())
    assert bool(resident.known.all())
    if not workers:
        assert len(counting.read) == len(set(counting.read)) == COUNT - 1
        first = dict.fromkeys(i for part in [parts[3], *parts] for i in part.unique().tolist())
        assert counting.read == [i for i in first if i]  # it begins with the first sample
    done = len(counting.read)
    assert torch.equal(resident(torch.arange(COUNT))[0][:, 0], torch.arange(COUNT).int())
    assert len(counting.read) == done


def test_what_is_over_is_forgotten() -> None:
    """The indices of a whole run are passed, one after the other."""
    resident = Resident(Counting(), (torch.zeros(1, 1, dtype=torch.int32),), 8)
    alive: list[weakref.ref[Tensor]] = []

    def parts() -> Iterator[Tensor]:
        for _ in range(500):
            part = torch.arange(8)
            alive.append(weakref.ref(part))
            yield part

    for _ in range(2):  # nothing is known, then everything
        alive.clear()
        for _ in resident.in_order(parts(), here):
            gc.collect(0)
            assert sum(ref() is not None for ref in alive) < 130  # `tee` forgets in blocks


def test_training_begins_before_the_rest_is_read(root: Path) -> None:
    found = recipe('data = imagefolder("images")\nbatch = 4\nworkers = 0')
    counting = Counting()
    split = Split((), torch.zeros(COUNT, dtype=torch.int64), counting).kept(1 << 20)
    counting.read.clear()
    feed = BatchLoader(split, found, Targets(found, "classes", 2))
    feed.begin((step, 0, 4) for step in range(30))
    for step in range(30):
        feed.batch(step)
        assert len(counting.read) <= min(COUNT, 4 * (step + 1) + 1)  # and one to see how large they are
    assert sorted(counting.read) == [*range(1, COUNT)]  # the first was read when the split was kept
    feed.end()


@pytest.mark.parametrize("workers", [0, 2])
def test_nothing_depends_on_what_is_kept(root: Path, workers: int) -> None:
    """Weights bit for bit, with mixing, copies and a part that is held out."""
    runs = []
    for resident in (0, 1024):
        given = ["--set", f"resident={resident}", "--set", f"workers={workers}", "-o", f"run{resident}"]
        assert main(["train", "small.net", "--no-onnx", "-q", *given]) == 0
        runs.append(load_file(f"run{resident}/model.safetensors"))
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_breaks_a_run_in_the_middle_is_named(
    root: Path, capfd: pytest.CaptureFixture[str], workers: int
) -> None:
    """The run is kept, and goes on when the image is mended."""
    more = ["--set", f"workers={workers}", "--set", "standardize=none", "--set", "checkpoint=1 steps"]
    assert main(["train", "small.net", "--no-onnx", "-q", "-o", "whole", *more]) == 0
    broken = root / "images/train/dog/21.png"
    good = broken.read_bytes()
    broken.write_bytes(good[:60])
    assert main(["train", "small.net", "--no-onnx", "-q", "-o", "run", *more]) == 1
    said = capfd.readouterr().err
    assert "train/dog/21.png is not an image that can be read" in said
    assert "Traceback" not in said
    broken.write_bytes(good)
    assert main(["train", "--resume", "run", "--no-onnx", "-q"]) == 0
    one, two = (load_file(f"{name}/model.safetensors") for name in ("whole", "run"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_statistics_do_not_depend_on_what_is_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are taken from some of many images, wherever these are."""
    monkeypatch.setattr(fit, "LARGEST", 12)
    found = recipe('data = imagefolder("images")')
    data: DataSet = read(found.data, root, (3, 8, 8), 2)
    kept = data.train.kept(1 << 20)
    assert fit.statistics(data.train, found.standardize) == fit.statistics(kept, found.standardize)
    assert isinstance(kept.read, Resident)
    assert int(kept.read.known.sum()) in (12, 13)  # and the first
