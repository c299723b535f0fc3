"""What a data set and a recipe for it must not be: each is answered in words, and every augmentation says what it does
to a mask."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from recipe_harness import recipe, resolved

from netdsl.cli.main import main
from netdsl.recipe.losses import DiceCe
from netdsl.recipe.registry import registered
from netdsl.training.augment.pipeline import Pipeline
from netdsl.training.data.dataset import DataError, DataSet
from netdsl.training.data.fit import held_out
from netdsl.training.losses.losses import loss_of
from netdsl.training.readers import read
from netdsl.training.rng import KeyedRng

RNG = np.random.default_rng(0)
X = RNG.integers(0, 255, (40, 3, 16, 16), dtype=np.uint8)
Y = RNG.integers(0, 2, 40)
NETS = """
net Classes(classes=2) {
  input image [3, 16, 16]
  conv(4, 3) -> relu -> gap -> linear(classes)
}
net Masks(classes=2) {
  input image [3, 16, 16]
  conv(classes, 3)
}
net Table(outputs=2) {
  input x [4]
  linear(outputs)
}
net Flat {
  input x [768]
  linear(2)
}
net Words(count=10) {
  input words [4] int64
  embed(count, 4) -> flatten -> linear(2)
}
net Two {
  input a [3, 16, 16]
  input b [3, 16, 16]
  x = a -> conv(4, 3) -> gap
  y = b -> conv(4, 3) -> gap
  concat(x, y) -> linear(2)
}
"""


def refused(tmp_path: Path, capfd: pytest.CaptureFixture[str], net: str, data: str, said: str, *settings: str) -> None:
    """`netdsl train` refuses in these words, without a traceback."""
    (tmp_path / "s.net").write_text(NETS)
    words = [w for s in ("epochs=1", *settings) for w in ("--set", s)]
    where = ["-o", str(tmp_path / "run"), "-q", "--no-onnx", "--recipe", "none"]
    assert main(["train", f"{tmp_path / 's.net'}:{net}", "--data", data, *where, *words]) == 1
    found = capfd.readouterr().err
    assert said in found, found
    assert "Traceback" not in found
    assert "internal error" not in found


ARRAYS: dict[str, tuple[dict[str, Any], str]] = {
    "last": ({"x": X.transpose(0, 2, 3, 1), "y": Y}, "channels come first: `x.transpose(0, 3, 1, 2)`"),
    "nan": ({"x": np.where(X > 250, np.nan, X / 255), "y": Y}, "values that are not finite, first in row"),
    "negative": ({"x": X, "y": Y - 1}, "has class -1, of 1 classes"),
    "onehot": ({"x": X, "y": np.eye(2, dtype=int)[Y]}, "`y.argmax(1)` of one-hot rows"),
    "one": ({"x": X[:1], "y": Y[:1]}, "has 1 rows to train on and 0 to test on"),
    "half": ({"x": X, "y": Y, "x_test": X}, "has `x_test` and no `y_test`"),
    "table": ({"x": RNG.random((40, 4)), "y": Y}, "the net takes [3, 16, 16], and a sample of"),
    "sizes": ({"x": X, "y": Y, "x_test": X[:, :, :8], "y_test": Y}, "samples of 3 x 16 x 16 to train on, and of 3 x 8"),
    "kinds": ({"x": X, "y": Y, "x_test": X, "y_test": Y / 2}, "classes to train on and other numbers to test on"),
    "more": ({"x": X, "y": Y, "x_test": X, "y_test": Y + 1}, "the net has 2 outputs"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_at_odds_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str) -> None:
    arrays, said = ARRAYS[name]
    np.savez(tmp_path / "a.npz", **arrays)
    refused(tmp_path, capfd, "Classes", f'npz("{tmp_path}/a.npz")', said)


def test_columns_of_classes_and_grey_images_are_taken(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X[:, 0], y=Y[:, None])
    found = read(recipe('data = npz("a.npz")').data, tmp_path, (3, 16, 16), 2)
    assert (found.task, found.train.inputs[0].shape[1:]) == ("classes", (1, 16, 16))


RECIPES = [
    ("Masks", {"y": RNG.integers(0, 2, (40, 16, 16))}, "augment=randaugment", "move the image and not its mask"),
    ("Masks", {"y": RNG.integers(0, 2, (40, 16, 16))}, "mix=mixup(0.2)", "are masks"),
    ("Masks", {"y": RNG.integers(0, 2, (40, 16, 16))}, "label_noise=0.1", "`label_noise` replaces classes"),
    ("Table", {"x": RNG.random((40, 4))}, "augment=hflip", "`hflip` is for images, and the input `x` is a vector"),
    ("Table", {"x": RNG.random((40, 4)), "y": RNG.random((40, 2))}, "seed=1", "`cross_entropy` is a loss for classes"),
    ("Table", {"x": RNG.random((40, 4)), "y": RNG.random(40)}, "loss=mse", "asks for the numbers [1]"),
    ("Classes", {"x": X.astype(np.float32)}, "augment=rotate(10)", "pixels from 0 to 1, and those of"),
    ("Classes", {}, "validation=0.99", "leaves none of 32 samples to train on"),
    ("Classes", {}, "augment=crop(24)", "`crop(24)` is larger than images of 16 x 16"),
    ("Classes", {}, "augment=crop(padding=20, mode=reflect)", "mirrors 20 pixels at the border"),
    ("Flat", {}, "augment=hflip", "and flatten them itself"),
    ("Two", {}, "augment=hflip", "the net has 2 inputs"),
    ("Words", {"x": np.arange(160).reshape(40, 4) % 12 - 3}, "seed=1", "has -3 for `words`, and the net has vectors"),
    ("Words", {"x": np.arange(160).reshape(40, 4) % 12}, "seed=1", "vectors for 0 to 9\nhint: `-p count=12`"),
]  # fmt: skip


@pytest.mark.parametrize(("net", "arrays", "setting", "said"), RECIPES, ids=[f"{n}-{s}" for n, _, s, _ in RECIPES])
def test_recipes_without_a_meaning_for_the_data_are_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], net: str, arrays: dict[str, Any], setting: str, said: str
) -> None:
    np.savez(tmp_path / "a.npz", **({"x": X, "y": Y} | arrays))
    refused(tmp_path, capfd, net, f'npz("{tmp_path}/a.npz")', said, setting)


def folder(root: Path) -> Path:
    for split in ("train", "val"):
        for c in ("a", "b"):
            (root / split / c).mkdir(parents=True)
            for i in range(2):
                Image.fromarray(X[i].transpose(1, 2, 0)).save(root / split / c / f"{i}.png")
    return root


def of(word: str, root: Path, shape: tuple[int, ...] = (3, 16, 16)) -> DataSet:
    return read(recipe(f"data = {word}").data, root, shape, 2)


def test_folders_at_odds_are_refused(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "train" / "c").mkdir()
    with pytest.raises(DataError, match="c has no images"):
        of('imagefolder(".")', root)
    (root / "train" / "c").rmdir()
    (root / "val" / "zebra").mkdir()
    with pytest.raises(DataError, match=r"has the class `zebra`, which .* has not"):
        of('imagefolder(".")', root)
    (root / "val" / "zebra").rmdir()
    with pytest.raises(DataError, match="smaller than what the net takes"):
        of('imagefolder(".", resize=8)', root)
    for shape in ((768,), (4, 16, 16)):
        with pytest.raises(DataError, match="images have 1 or 3 channels"):
            of('imagefolder(".")', root, shape)


def test_images_of_other_depths_are_read_or_refused(tmp_path: Path) -> None:
    """16 bits keep their first eight, palettes and transparent ones become colours; floating-point ones are refused."""
    root = folder(tmp_path)
    deep = RNG.integers(0, 65535, (16, 16), dtype=np.uint16)
    Image.fromarray(deep).save(root / "train" / "a" / "16.png")
    found = of('imagefolder(".")', root, (1, 16, 16)).train.stored(torch.arange(3))[0]
    assert torch.equal(found[2, 0], torch.from_numpy((deep >> 8).astype(np.uint8)))  # 0.png, 1.png, 16.png
    Image.fromarray(RNG.random((16, 16)).astype(np.float32)).save(root / "train" / "a" / "f.tif")
    with pytest.raises(DataError, match=r"f.tif .*floating-point"):
        of('imagefolder(".")', root).train.take(torch.arange(4))


def masks(root: Path, mask: np.ndarray, mode: str = "L") -> Path:
    for split in ("train", "val"):
        for kind in ("images", "masks"):
            (root / split / kind).mkdir(parents=True, exist_ok=True)
        Image.fromarray(X[0].transpose(1, 2, 0)).save(root / split / "images" / "0.png")
        Image.fromarray(mask).convert(mode).save(root / split / "masks" / "0.png")
    return root


def test_masks_are_class_numbers_of_their_images(tmp_path: Path) -> None:
    mask = RNG.integers(0, 2, (16, 16), dtype=np.uint8)
    with pytest.raises(DataError, match="hold the values 0, 255") as caught:
        of('maskfolder(".")', masks(tmp_path, mask * 255))
    assert "ignore=255" in (caught.value.hint or "")
    void = mask.copy()
    void[:4] = 255
    target = of('maskfolder(".", ignore=255)', masks(tmp_path, void)).train.take(torch.tensor([0]))[1][0]
    assert (target[:4] == -1).all()
    assert torch.equal(target[4:], torch.from_numpy(mask[4:]).long())
    with pytest.raises(DataError, match=r"0.png has colours \(RGB\)"):
        of('maskfolder(".")', masks(tmp_path, mask, "RGB"))
    with pytest.raises(DataError, match="is 12 x 8, and its image 16 x 16"):
        of('maskfolder(".")', masks(tmp_path, mask[:8, :12]))
    (tmp_path / "train" / "masks" / "0.png").write_bytes(b"no")
    with pytest.raises(DataError, match=r"0.png is not an image that can be read"):
        of('maskfolder(".")', tmp_path)


def test_labels_beyond_the_classes_and_empty_sets_are_refused(tmp_path: Path) -> None:
    def idx(array: np.ndarray) -> bytes:
        return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()

    pixels, labels = RNG.integers(0, 256, (7, 28, 28), dtype=np.uint8), np.arange(7, dtype=np.uint8)
    for count, change, said in ((7, 200, "has class 206, of 10 classes"), (0, 0, "has no samples to train on")):
        for stem in ("train", "t10k"):
            (tmp_path / f"{stem}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(pixels[:count])))
            (tmp_path / f"{stem}-labels-idx1-ubyte").write_bytes(idx(labels[:count] + np.uint8(change)))
        with pytest.raises(DataError, match=said):
            of('mnist(".")', tmp_path)
    with pytest.raises(DataError, match="`digits` has no samples to test on"):
        of("digits(test=0)", tmp_path)
    with pytest.raises(DataError, match="leaves none of"):
        held_out(of("synthetic(4, 4)", tmp_path, (3, 8, 8)), 0.99, 0)


EXAMPLES = {
    "crop": "crop(padding=2)", "random_resized_crop": "random_resized_crop(24)", "resize": "resize(12)",
    "rotate": "rotate(30)", "affine": "affine(10, (0.1, 0.1), (0.8, 1.2), 5)", "elastic": "elastic(3)",
    "translate": "translate(3)", "color_jitter": "color_jitter(0.4, 0.4, 0.4, 0.1)",
    "gaussian_noise": "gaussian_noise(0.1)", "cutout": "cutout(8)", "scale_jitter": "scale_jitter(24)",
}  # fmt: skip


@pytest.mark.parametrize("name", registered("augment"))
def test_what_every_augmentation_does_to_a_mask_is_said(name: str) -> None:
    """It moves alike and keeps its classes, or it stays as it is; what would move the image alone is refused."""
    word = registered("augment")[name]
    text = EXAMPLES.get(name, name)
    found, mistakes = resolved(f"recipe Test {{\ndata = clutter\nloss = dice_ce\naugment = {text}\n}}")
    if word.masks == "refused":  # type: ignore[attr-defined]
        assert found is None
        assert mistakes[0].code == "not-supported"
        return
    assert found is not None
    generator = torch.Generator().manual_seed(0)
    x, mask = torch.rand(8, 3, 24, 24, generator=generator), torch.randint(0, 3, (8, 24, 24), generator=generator)
    (after, *_), moved = Pipeline(found.augment, mask=True)((x,), mask, KeyedRng(1, torch.arange(8)), 0)
    assert moved.shape[1:] == after.shape[2:]
    assert set(moved.unique().tolist()) <= {-1, 0, 1, 2}
    same = moved.shape == mask.shape and bool(torch.equal(moved, mask))
    assert same == (word.masks == "ignores")  # type: ignore[attr-defined]


def test_dice_does_not_count_what_has_no_class() -> None:
    """A mask whose right half is unknown has the loss of its left half."""
    generator = torch.Generator().manual_seed(0)
    logits, target = torch.randn(3, 4, 6, 8, generator=generator), torch.randint(0, 4, (3, 6, 8), generator=generator)
    loss = loss_of(DiceCe())
    unknown = target.clone()
    unknown[:, :, 4:] = -1
    left = loss(logits[:, :, :, :4], target[:, :, :4]).mean()
    assert torch.allclose(loss(logits, unknown).mean(), left, atol=1e-6)
    assert torch.isfinite(loss(logits, torch.full_like(target, -1)).mean())
