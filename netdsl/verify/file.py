"""Verification of an ONNX file: against the net that it says it was made from, or, without one, against itself."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from netdsl.backends.onnx.file import Model, load, metadata, renamed, transplanted
from netdsl.backends.onnx.model import export
from netdsl.backends.onnx.session import Session
from netdsl.ir.model import Program
from netdsl.verify.compare import Case, compared, sessions
from netdsl.verify.decisions import MOST_UNDECIDED, undecided_by_inputs
from netdsl.verify.distance import GATE, distance
from netdsl.verify.inputs import draw_inputs
from netdsl.verify.sizes import At, choose
from netdsl.verify.stress import on_cpu, state_of, stress
from netdsl.weights.former import former_paths, is_former
from netdsl.weights.former import renamed as renamed_path


def verify_file(
    path: str | os.PathLike[str],
    program: Program | None = None,
    module: nn.Module | None = None,
    *,
    trained: bool = False,
    gate: float = GATE,
) -> list[Case]:
    """Compare an ONNX file with the net that its metadata holds.

    `program` and `module`: that net, compiled; the file's own graph, given the weights of a stress copy, must compute
    what the copy computes. `trained`: the module has the file's weights, which are then compared too. The file with the
    weights it has must agree with itself with graph optimisations off and on (all there is to ask without a net).
    Raises OSError, or ValueError for what is not an ONNX model.
    """
    model = load(path)
    if program is None or module is None:
        return list(_consistent(model, _unknown_points(model), gate))
    model = of_today(model, program)
    points = choose(program)
    module = on_cpu(module)
    twin = stress(program, module, draw_inputs(program, 2, points[0].named, seed=99))
    opset = next(o.version for o in model.opset_import if not o.domain)
    made = partial(export, program, opset=opset, target=metadata(model).get("target", "onnxruntime"))
    cases = list(compared(program, twin, _given(model, made, state_of(twin)), points, "stress", gate))
    if trained:
        return [*cases, *compared(program, module, model, points[:2], "real", gate)]
    return [*cases, *_consistent(model, points[:2], gate)]


def of_today(model: Model, program: Program) -> Model:
    """The model with the names of this release, where it was made by the previous one."""
    if not is_former(program.main, [tensor.name for tensor in model.graph.initializer]):
        return model
    return renamed(model, partial(renamed_path, table=former_paths(program.main)))


def _given(model: Model, made: Any, state: Mapping[str, Any]) -> Model | str:
    """The file's graph with the weights of another state dict, or why it is not a graph of this net."""
    try:
        return transplanted(model, made(state))
    except Exception as error:  # whatever stops it is a failed case, not a crash of the verifier
        return f"{type(error).__name__}: {error}"


def _consistent(model: Model, points: Sequence[At], gate: float) -> Any:
    """A case for each point: optimisations off against on, with the file's own weights."""
    opened = sessions(model)
    plain, optimised = opened[False], opened[True]
    for seed, point in enumerate(points):
        difference, error, left_out = float("inf"), "", 0
        if isinstance(plain, str) or isinstance(optimised, str):
            error = plain if isinstance(plain, str) else str(optimised)
        else:
            try:
                fed = _random_inputs(model, plain, point, seed)
                difference, left_out = _apart(plain, optimised, fed, gate)
            except Exception as raised:  # onnxruntime raises a type of its own for each reason
                error = f"onnxruntime: {raised}"
        ok = not error and difference <= gate
        yield Case(point.batch, point.sizes, True, "file", difference, ok, error, gate, gate, left_out)


def _apart(plain: Session, optimised: Session, fed: dict[str, Any], gate: float) -> tuple[float, int]:
    """How far two sessions of a file are apart on some inputs, and how many numbers were left out: those that jump
    where inputs change by as much as rounding."""
    expected, found = (list(session.run(fed).values()) for session in (plain, optimised))
    difference = distance(expected, found)
    if difference <= gate:
        return difference, 0
    masks = undecided_by_inputs(lambda moved: list(plain.run(moved).values()), fed, expected)
    if any(mask.mean() > MOST_UNDECIDED for mask in masks):
        return difference, 0
    decided = [np.where(mask, y, ours) for mask, y, ours in zip(masks, expected, found, strict=True)]
    return distance(expected, decided), sum(int(mask.sum()) for mask in masks)


def _unknown_points(model: Model) -> list[At]:
    """Sizes for a model of unknown origin: the first axis is the batch, if it may vary."""
    names: dict[str, int] = {}
    for value in model.graph.input:
        for axis, size in enumerate(value.type.tensor_type.shape.dim):
            if axis and size.dim_param:
                names.setdefault(size.dim_param, axis)
    images = ((32, 64), (64, 32), (64, 96))  # multiples of what most nets reduce an image by
    return [
        At(batch, tuple((name, image[axis % 2]) for name, axis in names.items()))
        for batch, image in zip((1, 2, 3), images, strict=True)
    ]


def _random_inputs(model: Model, session: Session, point: At, seed: int) -> dict[str, Any]:
    random = torch.Generator().manual_seed(seed)
    named = {"N": point.batch, **point.named}
    fed = {}
    for value in model.graph.input:
        if value.name not in session.inputs:
            continue
        sizes = value.type.tensor_type.shape.dim
        first = point.batch if sizes and sizes[0].dim_param else None
        shape = [named.get(s.dim_param, 8) if s.dim_param else s.dim_value for s in sizes]
        shape = [first, *shape[1:]] if first else shape
        dtype = session.inputs[value.name][1]
        number = torch.randn(shape, generator=random)
        fed[value.name] = (number > 0).numpy().astype(dtype) if "float" not in dtype else number.numpy().astype(dtype)
    return fed
