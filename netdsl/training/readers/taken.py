"""Data as a net takes them: what depends on its inputs, and not on the file that was read."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from msgspec.structs import replace

from netdsl.inference.columns import Encoded, Input, for_inputs
from netdsl.ir.flatten import flatten
from netdsl.ir.model import Program
from netdsl.training.data.dataset import DataError, DataSet, Split
from netdsl.training.readers.graph import for_the_net, second_is_integer

MOVES = frozenset(("reshape", "flatten", "squeeze", "unsqueeze", "permute"))
"""Ops that give the integers that they take, in another form."""


def inputs_of(program: Program) -> tuple[Input, ...]:
    """The inputs of a net, as far as data depend on them."""
    found = []
    for value in program.main.inputs:
        size = value.type.shape[0] if value.type.rank == 1 else None
        integer = value.type.dtype.startswith("int")
        found.append(Input(value.name, integer, size if isinstance(size, int) else None))
    return tuple(found)


def taken(data: DataSet, inputs: tuple[Input, ...]) -> DataSet:
    """A graph by its edges or its adjacency, a table in one vector or by its categories; other data as they are.

    Raises DataError for what the net has no input for.
    """
    if data.columns:
        train, test = (_columns(s, data, inputs) for s in (data.train, data.test))
        return replace(data, train=train, test=test)
    dtypes = ["int64" if i.integer else "float32" for i in inputs]
    return for_the_net(data, second_is_integer(dtypes))


def _columns(split: Split, data: DataSet, inputs: tuple[Input, ...]) -> Split:
    numbers, codes = (x.numpy() for x in split.inputs)
    found = for_inputs(Encoded(numbers, codes, data.columns), inputs, data.name)
    return replace(split, inputs=tuple(map(torch.from_numpy, found)))


def check_vocabulary(program: Program, data: DataSet) -> None:
    """Raise DataError where an `embed` has fewer vectors than the categories that it reads have values."""
    if not data.columns:
        return
    needed = _needed(program, data)
    for name, there in _vectors(program, needed).items():
        if there < needed[name]:
            arguments = [n for n, value in program.main.arguments if type(value) is int and value == there]
            hint = f"`-p {arguments[0]}={needed[name]}`" if len(arguments) == 1 else f"`embed({needed[name]}, ...)`"
            values = f"`{name}` of {data.name} has {needed[name]} values, with one for what is missing"
            raise DataError("wrong-count", f"{values}, and its `embed` has vectors for {there}", hint)


def _needed(program: Program, data: DataSet) -> dict[str, int]:
    """How many values the inputs of categories have."""
    levels = {c.name: c.levels for c in data.columns if c.kind == "category"}
    names = [v.name for v in program.main.inputs if v.type.dtype.startswith("int")]
    rest = sum(count for name, count in levels.items() if name not in names)
    return {name: levels.get(name, rest) for name in names}


def _vectors(program: Program, inputs: Mapping[str, int]) -> dict[str, int]:
    """How many vectors the `embed` that reads an input has, where one does."""
    flat = flatten(program)
    source = {v.name: name for v, name in zip(flat.inputs, (v.name for v in program.main.inputs), strict=True)}
    found: dict[str, int] = {}
    for node in flat:
        name = source.get(node.inputs[0].name) if node.inputs else None
        if name is None or name not in inputs:
            continue
        if node.op.kind == "embed":
            found[name] = min(getattr(node.op, "num_embeddings"), found.get(name, 2**62))  # noqa: B009
        elif node.op.kind in MOVES:
            source[node.outputs[0].name] = name
    return found
