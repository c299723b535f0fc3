"""The folders of a data set of images. Names are plain strings: a data set has many of them."""

from __future__ import annotations

from pathlib import Path

from netdsl.inference.errors import DataError
from netdsl.inference.images import Least, filled, images_below, open_image


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


def open_one(files: tuple[str, ...], channels: int, i: int, least: Least | None = None) -> object:
    """The i-th of some files, open."""
    return open_image(files[i], channels, least=least)
