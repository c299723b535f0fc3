"""`spectrum`: singular values of every weight, beside what independent numbers of its variance would have."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from netdsl.probe.curvature import largest
from netdsl.probe.model import Cell, Finding, Plot
from netdsl.probe.subject import Subject, no_such

LARGE = 1500
"""Of matrices with more rows and columns than this, only the largest singular value is computed."""

FLAT = 1e-6
"""Singular values below this share of the largest count as none."""


def spectrum(subject: Subject) -> Finding:
    """The spectra of all weights with two axes or more. Raises Fault for a net without."""
    module = subject.module().double()
    rows: list[tuple[Cell, ...]] = []
    curves = {}
    for name, tensor in module.named_parameters():
        if tensor.ndim < 2:
            continue
        matrix = tensor.detach().reshape(tensor.shape[0], -1)
        low, high = edges(matrix)
        shape = "x".join(map(str, matrix.shape))
        if min(matrix.shape) > LARGE:
            most = math.sqrt(largest(partial(_gram, matrix), matrix.shape[1])[0])
            rows.append((name, shape, most, None, high, low, None, _stable(matrix, most)))
            continue
        values = torch.linalg.svdvals(matrix)
        rank, most = int((values > FLAT * values[0]).sum()), values[0].item()
        rows.append((name, shape, most, values[-1].item(), high, low, rank, _stable(matrix, most)))
        curves[name] = tuple((i / max(1, len(values) - 1), v) for i, v in enumerate(values.tolist()))
    if not rows:
        raise no_such(subject, "matrix of weights", "a vector has no spectrum")
    columns = ("weight", "matrix", "largest", "smallest", "random largest", "random smallest", "rank", "stable rank")
    few = dict(list(curves.items())[:: max(1, len(curves) // 5)])
    plot = Plot("singular values", "share of them", "singular value", few, True)
    return Finding("spectrum", tuple(_said(rows)), columns, tuple(rows), (plot,))


def _gram(matrix: Tensor, v: Tensor) -> Tensor:
    return matrix.T @ (matrix @ v)


def _stable(matrix: Tensor, most: float) -> float:
    """How many singular values of the largest one's size would add up to the squares of all."""
    return matrix.square().sum().item() / most**2 if most else 0.0


def edges(matrix: Tensor) -> tuple[float, float]:
    """The least and largest singular value of a large matrix of independent numbers of this one's mean square
    (Marchenko & Pastur, 1967)."""
    rows, columns = matrix.shape
    deviation = matrix.square().mean().sqrt().item()
    return deviation * abs(math.sqrt(rows) - math.sqrt(columns)), deviation * (math.sqrt(rows) + math.sqrt(columns))


def _said(rows: list[tuple[Cell, ...]]) -> list[str]:
    beyond = [(float(r[2]) / float(r[4]), r[0]) for r in rows if r[4]]  # type: ignore[arg-type]
    said = []
    if beyond:
        most, name = max(beyond)
        told = "no weight has more structure than random numbers" if most < 1.2 else "what is learnt shows"
        said.append(f"the largest singular value is up to {most:.2f} times that of random numbers (`{name}`): {told}")
    flat = [r for r in rows if r[6] is not None and r[6] < min(map(int, str(r[1]).split("x")))]  # type: ignore[operator]
    if flat:
        said.append(f"{len(flat)} of {len(rows)} weights are not of full rank: {flat[0][0]} has rank {flat[0][6]}")
    return said
