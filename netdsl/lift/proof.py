"""The proof: the lifted spec, compiled with the file's weights, computes what the file computes, in onnxruntime."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf, isnan
from typing import Any

import numpy as np
from msgspec import Struct
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from netdsl.backends.onnx.check import runnable
from netdsl.backends.onnx.session import Session
from netdsl.ir.model import Program
from netdsl.lift.model import LiftError
from netdsl.sizes.dims import evaluate
from netdsl.verify.distance import GATE, accepted, distance
from netdsl.verify.sizes import At, choose, index_limit

BUDGET = 4e9
"""Multiply-accumulates that all comparisons may take; one is made whatever it takes."""


class Comparison(Struct, frozen=True):
    """One run of both files: the largest difference relative to the largest number, and what was accepted.

    `tells`: whether no output of the file was nothing but zeros, of which equal ones prove nothing.
    """

    at: At
    difference: float
    accepted: float
    tells: bool

    @property
    def ok(self) -> bool:
        return self.difference <= self.accepted


def compare(file: ModelProto, ours: ModelProto, program: Program, gate: float = GATE) -> list[Comparison]:
    """Both files at several sizes. Raises LiftError where onnxruntime cannot run the file."""
    given, made = _session(file, "the file"), _session(ours, "the lifted file")
    return [_compared(file, given, made, program, at, gate) for at in _points(given, program)]


def _session(model: ModelProto, what: str, optimised: bool = True) -> Session:
    try:
        with runnable(model) as source:
            return Session(source, optimised=optimised)
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
    own = {n: x.astype(dtype) for (n, (_, dtype)), x in zip(made.inputs.items(), fed.values(), strict=True)}
    expected, found = _ran(given, fed, "the file", at), _ran(made, own, "the lifted file", at)
    if not all(np.isfinite(y).all() for y in expected):
        raise LiftError(f"an output of the file is not finite at {at}: no proof")
    difference, limit = _difference(expected, found), gate
    if difference > gate:
        plain = _session(file, "the file", optimised=False)
        limit = accepted(gate, _difference(expected, _ran(plain, fed, "the file", at)))
    return Comparison(at, difference, limit, all(np.any(y) for y in expected))


def _ran(session: Session, fed: dict[str, Any], what: str, at: At) -> list[Any]:
    try:
        return list(session.run(fed).values())
    except Exception as error:  # onnxruntime raises a type of its own for each reason
        raise LiftError(f"onnxruntime cannot run {what} at {at}: {str(error).splitlines()[0]}") from None


def _difference(expected: Sequence[Any], found: Sequence[Any]) -> float:
    """The largest difference; infinite for other shapes, and where a value is not finite."""
    if [y.shape for y in expected] != [y.shape for y in found]:
        return inf
    difference = distance(expected, found)
    return inf if isnan(difference) else difference


def _inputs(given: Session, program: Program, at: At) -> Iterator[tuple[str, Any]]:
    random = np.random.default_rng(at.batch)
    for (name, (_, dtype)), value in zip(given.inputs.items(), program.main.inputs, strict=True):
        shape = (at.batch, *(evaluate(s, at.named) for s in value.type.shape))
        if "float" in dtype:
            yield name, random.standard_normal(shape).astype(dtype)
        else:
            limit = 2 if dtype == "bool" else index_limit(program, value.name, at.named)
            yield name, _numbered(random, limit, shape).astype(dtype)


def _numbered(random: np.random.Generator, limit: int, shape: tuple[int, ...]) -> Any:
    """Whole numbers below a limit. Some are the first ones, or the last, which mostly mean something: padding."""
    found = random.integers(0, limit, shape)
    if len(shape) > 1:
        special = found[..., 1::3]
        special[...] = random.choice([*range(min(limit, 4)), limit - 1], special.shape)
    return found


SCALES = {"Conv": 1, "ConvTranspose": 1, "Gemm": 1, "BatchNormalization": 1, "InstanceNormalization": 1,
          "LayerNormalization": 1, "GroupNormalization": 1, "MatMul": None, "Mul": None}  # fmt: skip
"""Which input of an op multiplies the others: where it is zero, nothing of them is seen. None: any of them."""

MOVES = frozenset({"Identity", "Transpose", "Reshape", "Unsqueeze", "Squeeze", "Cast"})


def hiding(model: ModelProto) -> frozenset[str]:
    """The weights that multiply something by nothing but zeros, so that a comparison says nothing of it: the last norm
    of a residual branch that begins at zero."""
    tensors = {t.name: t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT}
    moved = {name: name for name in tensors}
    found = set()
    for node in model.graph.node:
        if node.op_type in MOVES and node.input[0] in moved:
            moved[node.output[0]] = moved[node.input[0]]
        found |= {moved[name] for name in _scales(node) if name in moved}
    return frozenset(name for name in found if not numpy_helper.to_array(tensors[name]).any())


def _scales(node: NodeProto) -> list[str]:
    """The inputs of a node that multiply the others."""
    if node.op_type not in SCALES:
        return []
    place = SCALES[node.op_type]
    inputs = list(node.input)
    return inputs if place is None else inputs[place : place + 1]


def stirred(model: ModelProto, names: frozenset[str] | None = None) -> ModelProto:
    """A copy of a model whose weights that are all zeros, or those of these names, are random numbers."""
    found = ModelProto()
    found.CopyFrom(model)
    random = np.random.default_rng(0)
    for tensor in found.graph.initializer:
        if names is not None and tensor.name not in names:
            continue
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.float32 and array.size and not array.any():
            other = 0.1 * random.standard_normal(array.shape)
            tensor.CopyFrom(numpy_helper.from_array(other.astype("float32"), tensor.name))
    return found
