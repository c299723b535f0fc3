"""Masks of mixed sizes, resized and cut with their images as Pillow does, and masks in colours."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from recipe_harness import recipe

from netdsl.cli.main import main
from netdsl.training.data.batches import BatchLoader
from netdsl.training.data.dataset import DataError, DataSet
from netdsl.training.data.targets import Targets
from netdsl.training.readers import read
from netdsl.training.readers.masks import in_colors

COLORS = {0: (0, 0, 0), 1: (128, 192, 32), 2: (255, 0, 16)}
WRITTEN = 'colors=["#000000", "#80c020", "#FF0010"]'
SIZES = [(40, 30), (24, 24), (33, 51)]


def masks(base: Path, mode: str = "L", void: int | None = None) -> list[np.ndarray]:
    """Images of mixed sizes whose masks are blocks of three classes."""
    rng, found = np.random.default_rng(1), []
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (base / "d" / split / kind).mkdir(parents=True)
        for i, (width, height) in enumerate(SIZES):
            blocks = rng.integers(0, 3, (-(-height // 8), -(-width // 8))).astype(np.uint8)
            mask = np.kron(blocks, np.ones((8, 8), dtype=np.uint8))[:height, :width]
            if void is not None:
                mask[:2] = void
            pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(base / "d" / split / "images" / f"{i}.png")
            written(mask, mode, void).save(base / "d" / split / "masks" / f"{i}.png")
            found.append(mask)
    return found


def written(mask: np.ndarray, mode: str, void: int | None) -> Image.Image:
    if mode == "L":
        return Image.fromarray(mask)
    table = {**COLORS, **({void: (224, 224, 192)} if void is not None else {})}
    colored = Image.fromarray(np.array([[table[int(v)] for v in row] for row in mask], dtype=np.uint8))
    return colored if mode == "RGB" else colored.convert("P", palette=Image.Palette.ADAPTIVE, colors=8)


def data(base: Path, fields: str = "", shape: tuple[int, ...] = (3, 16, 16)) -> DataSet:
    return read(recipe(f'data = maskfolder("d"{fields})').data, base, shape, 3)


def by_pillow(image: Image.Image, resize: int, crop: int, how: Image.Resampling) -> np.ndarray:
    """torchvision's Resize on the shorter side and CenterCrop, on Pillow."""
    short, long = sorted(image.size)
    other = int(resize * long / short)
    size = (resize, other) if image.width <= image.height else (other, resize)
    image = image.resize(size, how) if size != image.size else image
    left, top = round((image.width - crop) / 2), round((image.height - crop) / 2)
    return np.asarray(image.crop((left, top, left + crop, top + crop)))


@pytest.mark.parametrize(("resize", "crop"), [(16, 16), (20, 16), (48, 32)])
def test_image_and_mask_are_resized_and_cut_alike(tmp_path: Path, resize: int, crop: int) -> None:
    masks(tmp_path)
    found = data(tmp_path, f", resize={resize}, crop={crop}", (3, crop, crop))
    images, target = found.train.take(torch.arange(3))
    for i in range(3):
        image, mask = (Image.open(tmp_path / f"d/train/{kind}/{i}.png") for kind in ("images", "masks"))
        expected = by_pillow(image, resize, crop, Image.Resampling.BILINEAR)
        assert torch.equal(
            (images[0][i] * 255).round().to(torch.uint8), torch.from_numpy(expected.copy()).permute(2, 0, 1)
        )
        expected = by_pillow(mask, resize, crop, Image.Resampling.NEAREST)
        assert torch.equal(target[i], torch.from_numpy(expected.astype(np.int64)))


@pytest.mark.parametrize(
    "first", ["random_resized_crop(12, scale=[0.3, 1])", "crop(12)", "scale_jitter(12, scale=[0.2, 2])"]
)
def test_image_and_mask_are_cut_from_the_same_part_of_their_files(tmp_path: Path, first: str) -> None:
    """An image that is its own mask stays so, whatever is cut of it: the same box, and no blending with `nearest`."""
    truth = masks(tmp_path)
    for i in range(3):
        Image.fromarray(np.repeat(truth[i][:, :, None], 3, 2)).save(tmp_path / f"d/train/images/{i}.png")
    interpolation = ", interpolation=nearest" if "scale" in first else ""
    fields = f"augment = {first.replace(')', interpolation + ')')} -> hflip\nbatch = 3\nworkers = 0\nloss = dice_ce"
    given = recipe(f'data = maskfolder("d", interpolation=nearest)\n{fields}')
    split = read(given.data, tmp_path, (3, 16, 16), 3).train
    feed = BatchLoader(split, given, Targets(given, "mask", 3), mask=True)
    seen = []
    for step in range(4):
        batch = feed.batch(step)
        assert batch.target.shape == (3, 12, 12)
        assert torch.equal((batch.inputs[0][:, 0] * 255).round().long(), batch.target.clamp(min=0))
        if "jitter" not in first:
            assert int(batch.target.min()) >= 0
        seen.append(batch.target)
    assert not torch.equal(seen[0].sort(0).values, seen[1].sort(0).values)


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_colors_are_classes(tmp_path: Path, mode: str) -> None:
    truth = masks(tmp_path, mode, void=7)
    found = data(tmp_path, f', {WRITTEN}, ignore_color="#e0e0c0", classes=["sky", "tree", "road"]')
    assert found.classes == ("sky", "tree", "road")
    target = found.train.take(torch.arange(3))[1]
    for i, mask in enumerate(truth[:3]):
        expected = by_pillow(Image.fromarray(mask), 16, 16, Image.Resampling.NEAREST)
        classes = torch.from_numpy(expected.astype(np.int64))
        assert torch.equal(target[i], torch.where(classes == 7, -1, classes))


@pytest.mark.parametrize(
    ("fields", "mode", "said"),
    [
        (', colors=["#000000", "#80c020"]', "RGB", r"0.png has `#ff0010`, the colour of no class"),
        ("", "RGB", r"say which class each colour is: `colors=\[\"#"),
    ],
)
def test_colors_that_are_no_class_are_said(tmp_path: Path, fields: str, mode: str, said: str) -> None:
    masks(tmp_path, mode)
    with pytest.raises(DataError) as found:
        data(tmp_path, fields)
    assert re.search(said, f"{found.value.diagnostic.message} {found.value.diagnostic.hint}")


SPEC = """net Small(classes=3) {{
  input image [3, 16, 16]
  conv(4, 3) -> relu -> conv(classes, 1, padding=0)
}}
recipe Quick for Small {{
  data    = maskfolder("d", {fields})
  epochs  = 1
  batch   = 2
  augment = random_resized_crop(16) -> hflip
  metrics = [per_class]
}}
"""


def test_a_run_on_colors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its report, its evaluation, its predictions and its file know the names of the classes and their colours."""
    masks(tmp_path, "RGB")
    (tmp_path / "n.net").write_text(
        SPEC.format(fields=f'{WRITTEN}, ignore_color="#090909", classes=["sky", "tree", "road"], resize=20')
    )
    run = tmp_path / "run"
    assert main(["train", str(tmp_path / "n.net"), "-o", str(run), "-q", "--set", "workers=0"]) == 0
    result = json.loads((run / "run.json").read_text())["result"]
    assert len(result["mean_iou_per_class"]) == 3
    report = (run / "report.html").read_text()
    shares = [(result["per_class"][i], result["mean_iou_per_class"][i]) for i in range(3)]
    for name, (recall, iou) in zip(("sky", "tree", "road"), shares, strict=True):
        assert f"</i>{name}</th><td>{iou:.2%}</td><td>{recall:.2%}</td>" in report
    capsys.readouterr()
    assert main(["eval", str(run), "--metrics", "per_class"]) == 0
    assert "road recall" in capsys.readouterr().out
    for model, name in ((run, "a"), (run / "model.onnx", "b")):
        picture = str(tmp_path / "d/val/images/0.png")
        assert main(["predict", str(model), picture, "-o", str(tmp_path / name), "--json"]) == 0
        (found,) = json.loads(capsys.readouterr().out)
        assert list(found["shares"]) == ["sky", "tree", "road"]
        mask = Image.open(found["mask"])
        assert mask.size == SIZES[0]
        assert {int(v) for v in np.unique(np.asarray(mask))} <= {0, 1, 2, 255}
    colors = np.asarray(Image.open(tmp_path / "a" / "0.png").convert("RGB")).reshape(-1, 3)
    assert {tuple(c) for c in colors.tolist()} <= {*COLORS.values(), (9, 9, 9)}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ('colors=["#000000", "#00"]', "#00"),
        ('colors=["#000000", "#000000", "#ffffff"]', "the colour of two classes"),
        ('colors=["#000000", "#ffffff"], classes=["a", "b", "c"]', "`colors` has 2 values, `classes` names 3"),
        ('ignore_color="#ffffff"', "acts only with `colors`"),
        ('colors=["#000000", "#ffffff", "#ff0000"], ignore=255', "is said by `ignore_color`"),
        ('colors=["#000000", "#ffffff"]', "2 classes"),
        ("resize=8", "smaller than what the net takes"),
    ],
)
def test_what_colors_cannot_be_is_said_by_check(
    tmp_path: Path, fields: str, said: str, capsys: pytest.CaptureFixture[Any]
) -> None:
    (tmp_path / "n.net").write_text(SPEC.format(fields=fields))
    assert main(["check", str(tmp_path / "n.net")]) == 1
    assert said in "".join(capsys.readouterr())


def test_colours_of_a_photograph_are_listed_too(tmp_path: Path) -> None:
    """Pillow lists the colours of an image up to a limit of its own, 256."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    error = in_colors("photo.png", Image.fromarray(pixels))
    assert error.hint is not None
    assert error.hint.count('"#') == 4


def test_a_split_of_void_alone_is_said(tmp_path: Path) -> None:
    masks(tmp_path)
    splits = tmp_path / "d" / "train", tmp_path / "d" / "val"
    for void, kept in (splits, reversed(splits)):
        for i, size in enumerate(SIZES):
            Image.new("L", size, 255).save(void / "masks" / f"{i}.png")
            Image.new("L", size, 1).save(kept / "masks" / f"{i}.png")
        with pytest.raises(DataError, match=f"to {'train' if void is splits[0] else 'test'} on: all pixels are void"):
            data(tmp_path, ", ignore=255")


def in_file(guess: np.ndarray, size: tuple[int, int], resize: int, crop: int) -> np.ndarray:
    """A mask of the middle of an image that was resized (0: squeezed), at the image's own size, pixel by pixel."""
    (wide, high), short = size, min(size)
    scaled = [(resize if s == short else int(resize * s / short)) or crop for s in size]
    corner = [round((s - crop) / 2) + (crop - guess.shape[0]) // 2 for s in scaled]
    found = np.full((high, wide), 255, np.uint8)
    for y in range(high):
        for x in range(wide):
            u, v = (
                int(Fraction(2 * at + 1, 2) * s / of) - c
                for at, s, of, c in zip((x, y), scaled, size, corner, strict=True)
            )
            if 0 <= u < guess.shape[1] and 0 <= v < guess.shape[0]:
                found[y, x] = guess[v, u]
    return found


@pytest.mark.parametrize(
    ("fields", "resize", "padding"),
    [("resize=20", 20, 1), ("resize=24, crop=16", 24, 0), ("", 16, 0), ("fit=warp", 0, 1)],
)
def test_predicted_masks_are_as_large_as_their_images(
    tmp_path: Path, fields: str, resize: int, padding: int, capsys: pytest.CaptureFixture[str]
) -> None:
    masks(tmp_path)
    spec = SPEC.format(fields=fields).replace("conv(4, 3)", f"conv(4, 3, padding={padding})")
    (tmp_path / "n.net").write_text(spec)
    assert main(["train", str(tmp_path / "n.net"), "-o", str(tmp_path / "run"), "-q", "--set", "workers=0"]) == 0
    for folder, more in (("file", []), ("net", ["--net-size"])):
        pictures, out = str(tmp_path / "d/val/images"), str(tmp_path / folder)
        assert main(["predict", str(tmp_path / "run"), pictures, "-o", out, *more]) == 0
    for i, size in enumerate(SIZES):
        guess, found = (np.asarray(Image.open(tmp_path / folder / f"{i}.png")) for folder in ("net", "file"))
        assert guess.shape == (14 + 2 * padding,) * 2
        assert np.array_equal(found, in_file(guess, size, resize, 16))
    capsys.readouterr()
