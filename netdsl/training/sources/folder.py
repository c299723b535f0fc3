"""Pictures in folders: one folder for each class, or pictures and masks side by side. Read with Pillow."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from netdsl.recipe.sources import ImageFolder, MaskFolder
from netdsl.training.data import Cut, DataError, DataSet, Split

ENDINGS = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
RESIDENT = 1 << 30
"""Splits up to so many bytes are decoded once and stay in memory; larger ones are read as they are needed."""
WORKERS = 8


def read(word: ImageFolder, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    root = base / word.folder
    train_dir, test_dir = _folder(root, "train"), _folder(root, "val", "test")
    classes = tuple(sorted(p.name for p in train_dir.iterdir() if p.is_dir()))
    if not classes:
        raise DataError(f"{train_dir} has no folders of classes")
    shape = shape if word.crop else _known(shape, train_dir)
    view = View(shape, word.resize, word.crop, word.interpolation, word.fit == "warp")
    splits = [_classified(folder, classes, view) for folder in (train_dir, test_dir)]
    return DataSet(word.folder, splits[0], splits[1], classes=classes)


def read_masks(word: MaskFolder, base: Path, shape: tuple[int, ...], outputs: int) -> DataSet:
    root = base / word.folder
    shape = _known(shape, _folder(root, "train") / "images")
    splits = [_masked(folder, shape) for folder in (_folder(root, "train"), _folder(root, "val", "test"))]
    count = int(max(s.target.max() for s in splits)) + 1
    return DataSet(word.folder, splits[0], splits[1], task="mask", classes=tuple(map(str, range(count))))


class View:
    """How a file becomes a tensor: shorter side to `resize`, the middle `crop` of it (or all of it, squeezed to that
    square: `warp`), 1 or 3 channels."""

    def __init__(
        self,
        shape: tuple[int, ...],
        resize: int = 0,
        crop: int = 0,
        interpolation: str = "bilinear",
        warp: bool = False,
    ) -> None:
        self.channels = shape[0]
        self.size = (crop, crop) if crop else shape[1:3]
        self.resize = resize
        self.interpolation = interpolation
        self.warp = warp

    def __call__(self, file: Path) -> Tensor:
        """uint8 [C, H, W]. Raises DataError for what is not a picture."""
        height, width = self.size
        picture = open_picture(file, self.channels)
        if self.warp:
            return self._tensor(_resized(picture, (width, height), self.interpolation))
        picture = self._scaled(picture)
        left, top = (picture.width - width) // 2, (picture.height - height) // 2
        return self._tensor(picture.crop((left, top, left + width, top + height)))

    def cut(self, file: Path, i: int, how: Cut) -> Tensor:
        """The part of a picture that the i-th of a batch shows, uint8 [C, size, size]."""
        picture = open_picture(file, self.channels)
        picture = self._scaled(picture) if how.scaled else picture
        top, left, height, width = how.box(i, picture.height, picture.width)
        part = picture.crop((left, top, left + width, top + height))
        return self._tensor(_resized(part, (how.size, how.size), how.interpolation))

    def _scaled(self, picture: Any) -> Any:
        """The picture with its shorter side as `resize` says, at least as large as the cut."""
        height, width = self.size
        scale = max(height / picture.height, width / picture.width)
        if self.resize:
            scale = self.resize / min(picture.height, picture.width)
        size = max(width, round(picture.width * scale)), max(height, round(picture.height * scale))
        return _resized(picture, size, self.interpolation)

    def _tensor(self, picture: Any) -> Tensor:
        pixels = np.asarray(picture)
        return torch.from_numpy(pixels.copy()).reshape(picture.height, picture.width, self.channels).permute(2, 0, 1)

    @property
    def bytes(self) -> int:
        return self.channels * self.size[0] * self.size[1]


def _resized(picture: Any, size: tuple[int, int], interpolation: str) -> Any:
    """A picture at another (width, height), antialiased."""
    from PIL import Image

    return picture if picture.size == size else picture.resize(size, Image.Resampling[interpolation.upper()])


def open_picture(file: Path, channels: int) -> Any:
    """A picture with 1 or 3 channels. Raises DataError."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file) as picture:
            return picture.convert("L" if channels == 1 else "RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{file} is not a picture that can be read: {error}") from None


def _folder(root: Path, *names: str) -> Path:
    for name in names:
        if (root / name).is_dir():
            return root / name
    raise DataError(f"there is no folder {root / names[0]}", "it needs a folder `train` and a folder `val` or `test`")


def _known(shape: tuple[int, ...], folder: Path) -> tuple[int, ...]:
    """A net's input shape; sizes that it leaves open (0) are those of the first picture."""
    files = _pictures(folder) if 0 in shape[1:3] else []
    if not files:
        return shape
    first = open_picture(files[0], shape[0])
    return (shape[0], shape[1] or first.height, shape[2] or first.width)


def _pictures(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS and not p.name.startswith("."))


def _classified(folder: Path, classes: tuple[str, ...], view: View) -> Split:
    pairs = [(file, i) for i, name in enumerate(classes) for file in _pictures(folder / name)]
    if not pairs:
        raise DataError(f"{folder} has no pictures", f"known endings: {', '.join(sorted(ENDINGS))}")
    files, labels = [f for f, _ in pairs], torch.tensor([i for _, i in pairs])

    def cut(index: Tensor, how: Cut) -> Tensor:
        with ThreadPoolExecutor(WORKERS) as pool:
            chosen = [files[i] for i in index.tolist()]
            return torch.stack(list(pool.map(lambda at: view.cut(chosen[at], at, how), range(len(chosen)))))

    if view.bytes * len(files) <= RESIDENT:
        return Split((_decode(files, view),), labels, cut=cut)
    return Split((), labels, lambda index: (_decode([files[i] for i in index.tolist()], view),), cut)


def _decode(files: list[Path], view: View) -> Tensor:
    with ThreadPoolExecutor(WORKERS) as pool:
        return torch.stack(list(pool.map(view, files)))


def _masked(folder: Path, shape: tuple[int, ...]) -> Split:
    images, masks = _pictures(_folder(folder, "images")), {p.stem: p for p in _pictures(_folder(folder, "masks"))}
    alone = [p.name for p in images if p.stem not in masks]
    if alone or not images:
        raise DataError(f"{folder}: no mask for {alone[0]}" if alone else f"{folder / 'images'} has no pictures")
    pixels = _decode(images, View(shape))
    target = torch.stack([_mask(masks[p.stem], shape[1:3]) for p in images])
    return Split((pixels,), target)


def _mask(file: Path, size: tuple[int, ...]) -> Tensor:
    """Class numbers [H, W]: palette or grey values as they are, never blended."""
    from PIL import Image

    with Image.open(file) as picture:
        values = picture if picture.mode in ("P", "L", "1") else picture.convert("L")
        scale = max(size[0] / values.height, size[1] / values.width)
        wide, high = max(size[1], round(values.width * scale)), max(size[0], round(values.height * scale))
        values = values.resize((wide, high), Image.Resampling.NEAREST)
        left, top = (wide - size[1]) // 2, (high - size[0]) // 2
        pixels = np.asarray(values.crop((left, top, left + size[1], top + size[0])))
    return torch.from_numpy(pixels.astype(np.int64))
