"""The folders of a data set of images. Names are plain strings: a data set has many of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec.structs import replace

from netdsl.inference.errors import DataError
from netdsl.inference.images import Least, filled, images_below, open_image
from netdsl.training.data.dataset import DataSet
from netdsl.training.data.division import group_numbers, in_both


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


def is_text(name: str) -> bool:
    """Whether the name of a file is text: a file system holds any bytes."""
    return all(not "\ud800" <= c <= "\udfff" for c in name)


def known(shape: tuple[int, ...], folder: Path) -> tuple[int, ...]:
    """A net's input shape; sizes that it leaves open (0) are those of the first image."""
    files = images_below(folder) if 0 in shape[1:3] else []
    return filled(shape, open_image(files[0], shape[0])) if files else shape


def open_one(files: tuple[str, ...], channels: int, i: int, least: Least | None = None) -> object:
    """The i-th of some files, open."""
    return open_image(files[i], channels, least=least)


def groups_of(files: Iterable[str], folder: Path, pattern: str) -> list[str]:
    """Find the group of each file: the part of its name below a folder that `{}` stands for in a pattern. Raises
    DataError for a name that does not fit."""
    fits = re.compile(re.escape(pattern).replace(r"\{\}", "(.+?)").replace(r"\*", ".*"), re.DOTALL)
    found = []
    for file in files:
        name = Path(file).relative_to(folder).as_posix()
        if (match := fits.fullmatch(name)) is None:
            hint = "`*` stands for anything, and `{}` for what an image belongs to"
            raise DataError("data-value", f'{file}: its name, `{name}`, does not fit `group="{pattern}"`', hint)
        found.append(match[1])
    return found


def grouped(data: DataSet, train: Sequence[str], test: Sequence[str]) -> DataSet:
    """The data set whose images belong to something, none of which is divided between training and validation; without
    names, as it is."""
    if not train:
        return data
    numbers = group_numbers([*train, *test])
    parts = numbers[: len(train)], numbers[len(train) :]
    splits = (replace(s, groups=g) for s, g in zip((data.train, data.test), parts, strict=True))
    return replace(data, train=next(splits), test=next(splits), notes=(*data.notes, *in_both(numbers, len(train))))
