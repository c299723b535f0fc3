"""Adapts data to a net's inputs, whatever file they were read from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any

import torch
from msgspec.structs import replace

from netdsl.inference.arrays import beyond
from netdsl.inference.columns import Encoded, Input, for_inputs
from netdsl.ir.flatten import flatten
from netdsl.ir.limits import MOVES, limits
from netdsl.ir.model import Program
from netdsl.ops.base import argument
from netdsl.recipe.metrics import NODES
from netdsl.training.data.dataset import DataError, DataSet, Split
from netdsl.training.readers import graphs
from netdsl.training.readers.graph import for_the_net, second_is_integer


def inputs_of(program: Program) -> tuple[Input, ...]:
    """The inputs of a net, as far as data depend on them."""
    found = []
    for value in program.main.inputs:
        size = value.type.shape[0] if value.type.rank == 1 else None
        integer = value.type.dtype.startswith("int")
        found.append(Input(value.name, integer, size if isinstance(size, int) else None))
    return tuple(found)


def taken(data: DataSet, inputs: tuple[Input, ...]) -> DataSet:
    """A graph by its edges or its adjacency, many graphs by the names of the inputs, a table in one vector or by its
    categories; other data as they are.

    Raises DataError for what the net has no input for.
    """
    if data.train.graphs is not None:
        return graphs.for_the_net(data, inputs)
    if data.columns:
        train, test = (_columns(s, data, inputs) for s in (data.train, data.test))
        return replace(data, train=train, test=test)
    dtypes = ["int64" if i.integer else "float32" for i in inputs]
    if data.task not in NODES and data.train.read is None and len(data.train.inputs) == len(inputs):
        train, test = (_of_kind(s, data, inputs) for s in (data.train, data.test))
        data = replace(data, train=train, test=test)
    return for_the_net(data, second_is_integer(dtypes))


def _of_kind(split: Split, data: DataSet, inputs: tuple[Input, ...]) -> Split:
    """A split with whole numbers where the net reads such, and floats where it reads those: bytes are both, tokens or
    pixels. Raises DataError for floats that the net would read as whole numbers."""
    found = []
    for x, taken_by in zip(split.inputs, inputs, strict=True):
        if taken_by.integer and x.is_floating_point():
            message = f"the input `{taken_by.name}` takes whole numbers, and those of `{data.name}` are floats"
            raise DataError("unfit-input", message, "store whole numbers, or leave out `int64` where the input stands")
        if taken_by.integer:
            found.append(x.long() if x.dtype == torch.uint8 else x)
        else:
            found.append(x if x.is_floating_point() or x.dtype == torch.uint8 else x.float())
    return replace(split, inputs=tuple(found))


def _columns(split: Split, data: DataSet, inputs: tuple[Input, ...]) -> Split:
    numbers, codes = (x.numpy() for x in split.inputs)
    found = for_inputs(Encoded(numbers, codes, data.columns), inputs, data.name)
    return replace(split, inputs=tuple(map(torch.from_numpy, found)))


def check_vocabulary(program: Program, data: DataSet) -> None:
    """Raise DataError where an `embed` has fewer vectors than the categories, or whole numbers, that it reads have
    values."""
    if not data.columns:
        _check_limits(program, data)
        return
    for name, there, needed in _embeds(program, _numbers(program, data)):
        if there < needed:
            hint = _more_vectors(program, there, needed)
            values = f"`{name}` of {data.name} has {needed} values, with one for what is missing"
            raise DataError("wrong-count", f"{values}, and its `embed` has vectors for {there}", hint)


def _more_vectors(program: Program, there: int, needed: int) -> str:
    arguments = [n for n, value in program.main.arguments if type(value) is int and value == there]
    return f"`-p {arguments[0]}={needed}`" if len(arguments) == 1 else f"`embed({needed}, ...)`"


def _check_limits(program: Program, data: DataSet) -> None:
    """Raise DataError for a whole number of a sample that the net has no vector for."""
    known = limits(flatten(program))
    for split, purpose in ((data.train, "train"), (data.test, "test")):
        for value, x in zip(program.main.inputs, split.inputs, strict=False):
            limit = known.get(value.name)
            if limit is None or x.is_floating_point() or not x.numel():
                continue
            low, high = int(x.min()), int(x.max())
            if low < 0 or high >= limit:
                wrong = low if low < 0 else high
                row = int((x == wrong).flatten(1).any(1).int().argmax())
                where = f"row {row} of `{data.name}` to {purpose} on"
                message, hint = beyond(value.name, wrong, limit, where)
                raise DataError("data-value", message, hint or _more_vectors(program, limit, high + 1))


Upto = tuple[int, ...]
"""For each place of a vector of categories, the number behind its largest."""


def _numbers(program: Program, data: DataSet) -> dict[str, Upto]:
    """The numbers that inputs of categories hold: those of a column of its own from 0, else each category's behind
    those of the one before."""
    levels = {c.name: c.levels for c in data.columns if c.is_category}
    names = [v.name for v in program.main.inputs if v.type.dtype.startswith("int")]
    rest = tuple(accumulate(count for name, count in levels.items() if name not in names))
    return {name: (levels[name],) if name in levels else rest for name in names}


def _embeds(program: Program, numbers: Mapping[str, Upto]) -> Iterator[tuple[str, int, int]]:
    """Every `embed` that reads an input of categories, or some of its places: the input, how many vectors there are,
    and how many are needed."""
    flat = flatten(program)
    named = zip(flat.inputs, (v.name for v in program.main.inputs), strict=True)
    known = {v.name: (name, numbers[name]) for v, name in named if numbers.get(name)}
    for node in flat:
        if not node.inputs or node.inputs[0].name not in known:
            continue
        name, upto = known[node.inputs[0].name]
        if node.op.kind == "embed":
            yield name, argument(node.op, "num_embeddings"), max(upto)
        elif (left := _left(node.op, upto, node.inputs[0].type.rank)) is not None:
            known[node.outputs[0].name] = name, left


def _left(op: Any, upto: Upto, rank: int) -> Upto | None:
    """The categories that an op leaves which moves the positions of a vector or takes some; None for another op."""
    if op.kind in MOVES:
        return upto
    if rank != 1 or op.kind not in ("take", "narrow") or op.axis not in (0, -1):
        return None
    if op.kind == "narrow":
        start = op.start % len(upto)
        return upto[start : start + op.length] if isinstance(op.length, int) else upto[start:]
    places = op.index if isinstance(op.index, tuple) else (op.index,)
    return tuple(upto[place] for place in places)
