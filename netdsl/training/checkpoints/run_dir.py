"""The run directory: what is in it, and how it is read again."""

from __future__ import annotations

import ast
import warnings
from pathlib import Path
from typing import Any

import msgspec

from netdsl.elaborate.modules import Module, imported
from netdsl.inference.run_folder import (
    ABOUT,
    CHECKPOINT,
    LOG,
    ONNX,
    RECIPE,
    SOURCE,
    SPEC,
    WEIGHTS,
    About,
    entry_of,
    lines_of,
    read_about,
    read_log,
)  # fmt: skip
from netdsl.training.checkpoints.format import write_atomic
from netdsl.training.errors import CheckpointError, WriteError
from netdsl.version import __version__

__all__ = [
    "ABOUT", "CHECKPOINT", "LOG", "ONNX", "RECIPE", "SOURCE", "SPEC", "WEIGHTS", "About", "Log", "check_free",
    "make_folder", "new_folder", "read_about", "read_log", "warn_of_edits", "write_json",
    "write_spec",
]  # fmt: skip


def new_folder(net: str) -> Path:
    """The next free `runs/<net>-<n>`, made."""
    parent = Path("runs")
    for n in range(1, 100_000):
        path = parent / f"{net}-{n}"
        try:
            make_folder(parent)
            path.mkdir()
        except FileExistsError:
            continue
        return path
    raise CheckpointError("cannot-write", f"{parent} is full of runs of {net}")


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing. Raises WriteError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError("cannot-write", f"cannot make the folder {path}: {error.strerror or error}") from None


def check_free(folder: Path, resume: str) -> None:
    """Raise CheckpointError where a folder holds anything. `resume` is how the caller resumes a run."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        hint = f"resume the run in it with {resume}, or choose another folder"
        raise CheckpointError("not-empty", f"{folder} is not empty", hint)


def write_spec(folder: Path, module: Module, library: Path) -> list[Path]:
    """Write the spec, and beside it the files that it imports from its own folder; returns the paths of all."""
    root = Path(module.source.name).parent.resolve()
    texts = {folder / SPEC: module.source.text}
    for other in imported(module):
        path = Path(other.source.name).resolve()
        if path.is_relative_to(root) and not path.is_relative_to(library.resolve()):
            texts[folder / path.relative_to(root)] = other.source.text
    for target, text in texts.items():
        make_folder(target.parent)
        write_atomic(target, text.encode())
    return list(texts)


def write_json(path: Path, value: Any) -> None:
    write_atomic(path, msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n")


def warn_of_edits(folder: Path, about: About, source: str) -> None:
    """Warn where the net of a run, as `model.py` has it, is another than the one that its spec gives today.

    Another release may write the same net otherwise: only the texts of one release are compared.
    """
    try:
        before = (folder / SOURCE).read_text(encoding="utf-8")
        edited = about.versions.get("netdsl") == __version__ and _code(before) != _code(source)
    except (OSError, ValueError, SyntaxError):  # it is there to be read, and nothing else needs it
        return
    if edited:
        message = f"{folder / SPEC} has been edited: its net computes something else than the one that was trained"
        warnings.warn_explicit(f"{message} ({SOURCE})", UserWarning, "netdsl", 1)


def _code(source: str) -> str:
    """The statements of a module: its text without comments, docstrings and places."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            del node.body[0]
    return ast.dump(tree)


class Log:
    """Lines of JSON, one for each evaluation and a sample of the steps. On resuming, what lies after the step is
    forgotten, and so is a damaged line, whose number is in `damaged`. `lost`: whether nothing is left of a log."""

    def __init__(self, path: Path, after: int = 0) -> None:
        lines = lines_of(path) if after else []
        entries = [entry_of(line) for line in lines]
        self.damaged = tuple(i for i, entry in enumerate(entries, 1) if entry is None)
        kept = [line for line, entry in zip(lines, entries, strict=True) if entry and entry["step"] <= after]
        self.lost = after > 0 and not kept
        write_atomic(path, b"".join(line + b"\n" for line in kept))
        self.file = open(path, "ab")  # noqa: SIM115 - it stays open for the run

    def write(self, kind: str, numbers: dict[str, Any]) -> None:
        try:
            self.file.write(msgspec.json.encode({"kind": kind, **numbers}) + b"\n")
            self.file.flush()
        except OSError as error:
            raise WriteError("cannot-write", f"cannot write {self.file.name}: {error.strerror or error}") from None
