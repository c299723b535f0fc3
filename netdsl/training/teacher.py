"""The teacher of a run: a net that is trained already, on the device of the one that learns from it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from netdsl.recipe.metrics import NODES
from netdsl.recipe.schema import Recipe
from netdsl.training.data.dataset import DataSet, Split
from netdsl.training.data.graphs import by_graph
from netdsl.training.errors import DataError
from netdsl.training.evaluate import Forward, first_output
from netdsl.training.losses.distillation import Distillation
from netdsl.training.opened import Opened, open_trained


def teacher_of(recipe: Recipe, base: Path, module: nn.Module, data: DataSet, train: Split) -> Distillation | None:
    """The teacher that a recipe names, compared with the net on a sample. Raises DataError where they do not fit."""
    if recipe.distill is None:
        return None
    if data.task in NODES and train.graphs is not None:
        raise DataError(
            "not-supported", f"`distill` compares samples, and `{data.name}` has the nodes of several graphs"
        )
    path = base / recipe.distill.path
    if not path.exists():
        hint = "a run directory or an ONNX file, relative to the spec"
        raise DataError("missing-data", f"there is no teacher {path}", hint)
    found = open_trained(path)
    device = next(module.parameters()).device
    if found.module is not None:
        found.module.to(device).requires_grad_(False).eval()

    def forward(*inputs: Tensor) -> Tensor:
        return first_output(found.forward(*inputs))

    _check(found, forward, module, data, train, path)
    if train.graphs is None:
        return Distillation(recipe.distill, forward)
    return Distillation(recipe.distill, lambda *inputs: by_graph(forward(*inputs)))


def _check(found: Opened, forward: Forward, module: nn.Module, data: DataSet, train: Split, path: Path) -> None:
    """Raise DataError for a teacher of other classes, or of other inputs."""
    if found.classes and data.classes:
        _check_classes(found.classes, data, path)
    inputs, _ = train.take(torch.arange(1, device=train.target.device))
    takes, gives = list(found.shape), list(inputs[0].shape[1:])
    fits = len(takes) == len(gives) and all(s in (None, g) for s, g in zip(takes, gives, strict=True))
    if len(found.inputs) != len(inputs) or not fits:
        raise DataError("unfit-input", f"the teacher {path} takes {takes}, and a sample of `{data.name}` is {gives}")
    ours, theirs = _shape(module, inputs), _shape(forward, inputs)
    if ours != theirs:
        raise DataError("wrong-count", f"the teacher {path} gives {theirs} for a sample, and the net {ours}")


def _check_classes(theirs: tuple[str, ...], data: DataSet, path: Path) -> None:
    if len(data.classes) != len(theirs):
        counts = f"{len(theirs)} classes, `{data.name}` has {len(data.classes)}"
        raise DataError("wrong-count", f"the teacher {path} has {counts}")
    for ours, other in zip(data.classes, theirs, strict=True):
        if ours != other:
            message = f"the teacher {path} calls a class `{other}` where `{data.name}` has `{ours}`"
            raise DataError("unknown-class", message, "both need the same classes in the same order")


@torch.no_grad()
def _shape(forward: Forward, inputs: tuple[Tensor, ...]) -> list[int]:
    """The shape of a net's output for a sample, at inference."""
    training = isinstance(forward, nn.Module) and forward.training
    if isinstance(forward, nn.Module):
        forward.eval()
    found = list(first_output(forward(*inputs)).shape[1:])
    if isinstance(forward, nn.Module):
        forward.train(training)
    return found
