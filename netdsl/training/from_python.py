"""Training as a call: what `net.train` and `Run.resume` do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

import torch
from msgspec.structs import replace

from netdsl.diagnostics.diagnostic import Fault, diagnostic
from netdsl.pipeline import Net
from netdsl.recipe.columns import Missing
from netdsl.recipe.schema import Recipe
from netdsl.recipe.typed_paths import from_here
from netdsl.training.callbacks import Callback, Callbacks
from netdsl.training.checkpoints.run_dir import check_free, new_folder
from netdsl.training.data.dataset import DataSet
from netdsl.training.entry import Request, train
from netdsl.training.errors import TrainingError, diagnosed
from netdsl.training.opened import reopened
from netdsl.training.python_data import as_data_set
from netdsl.training.user_functions import Own, check_functions


class Wishes(TypedDict, total=False):
    """The options of a call besides its net and recipe."""

    test: Any
    target: str | Sequence[str] | None
    missing: Missing
    group: Any
    ordered: bool
    device: str | None
    onnx: bool
    quiet: bool
    on_step: Callback | None
    on_evaluation: Callback | None
    on_checkpoint: Callback | None
    loss: Callable[..., Any] | None
    metrics: Mapping[str, Callable[..., Any]]


def begin(net: Net, recipe: Recipe, typed: tuple[str, ...], folder: Path | None, data: Any, wishes: Wishes) -> Path:
    """Train a net into a new folder, which is returned.

    `typed`: fields of the recipe whose paths are relative to the working directory. Raises TrainingError.
    """
    with in_words():
        base = Path(net.spec.source.name).parent
        folder = new_folder(net.name) if folder is None else folder
        check_free(folder, f"`netdsl.open_run({str(folder)!r}).resume()`")
        found = _data(data, net, wishes)
        _run(Request(net=net, recipe=from_here(recipe, typed), base=base, folder=folder, data=found), wishes)
        return folder


def _data(data: Any, net: Net, wishes: Wishes) -> DataSet | None:
    if data is None:
        return None
    inputs = tuple(value.name for value in net.checked.main.inputs)
    about: dict[str, Any] = {n: wishes.get(n) for n in ("test", "target", "missing", "group")}
    return as_data_set(data, **about, ordered=wishes.get("ordered", False), inputs=inputs)


def go_on(folder: Path, data: Any, wishes: Wishes) -> None:
    """Continue with a run from its newest checkpoint, as if it had never ended. Raises TrainingError."""
    with in_words():
        net, recipe, about = reopened(folder)
        base = Path(about.base)
        found = _data(data, net, wishes)
        request = Request(
            net=net, recipe=recipe, base=base, folder=folder, resume=True, before=recipe, data=found, fold=about.fold
        )
        _run(request, wishes)


def _run(request: Request, wishes: Wishes) -> None:
    callbacks = Callbacks(wishes.get("on_step"), wishes.get("on_evaluation"), wishes.get("on_checkpoint"))
    metrics = wishes.get("metrics") or {}
    check_functions(metrics, loss=wishes.get("loss"), **callbacks.named)
    quiet = wishes.get("quiet", False)
    more: dict[str, Any] = {
        "device": wishes.get("device"),
        "onnx": wishes.get("onnx", True),
        "quiet": quiet,
        "callbacks": callbacks,
    }
    own = Own(wishes.get("loss"), metrics)
    more |= {"own": own if own.names else None}
    assert request.folder is not None
    with unchanged_torch():
        train(replace(request, **more), _silent if quiet else print)
    if callbacks.failed is not None:
        name, step, error = callbacks.failed
        message = f"`{name}` failed at step {step}: {type(error).__name__}: {error}"
        raise TrainingError(diagnostic("callback-failed", message, None, _kept(request.folder))) from error


def _kept(folder: Path) -> str:
    return f"the run is kept, with a checkpoint: `netdsl.open_run({str(folder)!r}).resume()` continues"


def _silent(text: str) -> None: ...


@contextmanager
def in_words() -> Iterator[None]:
    """Turns what can go wrong in a training into TrainingErrors."""
    try:
        yield
    except Fault as mistake:
        raise TrainingError(mistake.diagnostic) from mistake.__cause__
    except Exception as error:
        found = diagnosed(error, "`settings={'micro_batch': ...}`")
        if found is None:
            raise
        raise TrainingError(found) from None


@contextmanager
def unchanged_torch() -> Iterator[None]:
    """Gives the caller's torch back as it was: its threads, its kernels, and the state of its generators."""
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    kernels = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark
    deterministic = torch.are_deterministic_algorithms_enabled()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            torch.set_float32_matmul_precision(precision)
            torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = kernels
            if deterministic != torch.are_deterministic_algorithms_enabled():
                torch.use_deterministic_algorithms(deterministic)
