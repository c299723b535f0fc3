"""Images in folders, one for each class. Read with Pillow."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from netdsl.inference.images import ENDINGS, images_below
from netdsl.recipe.sources import ImageFolder
from netdsl.training.data.dataset import DataError, DataSet, Split
from netdsl.training.readers.images import Images, View
from netdsl.training.readers.listing import grouped, groups_of, is_text, known, open_one, subfolder
from netdsl.training.readers.registry import READERS


@READERS.of(ImageFolder)
def read(source: ImageFolder, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    root = base / source.folder
    train_dir, test_dir = subfolder(root, "train"), subfolder(root, "val", "test")
    classes = tuple(sorted(p.name for p in train_dir.iterdir() if p.is_dir()))
    if not classes:
        raise DataError(
            "no-samples", f"{train_dir} has no folders of classes", "an image lies in `train/CLASS/`, named as you like"
        )
    for name in classes:
        if not is_text(name):
            hint = "rename it: run directories and ONNX files hold the names of classes"
            raise DataError("data-value", f"{train_dir} has the class {name!r}, whose name is not UTF-8", hint)
    unknown = sorted(p.name for p in test_dir.iterdir() if p.is_dir() and p.name not in classes)
    if unknown:
        raise DataError("unknown-class", f"{test_dir} has the class `{unknown[0]}`, which {train_dir} has not")
    view = View.of(source, shape if source.crop else known(shape, train_dir))
    train, test = _by_class(train_dir, classes), _by_class(test_dir, classes)
    found = DataSet(source.folder, _classified(train, view), _classified(test, view), classes=classes)
    if not source.group:
        return found
    of_train, of_test = _groups(train_dir, classes, train, source.group), _groups(test_dir, classes, test, source.group)
    return grouped(found, of_train, of_test)


def _groups(folder: Path, classes: tuple[str, ...], files: list[list[str]], pattern: str) -> list[str]:
    """The group of each image, class by class."""
    each = (groups_of(own, folder / name, pattern) for name, own in zip(classes, files, strict=True))
    return [group for own in each for group in own]


def _by_class(folder: Path, classes: tuple[str, ...]) -> list[list[str]]:
    """The images of each class in a folder. Raises DataError where there are none."""
    each = [images_below(folder / name) for name in classes]
    if not any(each):
        raise DataError("no-samples", f"{folder} has no images", f"known endings: {', '.join(sorted(ENDINGS))}")
    empty = [name for name, found in zip(classes, each, strict=True) if not found]
    if empty and folder.name == "train":
        raise DataError("no-samples", f"{folder / empty[0]} has no images", "every folder of `train` is a class")
    return each


def _classified(each: list[list[str]], view: View) -> Split:
    files = tuple(file for found in each for file in found)
    labels = torch.repeat_interleave(torch.tensor([len(found) for found in each]))
    return Images(partial(open_one, files, view.channels), view).split(labels)
