"""The images that `pixmix` mixes in, where a recipe names a folder of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from netdsl.inference.images import ENDINGS, images_below
from netdsl.planning.resolution import trained_size
from netdsl.recipe.augmentations import PixMix
from netdsl.recipe.progressive import staged
from netdsl.recipe.schema import Recipe
from netdsl.training.augment.pixmix import MARGIN
from netdsl.training.data.dataset import DataError
from netdsl.training.readers.images import Images, View
from netdsl.training.readers.listing import open_one


def read_mixing(recipe: Recipe, base: Path, shape: tuple[int, ...]) -> tuple[Tensor | None, tuple[str, ...]]:
    """All images of the folder, uint8 [M, C, S, S] (as many as `resident` allows, evenly spread), and notes
    about them. `shape`: of the training images. Raises DataError."""
    source = next((w for w in recipe.augment if isinstance(w, PixMix) and w.folder), None)
    if source is None:
        return None, ()
    folder = base / source.folder
    files = images_below(folder) if folder.is_dir() else []
    if not files:
        code, reason = ("no-samples", "has no images") if folder.is_dir() else ("missing-data", "is not there")
        hint = f"it may hold folders; known endings: {', '.join(sorted(ENDINGS))}"
        raise DataError(code, f"the folder of mixing images {folder} {reason}", hint)
    sizes = [trained_size(r.augment) or max(shape[1:]) for r in staged(recipe)]
    side = round(MARGIN * max(sizes))
    room = max(1, recipe.resident * 2**20 // (shape[0] * side**2))
    few = files if len(files) <= room else [files[i * len(files) // room] for i in range(room)]
    images = Images(partial(open_one, tuple(few), shape[0]), View((shape[0], side, side)))
    notes = (f"{len(few):,} of {len(files):,} mixing images: more would take over {recipe.resident} MiB",)
    return images.read(torch.arange(len(few)))[0], notes if len(few) < len(files) else ()
