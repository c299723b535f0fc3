"""The proof: the lifted spec, compiled with the file's weights, computes what the file computes, in onnxruntime."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from msgspec import Struct
from onnx import ModelProto

from netdsl.backends.onnx.session import Session
from netdsl.ir.model import Program
from netdsl.lift.model import LiftError
from netdsl.sizes.dims import evaluate
from netdsl.verify.sizes import At, choose, index_limit

GATE = 1e-5
"""The largest difference that is accepted, relative to the largest number of an output."""

ROUNDINGS = 4
"""How many times the file's own rounding (with onnxruntime's optimisations off and on) is accepted where it is more."""

LOOSEST = 1e-3
BUDGET = 4e9
"""Multiply-accumulates that all comparisons may take; one is made whatever it takes."""


class Comparison(Struct, frozen=True):
    """One run of both files: the largest difference relative to the largest number, and what was accepted."""

    batch: int
    sizes: tuple[tuple[str, int], ...]
    difference: float
    accepted: float

    @property
    def ok(self) -> bool:
        return self.difference <= self.accepted


def compare(file: ModelProto, ours: ModelProto, program: Program, gate: float = GATE) -> list[Comparison]:
    """Both files at several sizes. Raises LiftError where onnxruntime cannot run the file."""
    given, made = _session(file, "the file"), _session(ours, "the lifted file")
    return [_compared(file, given, made, program, at, gate) for at in _points(given, program)]


def _session(model: ModelProto, what: str, optimised: bool = True) -> Session:
    try:
        return Session(model.SerializeToString(), optimised=optimised)
    except Exception as error:  # onnxruntime raises a type of its own for each reason
        raise LiftError(f"onnxruntime refuses {what}: {str(error).splitlines()[0]}") from None


def _points(given: Session, program: Program) -> Iterator[At]:
    """Sizes for both: the batch of a file that is made for one, otherwise 1 and more."""
    fixed = next(iter(given.inputs.values()))[0][0]
    seen = set()
    for at in choose(program, BUDGET):
        point = at if fixed is None else At(fixed, at.sizes)
        if point not in seen:
            seen.add(point)
            yield point
        if len(seen) == 3:
            return


def _compared(file: ModelProto, given: Session, made: Session, program: Program, at: At, gate: float) -> Comparison:
    """One comparison; where they differ by more than the gate, the file's own rounding is measured."""
    fed = dict(_inputs(given, program, at))
    own = dict(zip(made.inputs, fed.values(), strict=True))
    expected, found = _ran(given, fed, at), made.run(own)
    difference = _largest(expected, found)
    if difference > gate:
        plain = _session(file, "the file", optimised=False)
        gate = min(LOOSEST, max(gate, ROUNDINGS * _largest(expected, _ran(plain, fed, at))))
    return Comparison(at.batch, at.sizes, difference, gate)


def _ran(session: Session, fed: dict[str, Any], at: At) -> dict[str, Any]:
    try:
        return session.run(fed)
    except Exception as error:  # onnxruntime raises a type of its own for each reason
        raise LiftError(f"onnxruntime cannot run the file at {at}: {str(error).splitlines()[0]}") from None


def _largest(expected: Mapping[str, Any], found: Mapping[str, Any]) -> float:
    return max(_distance(a, b) for a, b in zip(expected.values(), found.values(), strict=True))


def _inputs(given: Session, program: Program, at: At) -> Iterator[tuple[str, Any]]:
    random = np.random.default_rng(at.batch)
    for (name, (_, dtype)), value in zip(given.inputs.items(), program.main.inputs, strict=True):
        shape = (at.batch, *(evaluate(s, at.named) for s in value.type.shape))
        if "float" in dtype:
            yield name, random.standard_normal(shape).astype(dtype)
        else:
            limit = 2 if dtype == "bool" else index_limit(program, value.name, at.named)
            yield name, random.integers(0, limit, shape).astype(dtype)


def _distance(a: Any, b: Any) -> float:
    """The largest difference relative to the largest number; infinite for other shapes, or numbers that are none."""
    if a.shape != b.shape or not np.isfinite(b.astype("float64")).all():
        return float("inf")
    largest = np.abs(a.astype("float64")).max(initial=0.0)
    return float(np.abs(a.astype("float64") - b).max(initial=0.0) / (largest or 1.0))
