"""Training images are cut from whole files: what a published pipeline does before anything else."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from recipe_harness import recipe
from torch import Tensor

from netdsl.inference import samples
from netdsl.inference.images import open_image
from netdsl.training.augment.cuts import first_cut
from netdsl.training.augment.geometry import crop_boxes
from netdsl.training.augment.pipeline import Pipeline
from netdsl.training.data.batches import BatchLoader
from netdsl.training.data.dataset import DataError, Split
from netdsl.training.data.fit import fit
from netdsl.training.data.resident import Resident
from netdsl.training.data.targets import Targets
from netdsl.training.readers import read
from netdsl.training.readers.images import View
from netdsl.training.rng import KeyedRng, key

HIGH, WIDE = 30, 48


def image(number: int) -> np.ndarray:
    """Row, column and number of a pixel as its colours."""
    rows, columns = np.mgrid[0:HIGH, 0:WIDE].astype(np.uint8)
    return np.stack([rows * 4, columns * 4, np.full_like(rows, number)], 2)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split in ("train", "val"):
        for c, name in enumerate(("cat", "dog")):
            (tmp_path / split / name).mkdir(parents=True)
            for i in range(6):
                Image.fromarray(image(6 * c + i)).save(tmp_path / split / name / f"{i}.png")
    return tmp_path


def split(root: Path, fields: str, size: int = 16) -> Split:
    word = recipe(fields).data
    return fit(read(word, root, (3, size, size), 2), (3, size, size), 2).train


def batch(root: Path, fields: str, step: int = 0, size: int = 16) -> tuple[BatchLoader, Tensor]:
    found = recipe(f"batch = 5\n{fields}")
    feed = BatchLoader(split(root, fields, size), found, Targets(found, "classes", 2))
    return feed, feed.batch(step).inputs[0]


def test_random_resized_crop_cuts_the_file_and_not_the_middle_of_it(root: Path) -> None:
    """Each image equals Pillow's crop of the whole file, resized: 24 of 48 columns lie outside of the middle cut."""
    fields = 'data = imagefolder(".", resize=16)\naugment = random_resized_crop(16, (0.05, 0.2))'
    feed, x = batch(root, fields)
    samples = feed.order(0)[feed.slots(0)]
    word = recipe(fields).augment[0]
    frame = Pipeline((word,)).frame(0, KeyedRng(key(0, "augment", 0), samples), 0)
    seen = []
    for i, (top, left, height, width) in enumerate(zip(*crop_boxes(word, HIGH, WIDE, frame), strict=True)):  # type: ignore[arg-type]
        box = tuple(int(v) for v in (left, top, left + width, top + height))
        part = Image.fromarray(image(int(samples[i]))).crop(box).resize((16, 16), Image.Resampling.BILINEAR)
        assert torch.equal((x[i] * 255).round().byte(), torch.from_numpy(np.asarray(part).copy()).permute(2, 0, 1))
        seen += [int(left), int(left + width)]
    assert min(seen) < 9 or max(seen) > 39  # beyond the middle 30 columns


def test_crop_cuts_the_image_resized_as_for_evaluation(root: Path) -> None:
    _, x = batch(root, 'data = imagefolder(".", resize=15, crop=8)\naugment = crop(12)', size=8)
    assert x.shape == (5, 3, 12, 12)
    assert float((x[:, 1, 0, -1] - x[:, 1, 0, 0]).mean() * 255) == pytest.approx(11 * 4 * WIDE / 24, rel=0.05)
    with pytest.raises(DataError, match="larger than an image of 15 x 24"):
        batch(root, 'data = imagefolder(".", resize=15, crop=8)\naugment = crop(16)', size=8)


def test_a_cut_of_another_size_than_the_net_takes_is_refused(root: Path) -> None:
    """It would be trained at one size and tested on images enlarged from it."""
    with pytest.raises(DataError, match="`crop=8` cuts 8 x 8 pixels, and the net takes 16 x 16"):
        split(root, 'data = imagefolder(".", resize=15, crop=8)')
    found = read(recipe('data = imagefolder(".", resize=15, crop=8)').data, root, (3, 0, 0), 2)
    assert found.test.example()[0].shape == (1, 3, 8, 8)


def test_other_pipelines_see_the_middle(root: Path) -> None:
    for augment in ("hflip -> random_resized_crop(16)", "crop(16, padding=2)", "crop(padding=2)", "hflip"):
        feed, _ = batch(root, f'data = imagefolder(".")\naugment = {augment}')
        x = feed.batch(0).inputs[0]
        assert float(x[:, 1].max()) * 255 <= 4 * 40, augment


def test_a_process_that_reads_writes_where_the_other_one_reads(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of the batch in between took a tenth of the time."""
    monkeypatch.setattr("netdsl.training.readers.images.in_process", lambda: True)
    for fields in ("augment = random_resized_crop(16)", ""):
        feed, _ = batch(root, 'data = imagefolder(".")\n' + fields)
        assert feed.decoder is not None
        assert all(x.is_shared() for x in feed.decoder((0, 0, 5)))


def test_cuts_do_not_depend_on_shares_or_on_what_is_kept(root: Path) -> None:
    fields = 'data = imagefolder(".")\naugment = random_resized_crop(16) -> hflip\nmix = mixup(0.5)\nrepeat = 2'
    feed, whole = batch(root, fields, step=2)
    parts = torch.cat([feed.batch(2, i, i + 1).inputs[0] for i in range(feed.count(2))])
    assert torch.equal(parts, whole)
    found = recipe(f"batch = 5\n{fields}")
    kept = BatchLoader(split(root, fields).kept(1 << 20), found, Targets(found, "classes", 2))
    assert isinstance(kept.split.read, Resident)
    assert torch.equal(kept.batch(2).inputs[0], whole)
    held = feed.split.subset(torch.tensor([3, 1]))
    assert held.cut is not None


def test_warped_images_show_everything(root: Path) -> None:
    cut, warped = (split(root, f'data = imagefolder(".", crop=16{more})') for more in ("", ", fit=warp"))
    assert float(cut.take(torch.arange(12))[0][0][:, 1].max()) < 4 * 40 / 255
    assert float(warped.take(torch.arange(12))[0][0][:, 1].max()) > 4 * 45 / 255


def test_boxes_of_a_batch_are_those_of_each_sample_alone() -> None:
    """Whatever the sizes of the images and the order in which they are asked for."""
    for augment in ("random_resized_crop(16)", "crop(12)", "scale_jitter(16)"):
        pipeline = Pipeline(recipe(f"augment = {augment}").augment)
        together = first_cut(pipeline, KeyedRng(7, torch.arange(9)), 0)
        assert together is not None
        for i in (8, 0, 3, 8):
            alone = first_cut(pipeline, KeyedRng(7, torch.tensor([i])), 0)
            assert alone is not None
            for height, width in ((30, 48), (17, 400), (48, 30)):
                assert together.part(i, height, width) == alone.part(0, height, width)


def test_moved_bytes_are_the_moved_floats() -> None:
    """Augmentations that only move pixels work on bytes; every pipeline gives what it gives for floats."""
    x = torch.randint(0, 256, (6, 3, 12, 12), dtype=torch.uint8)
    for augment in ("hflip", "vflip -> crop(padding=2) -> hflip", "translate(3)", "crop(8) -> grayscale(0.5) -> hflip"):
        pipeline = Pipeline(recipe(f"augment = {augment}").augment)
        draws = KeyedRng(3, torch.arange(6))
        (stored,), _ = pipeline((x,), torch.zeros(6), draws, 0)
        (floats,), _ = pipeline((x.float() / 255,), torch.zeros(6), draws, 0)
        assert torch.equal(stored, floats), augment


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_becomes_planes(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (170, 201, 3), np.uint8)  # more than one buffer of Pillow's
    opened = Image.fromarray(pixels).convert("L" if channels == 1 else "RGB")
    expected = np.asarray(opened).reshape(170, 201, channels).transpose(2, 0, 1)
    assert np.array_equal(View((channels, 8, 8)).array(opened), expected)


# JPEG files at a reduced size.


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """JPEG files of 320 x 240 of a smooth image, in which a pixel's place can be read."""
    rows, columns = np.mgrid[0:240, 0:320]
    pixels = np.stack([rows * 255 / 239, columns * 255 / 319, 0 * rows + 90], 2).astype(np.uint8)
    for part in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for i in range(3):
                Image.fromarray(pixels).save(tmp_path / part / name / f"{i}.jpg", quality=95, subsampling=0)
    return tmp_path


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The sizes at which images are decoded."""
    seen: list[tuple[int, int]] = []
    load = JpegImageFile.load

    def noted(self: JpegImageFile) -> Any:
        seen.append(self.size)
        return load(self)

    monkeypatch.setattr(JpegImageFile, "load", noted)
    return seen


@pytest.mark.parametrize(
    ("augment", "largest"),
    [
        ("random_resized_crop(16, scale=[0.5, 1], ratio=[1, 1.3])", 80),
        ("scale_jitter(16, scale=[0.5, 1])", 80),
        ("random_resized_crop(200, scale=[0.5, 1])", 320),  # nothing is decoded smaller than it is shown
        ("crop(16)", 40),
    ],
)
def test_jpeg_files_are_decoded_as_small_as_shows_enough(
    photos: Path, sizes: list[tuple[int, int]], augment: str, largest: int
) -> None:
    """The same part of each image, to a few levels of a smooth one, from a part of the pixels."""
    source = "imagefolder('.', resize=20, crop=16{})".replace("'", '"')
    found = []
    for reduced in ("", ", reduced=true"):
        sizes.clear()
        x = batch(photos, f"data = {source.format(reduced)}\naugment = {augment}", size=16)[1]
        found.append((x, {width for width, _ in sizes[1:]}))
    (whole, at), (some, less) = found
    assert at == {320}
    assert max(less) <= largest
    assert float((whole - some).abs().max()) * 255 < 8


def test_evaluation_and_prediction_see_the_same_reduced_images(photos: Path, sizes: list[tuple[int, int]]) -> None:
    fields = 'data = imagefolder(".", resize=20, crop=16, reduced=true)'
    found = split(photos, fields)
    (x,), _ = found.take(torch.arange(1))
    assert sizes[-1] == (40, 30)
    trained = SimpleNamespace(
        shape=(3, 16, 16), task="classes", view=recipe(fields).data, names=(None, None, None), constraints=(),
    )  # fmt: skip
    sample = samples._image(trained, photos / "train/cat/0.jpg", False)  # type: ignore[arg-type]
    assert sizes[-1] == (40, 30)
    np.testing.assert_allclose(sample.inputs[0], x.numpy(), atol=1e-6)


def test_a_reduced_image_lies_on_its_mask(tmp_path: Path) -> None:
    """Odd sizes are rounded up when they are halved: by its own, an image would be cut a pixel beside its mask."""
    sides = [(w, h) for w in range(161, 180, 6) for h in range(131, 150, 6)]
    for part in ("train", "val"):
        for kind in ("images", "masks"):
            (tmp_path / part / kind).mkdir(parents=True)
    for i, (wide, high) in enumerate(sides):
        rows, columns = np.mgrid[0:high, 0:wide]
        mask = ((rows // 40 + columns // 40) % 2).astype(np.uint8)
        Image.fromarray(mask).save(tmp_path / "train/masks" / f"{i}.png")
        Image.fromarray(mask * 255).save(tmp_path / "train/images" / f"{i}.jpg", quality=95)
    for kind, name in (("images", "0.jpg"), ("masks", "0.png")):
        (tmp_path / "val" / kind / name).write_bytes((tmp_path / "train" / kind / name).read_bytes())
    view = View((1, 32, 32), resize=40, reduced=True)
    for i in range(len(sides)):
        with Image.open(tmp_path / "train/images" / f"{i}.jpg") as image:
            whole = view.scaled(image).size
        assert view.scaled(open_image(tmp_path / "train/images" / f"{i}.jpg", 1, least=view.least)).size == whole
    source = recipe('data = maskfolder(".", resize=40, crop=32, reduced=true)').data
    split = fit(read(source, tmp_path, (1, 32, 32), 2), (1, 32, 32), 2).train
    (x,), mask = split.take(torch.arange(len(sides)))
    assert ((x[:, 0] > 0.5) == mask.bool()).float().mean() > 0.97
