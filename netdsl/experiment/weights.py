"""The weights on the disk that a recipe's runs begin with or learn from, as part of the key of a run."""

from __future__ import annotations

from pathlib import Path

from netdsl.recipe.annotations import arguments
from netdsl.recipe.component import Component
from netdsl.recipe.inits import Pretrained
from netdsl.recipe.schema import Recipe
from netdsl.weights.repository import sha256_of

BESIDE = ("config.json", "preprocessor_config.json")
"""Files of a folder of weights that say how images are prepared for them."""

SUFFIXES = (".safetensors", ".onnx", ".bin", ".pt", ".pth")


def digests(recipe: Recipe, base: Path) -> list[list[str]]:
    """The path of each file of weights that a recipe names, as it is written, with its SHA-256. Paths are relative to
    `base`. A name of the Hub is no path: its revision is part of the recipe, or `unpinned`."""
    components: tuple[Component, ...] = (*recipe.init, *((recipe.distill,) if recipe.distill is not None else ()))
    paths = [getattr(c, n) for c in components for n, a in arguments(type(c)).items() if a.kind.path]
    return [[path, file.name, sha256_of(file)] for path in paths if path for file in _files(base / path)]


def unpinned(recipe: Recipe, base: Path) -> tuple[str, ...]:
    """The names of the Hub that a recipe takes weights of without saying which commit."""
    steps = (c for c in recipe.init if isinstance(c, Pretrained) and not c.revision)
    return tuple(dict.fromkeys(c.name for c in steps if not Path(base, c.name).exists()))


def _files(path: Path) -> list[Path]:
    """A file itself; of a folder, those that hold weights or say how they are used."""
    if path.is_dir():
        return sorted(p for p in path.iterdir() if p.is_file() and (p.suffix in SUFFIXES or p.name in BESIDE))
    return [path] if path.is_file() else []
