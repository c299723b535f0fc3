"""The net of a run directory or an ONNX file, opened again in torch: its weights, its inputs, its data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from msgspec.structs import replace
from torch import nn

from netdsl.backends.torch.module import load_state
from netdsl.diagnostics.diagnostic import UserError
from netdsl.elaborate.builder import Options
from netdsl.elaborate.given import Expression
from netdsl.elaborate.migrate import outdated
from netdsl.inference.errors import DataError
from netdsl.inference.run_folder import check_one
from netdsl.inference.test_time import averaged
from netdsl.inference.trained import Trained, of_session, said_by, session_of
from netdsl.ir.flatten import flatten
from netdsl.ir.limits import limits
from netdsl.ir.model import Program
from netdsl.loader import LoadError, load_source, read_import
from netdsl.pipeline import Net, Spec
from netdsl.planning.outputs import main_output
from netdsl.recipe.schema import Recipe
from netdsl.tensors import TensorType
from netdsl.training.checkpoints import run_dir as files
from netdsl.training.checkpoints.format import load_tensors
from netdsl.training.checkpoints.run_dir import About
from netdsl.training.errors import CheckpointError
from netdsl.training.evaluate import every_output
from netdsl.training.export import forward_of
from netdsl.training.readers.taken import inputs_of
from netdsl.training.regularization import drop_paths, dropouts
from netdsl.version import LANGUAGE
from netdsl.weights.former import current


class Opened(Trained, frozen=True, eq=False, kw_only=True):
    """A net that can be run on tensors. `module`: where it is torch's."""

    forward: Callable[..., Any]
    module: nn.Module | None = None


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
    """The program of the net of a run directory. Raises CheckpointError."""
    return reopened(folder)[0].checked


def open_trained(path: Path, onnx: bool = False) -> Opened:
    """The net of a run directory or an ONNX file. Raises CheckpointError for what is neither."""
    if path.is_dir() and not onnx:
        return _from_run(path)
    said = said_by(path, *files.read_about(path)) if path.is_dir() else {}
    session = session_of(path / files.ONNX if path.is_dir() else path)
    return Opened(**(msgspec.structs.asdict(of_session(session)) | said), forward=forward_of(session))


def _from_run(folder: Path) -> Opened:
    return run_of(folder)[1]


def run_of(folder: Path) -> tuple[Net, Opened]:
    """The net of a run directory as it was trained, with its statistics, and the net that can be run."""
    net, recipe, about = reopened(folder)
    check_one(folder, about, recipe)
    numbers = [tuple(v) if isinstance(v, list) else v for v in (about.mean, about.std) if v is not None]
    standard = (numbers[0], numbers[1]) if numbers else None
    options = Options(links=recipe.drop_path is not None, standard=standard, per=about.per, units=about.units)
    net = net.spec.net(net.name, net.arguments, net.sizes, options)
    module = _loaded(folder, net, about)
    files.warn_of_edits(folder, about, net.source())
    main = net.checked.main
    return net, Opened(
        **said_by(folder, about, recipe), compute=_computing(module), forward=module, module=module,
        shape=tuple(s if isinstance(s, int) else None for s in main.inputs[0].type.shape),
        outputs=main_output(net.checked).classes or 0, kept=tuple(o.name for o in main.outputs if not o.training),
        names=axis_names(main.inputs[0].type), constraints=tuple(map(str, net.checked.constraints)),
        inputs=inputs_of(net.checked), limits=limits(flatten(net.checked)),
    )  # fmt: skip


def _computing(module: nn.Module) -> Callable[..., tuple[np.ndarray, ...]]:
    """A module as a function of arrays, giving its outputs in their order."""

    @torch.no_grad()
    def compute(*inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        return tuple(x.float().numpy() for x in every_output(module(*map(torch.from_numpy, inputs))))

    return compute


def with_dropout(found: Opened, passes: int) -> Opened:
    """Monte Carlo dropout (Gal & Ghahramani, 2016): the net computes several times, with dropout on; normalisation
    stays as at inference. Raises DataError for a net without dropout."""
    module = found.module
    assert module is not None
    noisy = [*dropouts(module), *drop_paths(module)]
    if not noisy:
        raise DataError("unfit-net", "this net has no dropout to draw from")

    once = averaged(found)

    def compute(*inputs: np.ndarray) -> tuple[np.ndarray, ...]:
        torch.manual_seed(found.recipe.seed)
        try:
            for layer in noisy:
                layer.train()
            return tuple(map(np.stack, zip(*(once(*inputs) for _ in range(passes)), strict=True)))
        finally:
            module.eval()

    return replace(found, compute=compute)


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
        load_state(module, current(net.checked.main, tensors))
    except UserError as error:
        if about.language < LANGUAGE:
            changed = net.elaborated.changed_since(about.language)
            raise CheckpointError.of(outdated(folder, about.language, changed, str(error))) from None
        raise
    if about.language < LANGUAGE and net.elaborated.followed:
        raise CheckpointError.of(outdated(folder, about.language, net.elaborated.followed))
    return module


def axis_names(x: TensorType) -> tuple[str | None, ...]:
    """Names for the sizes of an input that may vary."""
    return tuple(None if isinstance(s, int) else str(s) for s in x.shape)
