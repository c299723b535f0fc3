"""A trained net that can be run: the ONNX file of a run directory, or one that stands alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from netdsl.backends.onnx.session import Session
from netdsl.diagnostics.diagnostic import first_line
from netdsl.inference.columns import Column, Input
from netdsl.inference.errors import CheckpointError
from netdsl.inference.run_folder import ABOUT, ONNX, About, check_one, read_about
from netdsl.inference.vocabulary import BYTES, TOKENIZER, Vocabulary, vocabulary_of
from netdsl.recipe.columns import Columns, Csv
from netdsl.recipe.losses import CrossEntropy
from netdsl.recipe.metrics import label_names
from netdsl.recipe.registry import registered
from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import Images, Text
from netdsl.sizes.stated import broken

Size = int | None

ANY_CSV = Csv(file="", target="")
"""A CSV file as it is usually written."""


class Trained(Struct, frozen=True, eq=False, kw_only=True):
    """A net that can be run. `compute`: its outputs `kept`, [B, ...] float32, from an array for each input; where it
    draws, several times, [passes, B, ...]. `shape`: its first input (None: any size); `recipe`: the run's; `inputs`:
    what data depend on; `columns`: of a table; `task`: empty where that is not known; `targets`: columns to predict;
    `fold`: the part of a cross-validation that it is tested on; `view`: how images in files are resized and cut;
    `written`: how numbers and cells stand in CSV files; `tokenizer`: the file of what makes tokens of a text.
    `constraints`: what must hold of the sizes that are called `names`; `limits`: of inputs whose whole numbers are
    looked up, how many vectors there are."""

    compute: Callable[..., tuple[np.ndarray, ...]]
    shape: tuple[Size, ...]
    outputs: int
    kept: tuple[str, ...]
    classes: tuple[str, ...]
    recipe: Recipe
    base: Path = Path()
    units: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    names: tuple[str | None, ...] = ()
    constraints: tuple[str, ...] = ()
    limits: Mapping[str, int] = {}
    inputs: tuple[Input, ...] = ()
    columns: tuple[Column, ...] = ()
    task: str = ""
    targets: tuple[str, ...] = ()
    fold: int | None = None
    view: Images = Images()
    written: Csv = ANY_CSV
    tokenizer: Path | None = None

    @property
    def learned(self) -> tuple[bool, ...]:
        """Whether each output was compared with the targets: the first, those of a pair, and those with a weight."""
        main = 2 if self.recipe.loss.task == "pairs" else 1
        return tuple(i < main or bool(self.recipe.outputs.get(name)) for i, name in enumerate(self.kept))


def open_run(folder: Path) -> Trained | None:
    """The net of a run directory; None where the run has no ONNX file of its weights. Raises CheckpointError."""
    about, recipe = read_about(folder)
    check_one(folder, about, recipe)
    if "onnx" not in about.result or not (folder / ONNX).is_file():
        return None
    return msgspec.structs.replace(open_onnx(folder / ONNX), **said_by(folder, about, recipe))


def said_by(folder: Path, about: About, recipe: Recipe) -> dict[str, Any]:
    """The facts of a run's net and data: fields of `Trained`."""
    return {
        "recipe": recipe, "base": Path(about.base), "classes": about.classes, "units": about.units, "task": about.task,
        "columns": about.columns, "targets": targets_of(recipe), "fold": about.fold, "view": view_of(recipe),
        "written": recipe.data if isinstance(recipe.data, Csv) else ANY_CSV, "tokenizer": tokenizer_of(folder),
    }  # fmt: skip


def open_onnx(path: Path) -> Trained:
    """The net of an ONNX file, as far as the file says what it is. Raises CheckpointError."""
    return of_session(session_of(path))


def session_of(path: Path) -> Session:
    """An ONNX file in onnxruntime, on as many threads as `OMP_NUM_THREADS` says. Raises CheckpointError."""
    if not path.is_file():
        kind = "is a folder, and no run directory: it has no " + ABOUT if path.is_dir() else ""
        raise CheckpointError("no-such-file", f"{path} {kind}" if kind else f"there is no file {path}")
    threads = os.environ.get("OMP_NUM_THREADS", "")
    try:
        return Session(path, threads=int(threads) if threads.isdecimal() else None)
    except Exception as error:  # onnxruntime raises a type of its own for each reason
        raise CheckpointError("unreadable-model", f"onnxruntime refuses {path}: {first_line(error)}") from None


def of_session(session: Session) -> Trained:
    """The net of an open ONNX file."""
    said = session.metadata
    names = _decoded(said.get("class_names", "[]"), tuple[str, ...])
    prediction = _decoded(said.get("prediction", "{}"), dict[str, Any]) or {}
    loss: Any = registered("loss").get(prediction.get("loss", ""), CrossEntropy)
    view = _decoded(said.get("preprocessing", "{}"), Images) or Images()
    task, weights = prediction.get("task", ""), prediction.get("outputs", {})
    outputs = len(label_names(task, names, session.gives[-1] if session.gives else None))
    notation = _decoded(said.get("csv", "{}"), dict[str, str]) or {}
    return Trained(
        compute=session.every, shape=next(iter(session.inputs.values()))[0][1:], outputs=outputs, kept=session.outputs,
        classes=names, recipe=Recipe(loss=loss(), outputs=weights), view=view, constraints=session.constraints,
        limits=session.limits,
        names=next(iter(session.names.values()))[1:], task=task, targets=tuple(prediction.get("targets", ())),
        columns=_decoded(said.get("columns", "[]"), tuple[Column, ...]),
        written=msgspec.structs.replace(ANY_CSV, **{n: notation[n] for n in NOTATION if n in notation}),
        inputs=tuple(_input(name, sizes, dtype) for name, (sizes, dtype) in session.inputs.items()),
    )  # fmt: skip


def tokenizer_of(folder: Path) -> Path | None:
    """The file of a run's tokenizer, where it has one."""
    return folder / TOKENIZER if (folder / TOKENIZER).exists() else None


def vocabulary(trained: Trained) -> Vocabulary:
    """The vocabulary of a language model, which makes tokens of a text. Raises DataError."""
    own = trained.recipe.data
    kind = own.tokens if isinstance(own, Text) else "bytes" if trained.classes == BYTES else "characters"
    return vocabulary_of(kind, trained.classes, trained.tokenizer)


def longest(trained: Trained) -> int:
    """The most tokens that a net reads at once: as many as it takes, and was trained on."""
    if trained.shape[0] is not None:
        return trained.shape[0]
    length = trained.recipe.data.length if isinstance(trained.recipe.data, Text) else 1024
    name = trained.names[0]
    while name is not None and length > 1 and broken(trained.constraints, {name: length}):
        length -= 1
    return length


def targets_of(recipe: Recipe) -> tuple[str, ...]:
    """The names of regression targets that are columns of a table."""
    return recipe.data.targets if isinstance(recipe.data, Columns) else ()


def view_of(recipe: Recipe) -> Images:
    """How the images of a recipe's data are resized and cut, where they lie in files."""
    return recipe.data if isinstance(recipe.data, Images) else Images()


NOTATION = ("separator", "decimal")
"""Fields of a `csv(...)` that say how the file is written."""


def notation_of(recipe: Recipe) -> dict[str, str]:
    """The metadata of an ONNX file on how the CSV files are written that its net reads; nothing for other data."""
    return {n: getattr(recipe.data, n) for n in NOTATION} if isinstance(recipe.data, Csv) else {}


def preprocessing_of(recipe: Recipe, standardized: bool) -> dict[str, Any]:
    """The metadata of an ONNX file on its images: what its pixels are, and how one is resized and cut."""
    said: dict[str, Any] = {"pixels": "float32 from 0 to 1", "standardized": standardized}
    if isinstance(recipe.data, Images):
        said |= {name: getattr(recipe.data, name) for name in Images.__struct_fields__}
    return said


def _input(name: str, sizes: tuple[Size, ...], dtype: str) -> Input:
    return Input(name, dtype.startswith("int"), sizes[1] if len(sizes) == 2 else None)


def _decoded(text: str, kind: Any) -> Any:
    """Decode metadata that is JSON; nothing where it is something else."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError:
        return ()
