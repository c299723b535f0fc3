"""Reading a run directory: its files, and what `run.json` and `recipe.json` hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from netdsl.diagnostics.regular import check_regular
from netdsl.inference.columns import Column
from netdsl.inference.errors import CheckpointError
from netdsl.plugins.used import Used, require
from netdsl.recipe.registry import decoded
from netdsl.recipe.resume import Change
from netdsl.recipe.schema import Recipe
from netdsl.recipe.stored import current, current_recipe, unknown
from netdsl.version import LANGUAGE, __version__

CHECKPOINT, WEIGHTS, ONNX, SOURCE = "checkpoint.safetensors", "model.safetensors", "model.onnx", "model.py"
LOG, SPEC, RECIPE, ABOUT = "metrics.jsonl", "spec.net", "recipe.json", "run.json"
SIGNALS = "signals.jsonl"
"""The signals of a run that `train --probe` has looked at, a line for each look."""


class About(Struct, frozen=True, kw_only=True):
    """A description of a run, besides its spec and its recipe. `mean`, `std`: the statistics that the net standardises
    with, `per`: per channel, or per pixel (kept with the weights) or image (then 0 and 1). `units`: mean and deviation
    of regression targets; `columns`: of a table;
    `functions`: what was given in Python, beside data; `plugins`: those that the net and the recipe need;
    `fold`: which one of a cross-validation, from 0;
    `samples`: of the splits for training, choosing and testing; `changes`: what a resumed run
    was told to do otherwise; `pretrained`: name, revision, licence and SHA-256 of the weights that it began with."""

    net: str
    arguments: dict[str, str]
    sizes: dict[str, int]
    mean: list[Any] | float | None
    std: list[Any] | float | None
    classes: tuple[str, ...]
    task: str
    data: str
    base: str
    versions: dict[str, str]
    per: str = "channel"
    units: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    columns: tuple[Column, ...] = ()
    functions: tuple[str, ...] = ()
    plugins: tuple[Used, ...] = ()
    fold: int | None = None
    samples: tuple[int, ...] = ()
    environment: dict[str, Any] = {}
    changes: tuple[Change, ...] = ()
    pretrained: tuple[dict[str, str], ...] = ()
    result: dict[str, Any] = {}
    language: int = 1


def read_about(folder: Path) -> tuple[About, Recipe]:
    """Read what a run is, and its recipe. Raises CheckpointError for a folder that is not a run directory."""
    try:
        about, written = (_read(folder / name) for name in (ABOUT, RECIPE))
        if "data" not in written:  # what is left out would be a default
            raise msgspec.DecodeError(f"{RECIPE} says no `data`")
        about["changes"] = current(about.get("changes", ()))
        with _named(ABOUT):
            found = msgspec.convert(about, About)
        require(found.plugins, f"the run in {folder}")
        with _named(RECIPE):
            recipe = msgspec.convert(current_recipe(written), Recipe, dec_hook=decoded)
        _check_version(folder, found, unknown(current_recipe(written), msgspec.to_builtins(recipe)))
        return found, recipe
    except OSError as error:
        name = Path(error.filename or ABOUT).name
        raise CheckpointError(
            "not-a-run", f"{folder} is not a run directory: {name}: {error.strerror or error}"
        ) from None
    except msgspec.DecodeError as error:
        raise CheckpointError("not-a-run", f"{folder} is not a run directory: {error}") from None


def _check_version(folder: Path, about: About, fields: Iterable[str]) -> None:
    """Raise CheckpointError for a run of a newer version, which may mean something that this one does not know."""
    news = [f"the field `{name}` of {RECIPE}" for name in fields]
    if about.language > LANGUAGE:
        news.insert(0, f"version {about.language} of the language")
    if news:
        wrote = f"{folder} was written by netdsl {about.versions.get('netdsl', '')}".rstrip()
        message = f"{wrote}; {' and '.join(news)} is not known to netdsl {__version__}"
        raise CheckpointError("outdated-run", message, "update netdsl")


def is_divided(about: About, recipe: Recipe) -> bool:
    """Whether a folder is that of a cross-validation, whose folds are its runs."""
    return recipe.folds is not None and about.fold is None


def check_one(folder: Path, about: About, recipe: Recipe) -> None:
    """Raise CheckpointError for the folder of a cross-validation, which has no weights of its own."""
    if is_divided(about, recipe):
        message = f"{folder} is a cross-validation: each of its folds is a net"
        raise CheckpointError("not-a-run", message, f"name one of them: `{folder}/fold-1`")


@contextmanager
def _named(file: str) -> Iterator[None]:
    """Says in which file a value is of another type."""
    try:
        yield
    except msgspec.ValidationError as error:
        raise msgspec.ValidationError(f"{file}: {error}") from None


def _read(path: Path) -> dict[str, Any]:
    """A file of a run. Raises DecodeError with its name for one that is damaged."""
    try:
        check_regular(path)
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise msgspec.DecodeError(f"{path.name} is damaged: {error}") from None
    return found


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's log that are whole, in order."""
    return [found for line in lines_of(folder / LOG) if (found := entry_of(line)) is not None]


class Look(Struct, frozen=True):
    """A look at a step: by how much of its size it changed each weight, and the share of dead units of each ReLU."""

    step: int
    updates: dict[str, float]
    dead: dict[str, float]


def read_signals(folder: Path) -> list[Look]:
    """The looks at a run that was probed while it trained, in order; empty for one that was not."""
    found = []
    for line in lines_of(folder / SIGNALS):
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            found.append(msgspec.json.decode(line, type=Look))
    return found


def entry_of(line: bytes) -> dict[str, Any] | None:
    """Parse a line of the log, with its `kind` and `step`; None for what is no such line."""
    try:
        found = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not isinstance(found, dict) or found.get("kind") not in ("step", "evaluation"):
        return None
    return found if type(found.get("step")) in (int, float) else None


def lines_of(path: Path) -> list[bytes]:
    """The whole lines of a log; a line that was cut off is left out."""
    try:
        check_regular(path)
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CheckpointError("unreadable", f"cannot read {path}: {error.strerror or error}") from None
    return data.split(b"\n")[:-1]
