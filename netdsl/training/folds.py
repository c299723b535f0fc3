"""Cross-validation: one run for each fold, and the mean of their results."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from netdsl.recipe.component import component_name
from netdsl.recipe.schema import Recipe
from netdsl.training.checkpoints import run_dir as files
from netdsl.training.checkpoints.run_dir import About
from netdsl.version import LANGUAGE, __version__

RunOne = Callable[[int, Path, bool], int]
"""(the number of a fold, its run directory, whether it is resumed) -> the exit code."""


def directories(folder: Path, count: int) -> Iterator[tuple[int, Path]]:
    """The numbers of the folds, from 0, and their run directories."""
    for number in range(count):
        yield number, folder / f"fold-{number + 1}"


def run_folds(folder: Path, about: About, recipe: Recipe, one: RunOne, say: Callable[[str], None]) -> int:
    """Run the folds that have not ended, and those of another recipe, which all share; write the mean and the deviation
    of their results. Returns the exit code."""
    assert recipe.folds is not None
    results: list[dict[str, Any]] = []
    for number, path in directories(folder, recipe.folds):
        begun = (path / files.ABOUT).exists()
        if not begun or not _has_ended(path, recipe):
            say(f"fold {number + 1} of {recipe.folds}")
            if (code := one(number, path, begun)) != 0:
                return code
        results.append(files.read_about(path)[0].result)
    mean, deviation = summarized(results)
    files.write_json(folder / files.ABOUT, _ended(about, mean, deviation, results))
    say("all folds: " + ", ".join(f"{name} {mean[name]:.4f} +- {deviation[name]:.4f}" for name in mean))
    return 0


def _has_ended(folder: Path, recipe: Recipe) -> bool:
    """Whether a fold has a result, of this recipe."""
    about, own = files.read_about(folder)
    return bool(about.result) and own == recipe


def forget_unbegun(folder: Path, count: int, spec: Sequence[Path]) -> None:
    """Take back the directory of a cross-validation whose first fold could not begin: another try finds it free.

    `spec`: the files of its spec.
    """
    paths = [path for _, path in directories(folder, count) if path.exists()]
    if any((path / files.ABOUT).exists() for path in paths):
        return
    for path in (*spec, folder / files.ABOUT, folder / files.RECIPE):
        path.unlink(missing_ok=True)
    inside = {parent for path in spec for parent in path.parents if parent.is_relative_to(folder)}
    for path in (*paths, *sorted(inside, reverse=True), folder):
        with suppress(OSError):  # it holds something of another
            path.rmdir()


def _ended(about: About, mean: dict[str, float], deviation: dict[str, float], each: list[dict[str, Any]]) -> About:
    count = sum(int(r["n"]) for r in each)
    return replace(about, result={**mean, "n": count, "deviation": deviation, "folds": len(each)})


def summarized(results: list[dict[str, Any]]) -> tuple[dict[str, float], dict[str, float]]:
    """The mean of every number over the folds, and its deviation (of a sample: divided by one less)."""
    names = [n for n, v in results[0].items() if isinstance(v, float) and n not in ("seconds", "onnx_difference")]
    each = {n: [float(r[n]) for r in results if n in r] for n in names}
    mean = {n: sum(v) / len(v) for n, v in each.items()}
    deviation = {n: math.sqrt(sum((x - mean[n]) ** 2 for x in v) / max(1, len(v) - 1)) for n, v in each.items()}
    return mean, deviation


def about_folds(net: str, arguments: dict[str, str], sizes: dict[str, int], recipe: Recipe, base: Path) -> About:
    """The `about` of a cross-validation's directory before its folds have ended."""
    return About(
        net=net, arguments=arguments, sizes=sizes, mean=None, std=None, classes=(), task="",
        data=component_name(recipe.data), base=str(base.resolve()), versions={"netdsl": __version__}, language=LANGUAGE,
    )  # fmt: skip
