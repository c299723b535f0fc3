"""The images of a folder by name. Names are plain strings: a data set has many of them."""

from __future__ import annotations

import os
from pathlib import Path

from netdsl.training.data.dataset import DataError
from netdsl.training.readers.images import filled, open_image

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}


def images_below(folder: Path) -> list[str]:
    """The images in a folder and in those below it, in the order of their folders' and their own names."""
    found = [
        os.path.join(where, name)
        for where, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".") and os.path.splitext(name)[1].lower() in ENDINGS
    ]
    return sorted(found, key=lambda path: path.split(os.sep))


def subfolder(root: Path, *names: str) -> Path:
    """The first of the folders of these names that is there. Raises DataError where none is."""
    if not root.is_dir():
        hint = "say where it is: `--set 'data.folder=\"...\"'`; `--data synthetic` tries the recipe out without data"
        raise DataError("missing-data", f"there is no folder {root}", hint)
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise DataError(
        "missing-data",
        f"there is no folder {root / names[0]}",
        "it needs a folder `train` and a folder `val` or `test`",
    )


def known(shape: tuple[int, ...], folder: Path) -> tuple[int, ...]:
    """A net's input shape; sizes that it leaves open (0) are those of the first image."""
    files = images_below(folder) if 0 in shape[1:3] else []
    return filled(shape, open_image(files[0], shape[0])) if files else shape


def open_one(files: tuple[str, ...], channels: int, i: int) -> object:
    """The i-th of some files, open."""
    return open_image(files[i], channels)
