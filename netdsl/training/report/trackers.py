"""A run in MLflow or in Weights & Biases, where they are installed: its recipe, and its numbers as they come."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
from torch import Tensor

from netdsl.diagnostics.diagnostic import first_line
from netdsl.diagnostics.packages import needed_by
from netdsl.recipe.schema import Recipe
from netdsl.training.checkpoints.format import write_atomic
from netdsl.training.data.dataset import DataError

EVERY = 50
"""Steps of which one's loss and lr are passed on: a number of a GPU is waited for."""
SHOWN = 500
"""Characters of a field of the recipe that MLflow takes."""

Send = Callable[[Mapping[str, float], int], None]
"""Passes on numbers of a step by name."""


def tracker(which: str, folder: Path, net: str, recipe: Recipe) -> Callable[[str, dict[str, Any]], None]:
    """A watcher that passes on every evaluation and one step in `EVERY`. A resumed run continues its own there.

    Raises UserError where the package is not installed.
    """
    package = _imported(which)
    fields = {k: str(v)[:SHOWN] for k, v in msgspec.to_builtins(recipe).items()} | {"net": net}
    with said_of(which):
        send = TRACKERS[which](package, folder, fields)

    def watch(what: str, numbers: dict[str, Any]) -> None:
        if what == "evaluation" or (what == "step" and numbers["step"] % EVERY == 0):
            plain = {k: float(v) for k, v in numbers.items() if isinstance(v, float | Tensor) and k != "epoch"}
            with said_of(which):
                send({f"{what}.{k}": v for k, v in plain.items()}, numbers["step"])

    return watch


def _imported(which: str) -> Any:
    """A tracker's package. A folder of its name, as its runs leave one, is none."""
    with needed_by(f"`--track {which}`"):
        found = import_module(which)
        if getattr(found, "__file__", "") is None:
            raise ModuleNotFoundError(name=which)
        return found


@contextmanager
def said_of(which: str) -> Iterator[None]:
    """Says what a tracker raises, of whatever type, with its name, as a DataError."""
    try:
        yield
    except Exception as error:
        raise DataError("callback-failed", f"`{which}` failed: {type(error).__name__}: {first_line(error)}") from error


def _mlflow(mlflow: Any, folder: Path, fields: Mapping[str, str]) -> Send:
    """A run of MLflow, in the store and the experiment that MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME say."""
    client, known = mlflow.MlflowClient(), folder / "mlflow.txt"
    if known.exists():
        run = known.read_text()
    else:
        with mlflow.start_run(run_name=folder.name) as begun:
            run = begun.info.run_id
        write_atomic(known, run.encode())
        for name, value in fields.items():
            client.log_param(run, name, value)

    def send(numbers: Mapping[str, float], step: int) -> None:
        for name, value in numbers.items():
            client.log_metric(run, name, value, step=step)

    return send


def _wandb(wandb: Any, folder: Path, fields: Mapping[str, str]) -> Send:
    """A run of Weights & Biases; WANDB_MODE=offline writes into the run directory, for `wandb sync` later. Each is one
    of its own, where a process has several: folds, or a run that the caller has begun."""
    known = folder / "wandb.txt"
    run = wandb.init(
        dir=str(folder), name=folder.name, config=dict(fields), resume="allow",
        reinit="create_new", id=known.read_text() if known.exists() else None,
    )  # fmt: skip
    write_atomic(known, run.id.encode())
    return lambda numbers, step: run.log({**numbers, "step": step})


TRACKERS: dict[str, Callable[[Any, Path, Mapping[str, str]], Send]] = {"mlflow": _mlflow, "wandb": _wandb}
