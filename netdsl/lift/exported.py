"""PyTorch modules and `.pt2` files as ONNX models: by torch's own exporter, in memory. This runs the module's code."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from onnx import ModelProto
from torch import nn

from netdsl.diagnostics.regular import check_regular
from netdsl.lift.model import LiftError

STORED_ONCE = 1024
"""So large at most are arrays of which onnxscript's optimizer keeps one of several equal ones."""


def exported(module: nn.Module, inputs: Sequence[torch.Tensor]) -> ModelProto:
    """A module at rest, with the batch (the first axis of each input) free where its code allows that. Raises
    LiftError for inputs that are no tensors, and for a module that torch cannot export."""
    other = next((x for x in inputs if not isinstance(x, torch.Tensor)), None)
    if other is not None:
        raise LiftError(f"a module is called with tensors, one argument each, not with a {type(other).__name__}")
    was_training = module.training
    axes = tuple({0: torch.export.Dim.AUTO} if x.ndim else {} for x in inputs)
    try:
        with _quietly():
            return _model(torch.export.export(module.eval(), tuple(inputs), dynamic_shapes=axes))
    except Exception as error:  # torch.export raises whatever the module and its tracer raise
        raise LiftError(f"torch cannot export the module: {_first_line(error)}") from None
    finally:
        module.train(was_training)


def opened(path: str | os.PathLike[str]) -> ModelProto:
    """The program of a `.pt2` file, as torch.export.save writes it. Raises OSError, LiftError."""
    check_regular(path)
    with open(path, "rb"):
        pass
    try:
        with _quietly():
            return _model(torch.export.load(os.fspath(path)))
    except Exception as error:  # torch raises whatever its decoder and its exporter raise
        raise LiftError(
            f"{os.fspath(path)} cannot be read as a program of torch.export: {_first_line(error)}"
        ) from None


def _model(program: torch.export.ExportedProgram) -> ModelProto:
    found: Any = torch.onnx.export(program, dynamo=True, verbose=False, optimize=False)
    graph = found.model.graph
    own = len(graph.inputs)
    graph.inputs.extend(graph.initializers[name] for name in _equal_weights(program) if name in graph.initializers)
    found.optimize()
    del graph.inputs[own:]
    model: ModelProto = found.model_proto
    return model


def _equal_weights(program: torch.export.ExportedProgram) -> list[str]:
    """The weights that equal another one without being it, as the layers of `nn.TransformerEncoder` begin.

    The optimizer of onnxscript stores equal small arrays once, but for those that are inputs of the graph as well.
    """
    alike: dict[Any, dict[int, str]] = {}
    for name, weight in program.state_dict.items():
        if 1 < weight.numel() <= STORED_ONCE:
            key = (weight.dtype, weight.shape, weight.detach().cpu().numpy().tobytes())
            alike.setdefault(key, {})[weight.data_ptr()] = name
    return [name for names in alike.values() if len(names) > 1 for name in names.values()]


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0] or type(error).__name__


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the exporter's warnings, which are about torch itself."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
