"""The folder of an experiment: a manifest, a folder for every run, and what is known of each run. Torch is not needed.

experiment.json                     what it is
blocks=1,convs=2/seed-0/            a run directory, as `netdsl train` leaves it, with trial.json
table.txt, table.md, table.tex, results.json, index.html, figures/
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from netdsl.diagnostics.diagnostic import UserError
from netdsl.experiment.planned import Trial
from netdsl.version import __version__

FORMAT = 1
MANIFEST, TRIAL, RUN, SPLITS, FAILED = "experiment.json", "trial.json", "run.json", "splits.json", "failed.json"


class Manifest(Struct, frozen=True):
    """The description of a folder: of which experiment it is, in which form."""

    format: int
    name: str
    netdsl: str


class Mark(Struct, frozen=True):
    """A run: the key of all that decides its numbers, and a description in words."""

    key: str
    label: str


class Failed(Struct, frozen=True):
    """A run that ended with a mistake, and would again: one whose loss is not finite."""

    code: str
    message: str


class Outcome(Struct, frozen=True, eq=False):
    """The outcome of a run: its results by measure, or how it failed. `measures` None: it has not ended well."""

    trial: Trial
    measures: dict[str, float] | None
    failed: Failed | None = None


def write(path: Path, content: bytes | str) -> None:
    """Write a file whole or not at all. Raises UserError where it cannot be written."""
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise UserError("cannot-write", f"cannot write {path}: {error.strerror or error}") from None


def write_json(path: Path, value: Any) -> None:
    write(path, msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")


def read(path: Path, kind: type[Any]) -> Any:
    """A file of JSON; None where it is missing or says something else."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


def open_folder(folder: Path, name: str) -> None:
    """Make the folder of an experiment, or open it again. Raises UserError for a folder of anything else."""
    if check_folder(folder, name) is None:
        write_json(folder / MANIFEST, Manifest(FORMAT, name, __version__))


def check_folder(folder: Path, name: str) -> Manifest | None:
    """The manifest of a folder, None where nothing is in it. Raises UserError for a folder of anything else."""
    found: Manifest | None = read(folder / MANIFEST, Manifest)
    if found is None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            what = "holds no experiment" if folder.is_dir() else "is a file"
            raise UserError("not-an-experiment", f"{folder} {what}", "choose a new or an empty folder: `-o DIR`")
        return None
    if found.format > FORMAT:
        message = f"{folder} is of format {found.format}, of netdsl {found.netdsl}; formats up to {FORMAT} are read"
        hint = f"choose another folder (`-o DIR`), or update netdsl, which is {__version__} here"
        raise UserError("not-an-experiment", message, hint)
    if found.name != name:
        hint = "choose another folder: `-o DIR`"
        raise UserError("not-an-experiment", f"{folder} holds the experiment `{found.name}`, not `{name}`", hint)
    return found


def check_trial(folder: Path, trial: Trial) -> None:
    """Raise UserError where a run directory is that of something else."""
    mark = read(folder / trial.path / TRIAL, Mark)
    if mark is not None and mark.key != trial.key:
        message = f"{folder / trial.path} holds a run of another form of this experiment"
        changed = "the net, the recipe, the seed, a file of weights or a plug-in has changed since"
        hint = f"{changed}: choose another folder (`-o DIR`), or delete that one"
        raise UserError("changed-experiment", message, hint)


def outcome(folder: Path, trial: Trial, wanted: tuple[str, ...]) -> Outcome:
    """The outcome of a run, read from its directory."""
    path = folder / trial.path
    failed = read(path / FAILED, Failed)
    if failed is not None:
        return Outcome(trial, None, failed)
    about = read(path / RUN, dict[str, Any]) or {}
    result = about.get("result")
    if not result:
        return Outcome(trial, None)
    splits = read(path / SPLITS, dict[str, dict[str, Any]]) or {}
    known = {"test": result, **splits}
    found: dict[str, float] = {}
    for measure in wanted:
        split, dot, metric = measure.partition(".")
        value = known.get(split, {}).get(metric) if dot else result.get(measure)
        if isinstance(value, int | float):
            found[measure] = float(value)
    return Outcome(trial, found)


def missing_splits(wanted: tuple[str, ...]) -> tuple[str, ...]:
    """The splits beside the test split that the measures ask for."""
    splits = (m.partition(".")[0] for m in wanted if "." in m)
    return tuple(dict.fromkeys(s for s in splits if s != "test"))


def is_done(folder: Path, trial: Trial, wanted: tuple[str, ...]) -> bool:
    """Whether a run has ended and everything of it is measured."""
    path = folder / trial.path
    if (path / FAILED).exists():
        return True
    about = read(path / RUN, dict[str, Any])
    if about is None or not about.get("result"):
        return False
    splits = read(path / SPLITS, dict[str, Any]) or {}
    return all(s in splits for s in missing_splits(wanted))
