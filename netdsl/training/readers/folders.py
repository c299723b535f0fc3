"""Pictures in folders: one folder for each class, or pictures and masks side by side. Read with Pillow."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from netdsl.recipe.sources import ImageFolder, MaskFolder
from netdsl.training.data.dataset import DataError, DataSet, Split
from netdsl.training.readers.images import Pictures, View, filled, open_picture
from netdsl.training.readers.registry import READERS

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}


@READERS.of(ImageFolder)
def read(word: ImageFolder, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    root = base / word.folder
    train_dir, test_dir = _folder(root, "train"), _folder(root, "val", "test")
    classes = tuple(sorted(p.name for p in train_dir.iterdir() if p.is_dir()))
    if not classes:
        raise DataError(f"{train_dir} has no folders of classes", "a picture lies in `train/CLASS/`, named as you like")
    unknown = sorted(p.name for p in test_dir.iterdir() if p.is_dir() and p.name not in classes)
    if unknown:
        raise DataError(f"{test_dir} has the class `{unknown[0]}`, which {train_dir} has not")
    view = View.of(word, shape if word.crop else _known(shape, train_dir))
    splits = [_classified(folder, classes, view) for folder in (train_dir, test_dir)]
    return DataSet(word.folder, splits[0], splits[1], classes=classes)


@READERS.of(MaskFolder)
def read_masks(word: MaskFolder, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    root = base / word.folder
    shape = _known(shape, _folder(root, "train") / "images")
    splits = [_masked(f, shape, word.ignore) for f in (_folder(root, "train"), _folder(root, "val", "test"))]
    _check_classes(word, splits)
    count = int(max(s.target.max() for s in splits)) + 1
    return DataSet(word.folder, splits[0], splits[1], task="mask", classes=tuple(map(str, range(count))))


def _folder(root: Path, *names: str) -> Path:
    if not root.is_dir():
        hint = "say where it is: `--set 'data.folder=\"...\"'`; `--data synthetic` tries the recipe out without data"
        raise DataError(f"there is no folder {root}", hint)
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise DataError(f"there is no folder {root / names[0]}", "it needs a folder `train` and a folder `val` or `test`")


def _known(shape: tuple[int, ...], folder: Path) -> tuple[int, ...]:
    """A net's input shape; sizes that it leaves open (0) are those of the first picture."""
    files = pictures_below(folder) if 0 in shape[1:3] else []
    if not files:
        return shape
    return filled(shape, open_picture(files[0], shape[0]))


def pictures_below(folder: Path) -> list[Path]:
    """The pictures in a folder and in those below it, in order."""
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS and not p.name.startswith("."))


def _classified(folder: Path, classes: tuple[str, ...], view: View) -> Split:
    pairs = [(file, i) for i, name in enumerate(classes) for file in pictures_below(folder / name)]
    if not pairs:
        raise DataError(f"{folder} has no pictures", f"known endings: {', '.join(sorted(ENDINGS))}")
    empty = [n for i, n in enumerate(classes) if all(i != label for _, label in pairs)]
    if empty and folder.name == "train":
        raise DataError(f"{folder / empty[0]} has no pictures", "every folder of `train` is a class")
    files, labels = tuple(f for f, _ in pairs), torch.tensor([i for _, i in pairs])
    return Pictures(partial(open_one, files, view.channels), view).split(labels)


def open_one(files: tuple[Path, ...], channels: int, i: int) -> Any:
    """The i-th of some files, open."""
    return open_picture(files[i], channels)


def _check_classes(word: MaskFolder, splits: list[Split]) -> None:
    """Raise DataError for masks whose values cannot be class numbers: 0 and 255 for two classes."""
    values = sorted({int(v) for s in splits for v in np.unique(s.target.numpy()) if v >= 0})
    if not values or (len(values) < values[-1] + 1 and values[-1] > 1 + 2 * len(values)):
        listed = ", ".join(map(str, values[:5])) + (" ..." if len(values) > 5 else "")
        hint = "classes are 0, 1, 2 ...; `ignore=255` leaves out what has no class"
        raise DataError(f"the masks of {word.folder} hold the values {listed or 'of no class'}", hint)


def _masked(folder: Path, shape: tuple[int, ...], ignore: int | None) -> Split:
    images, masks = (
        pictures_below(_folder(folder, "images")),
        {p.stem: p for p in pictures_below(_folder(folder, "masks"))},
    )
    alone = [p.name for p in images if p.stem not in masks]
    if alone or not images:
        raise DataError(f"{folder}: no mask for {alone[0]}" if alone else f"{folder / 'images'} has no pictures")
    view = View(shape)
    (pixels,) = Pictures(partial(open_one, tuple(images), view.channels), view).read(torch.arange(len(images)))
    target = torch.stack([_mask(masks[p.stem], p, shape[1:3]) for p in images])
    target = target if ignore is None else torch.where(target == ignore, -1, target)
    return Split((pixels,), target)


def _mask(file: Path, image: Path, size: tuple[int, ...]) -> Tensor:
    """Class numbers [H, W] of a picture's mask: palette or grey values as they are, never blended."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as picture, Image.open(image) as other:
            if picture.mode not in ("P", "L", "1"):
                hint = "save it in grey or palette values"
                raise DataError(f"{file} has colours ({picture.mode}), and a mask's pixels are class numbers", hint)
            if picture.size != other.size:
                sizes = (f"{p.width} x {p.height}" for p in (picture, other))
                raise DataError("{} is {}, and its picture {}".format(file, *sizes))
            return View((1, *size), interpolation="nearest")(picture)[0].to(torch.int64)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{file} is not a picture that can be read: {error}") from None
