"""The trained net in onnxruntime, compared with PyTorch on real samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor

from netdsl.backends.onnx.session import Session
from netdsl.inference.columns import Column
from netdsl.inference.trained import notation_of, preprocessing_of, targets_of
from netdsl.recipe.component import component_name
from netdsl.recipe.schema import Recipe
from netdsl.training.data.dataset import Split
from netdsl.training.evaluate import first_output


def forward_of(session: Session) -> Any:
    """An ONNX file as a function of tensors, giving its outputs in order."""
    names = list(session.inputs)

    def forward(*inputs: Tensor) -> tuple[Tensor, ...]:
        arrays = {n: np.ascontiguousarray(x.cpu().numpy()) for n, x in zip(names, inputs, strict=True)}
        found = session.run(arrays)
        return tuple(torch.from_numpy(np.asarray(found[n])) for n in session.outputs)

    return forward


@torch.no_grad()
def largest_difference(ours: Any, theirs: Any, split: Split, at_once: int) -> float:
    """max|a - b| / max|a| over the main output of every sample of a split on the CPU, `at_once` at a time."""
    difference = size = 0.0
    for inputs, _ in split.batches(torch.split(torch.arange(len(split)), at_once)):
        a, b = first_output(ours(*inputs)), first_output(theirs(*inputs))
        difference = max(difference, float((a - b).abs().max()))
        size = max(size, float(a.abs().max()))
    return difference / max(size, 1e-12)


def origins(pretrained: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The metadata of an ONNX file on the weights that a training began with: names, revisions, licences, SHA-256."""
    return {"pretrained": [dict(p) for p in pretrained]} if pretrained else {}


def notes(
    recipe: Recipe, task: str, classes: Sequence[str], columns: Sequence[Column], standardized: bool
) -> dict[str, Any]:
    """The metadata of an ONNX file of a trained net, beside the spec: how data go in, and what the outputs are."""
    found: dict[str, Any] = {
        "class_names": [*classes],
        "preprocessing": preprocessing_of(recipe, standardized),
        "prediction": {"task": task, "loss": component_name(recipe.loss), "targets": targets_of(recipe)},
    }
    if recipe.outputs:
        found["prediction"]["outputs"] = recipe.outputs
    if columns:
        found["columns"] = msgspec.to_builtins(columns)
    if written := notation_of(recipe):
        found["csv"] = written
    if recipe.tta is not None:
        found["not_contained"] = ["tta"]
    return found
