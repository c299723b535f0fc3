"""The net of a run directory or an ONNX file, opened again: its weights, its inputs, what it was trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import torch
from msgspec import Struct
from msgspec.structs import replace
from torch import nn

from netdsl.backends.onnx.session import Session
from netdsl.backends.torch.module import load_state
from netdsl.diagnostics.diagnostic import UserError
from netdsl.elaborate.builder import Options
from netdsl.elaborate.given import Expression
from netdsl.elaborate.migrate import outdated
from netdsl.ir.model import Program
from netdsl.loader import LoadError, load_source, read_import
from netdsl.pipeline import Net, Spec
from netdsl.recipe.columns import Columns
from netdsl.recipe.losses import CrossEntropy
from netdsl.recipe.registry import registered
from netdsl.recipe.schema import Recipe
from netdsl.recipe.sources import Text
from netdsl.sizes.stated import broken
from netdsl.tensors import TensorType
from netdsl.training.checkpoints import run_dir as files
from netdsl.training.checkpoints.format import load_tensors
from netdsl.training.checkpoints.run_dir import About
from netdsl.training.data.columns import Column, Input
from netdsl.training.data.vocabulary import BYTES, TOKENIZER, Vocabulary, vocabulary_of
from netdsl.training.errors import CheckpointError
from netdsl.training.export import forward_of
from netdsl.training.readers.taken import inputs_of
from netdsl.version import LANGUAGE

Size = int | None


class Trained(Struct, frozen=True, eq=False):
    """A net that can be run. `shape`: its first input (None: any size); `module`: where it is torch's; `recipe`: the
    run's; `inputs`: what data depend on; `columns`: of a table; `task`: empty where that is not known;
    `targets`: columns to predict; `fold`: the part of a cross-validation that it is tested on; `tokenizer`: the file
    of what makes tokens of a text. `constraints`: what must hold of the sizes that are called `names`."""

    forward: Callable[..., Any]
    shape: tuple[Size, ...]
    outputs: int
    kept: tuple[str, ...]
    classes: tuple[str, ...]
    recipe: Recipe
    base: Path
    module: nn.Module | None = None
    units: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    names: tuple[str | None, ...] = ()
    constraints: tuple[str, ...] = ()
    inputs: tuple[Input, ...] = ()
    columns: tuple[Column, ...] = ()
    task: str = ""
    targets: tuple[str, ...] = ()
    fold: int | None = None
    tokenizer: Path | None = None


def reopened(folder: Path) -> tuple[Net, Recipe, About]:
    """The net of a run directory (without its statistics), its recipe, and what the run is.

    Raises CheckpointError, also where the folder's spec is gone or no longer declares that net.
    """
    about, recipe = files.read_about(folder)
    try:
        spec = Spec(load_source(folder / files.SPEC), read_import)
    except LoadError as error:
        raise CheckpointError(
            "not-a-run", f"{folder} is not a complete run directory: {error.diagnostic.message}"
        ) from None
    arguments = {k: Expression(v) for k, v in about.arguments.items()}
    net = spec.net(about.net, arguments, about.sizes)
    if net.program is None:
        mistake = net.diagnostics[0]
        where = f" (line {mistake.at.line})" if mistake.at else ""
        raise CheckpointError(
            "outdated-run", f"the spec in {folder} does not give `{about.net}` any more: {mistake.message}{where}"
        )
    return net, recipe, about


def program_of(folder: Path) -> Program:
    """What the net of a run directory computes. Raises CheckpointError."""
    return reopened(folder)[0].checked


def vocabulary(trained: Trained) -> Vocabulary:
    """What makes tokens of a text for a language model. Raises DataError."""
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


def open_trained(path: Path, onnx: bool = False) -> Trained:
    """The net of a run directory or an ONNX file. Raises CheckpointError for what is neither."""
    if path.is_dir() and onnx:
        about, recipe = files.read_about(path)
        found = _from_onnx(path / files.ONNX)
        return replace(
            found, recipe=recipe, base=Path(about.base), classes=about.classes, units=about.units, task=about.task
        )
    return _from_run(path) if path.is_dir() else _from_onnx(path)


def _from_run(folder: Path) -> Trained:
    net, recipe, about = reopened(folder)
    numbers = [tuple(v) if isinstance(v, list) else v for v in (about.mean, about.std) if v is not None]
    standard = (numbers[0], numbers[1]) if numbers else None
    options = Options(links=recipe.drop_path is not None, standard=standard, per=about.per, units=about.units)
    net = net.spec.net(net.name, net.arguments, net.sizes, options)
    module = _loaded(folder, net, about)
    main = net.checked.main
    inputs = inputs_of(net.checked)
    shape = tuple(s if isinstance(s, int) else None for s in main.inputs[0].type.shape)
    kept = tuple(o.name for o in main.outputs if not o.training)
    size = next(o for o in main.outputs if not o.training).value.type.shape[0]
    outputs = size if isinstance(size, int) else 0
    names = axis_names(main.inputs[0].type)
    constraints = tuple(map(str, net.checked.constraints))
    base = Path(about.base)
    return Trained(
        module, shape, outputs, kept, about.classes, recipe, base, module, about.units, names, constraints, inputs,
        about.columns, about.task, targets_of(recipe), about.fold,
        tokenizer_of(folder),
    )  # fmt: skip


def _loaded(folder: Path, net: Net, about: files.About) -> nn.Module:
    """The module of a run's net with its weights. Raises CheckpointError where its spec gives another net today."""
    if net.diagnostics:
        raise CheckpointError.of(outdated(folder, about.language, net.diagnostics))
    module = net.module(seed=0).eval()
    if not (folder / files.WEIGHTS).exists():
        raise CheckpointError(
            "unfinished-run",
            f"{folder} has no {files.WEIGHTS}: the run has not ended; `netdsl train --resume {folder}`",
        )
    tensors, _ = load_tensors(folder / files.WEIGHTS)
    try:
        load_state(module, net.current(tensors))
    except UserError as error:
        if about.language < LANGUAGE:
            raise CheckpointError.of(outdated(folder, about.language, net.moved, str(error))) from None
        raise
    return module


def tokenizer_of(folder: Path) -> Path | None:
    """The file of a run's tokenizer, where it has one."""
    return folder / TOKENIZER if (folder / TOKENIZER).exists() else None


def targets_of(recipe: Recipe) -> tuple[str, ...]:
    """What regression targets are called, where they are columns of a table."""
    return recipe.data.targets if isinstance(recipe.data, Columns) else ()


def axis_names(x: TensorType) -> tuple[str | None, ...]:
    """What the sizes of an input are called that may vary."""
    return tuple(None if isinstance(s, int) else str(s) for s in x.shape)


def _from_onnx(path: Path) -> Trained:
    if not path.is_file():
        raise CheckpointError("no-such-file", f"there is no file {path}")
    try:
        session = Session(path, threads=torch.get_num_threads())
    except Exception as error:  # onnxruntime raises a type of its own for each reason
        raise CheckpointError("unreadable-model", f"onnxruntime refuses {path}: {str(error).splitlines()[0]}") from None
    shape = next(iter(session.inputs.values()))[0][1:]
    names = _decoded(session.metadata.get("class_names", "[]"), tuple[str, ...])
    axes = next(iter(session.names.values()))[1:]
    forward, kept = forward_of(session), session.outputs
    said = _decoded(session.metadata.get("prediction", "{}"), dict[str, Any]) or {}
    loss: Any = registered("loss").get(said.get("loss", ""), CrossEntropy)
    recipe = Recipe(loss=loss())
    return Trained(
        forward, shape, len(names), kept, names, recipe, Path(), names=axes, constraints=session.constraints,
        task=said.get("task", ""), targets=tuple(said.get("targets", ())),
        columns=_decoded(session.metadata.get("columns", "[]"), tuple[Column, ...]),
        inputs=tuple(_input(name, sizes, dtype) for name, (sizes, dtype) in session.inputs.items()),
    )  # fmt: skip


def _input(name: str, sizes: tuple[Size, ...], dtype: str) -> Input:
    return Input(name, dtype.startswith("int"), sizes[1] if len(sizes) == 2 else None)


def _decoded(text: str, kind: Any) -> Any:
    """What the file says of itself as JSON; nothing where it is something else."""
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.DecodeError:
        return ()
